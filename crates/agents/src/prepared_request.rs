//! A request of the compatible APIs after memory was applied to it. Makes the task of each answer.

use lar_base::TaskId;
use lar_compat::Request;
use lar_gateway::{OnDisconnect, Task, Work};
use lar_inference::{Priority, Prompt, Sampling};

use crate::compat_memory::RequestActivity;
use crate::requester::Requester;

/// The sender of a request and the memory activity for it, from which the tasks of its answers are made.
pub(crate) struct PreparedRequest<'a> {
    /// The sender.
    pub(crate) requester: &'a Requester,
    /// The memories that were recalled into the prompt or changed.
    pub(crate) memory: RequestActivity,
}

impl PreparedRequest<'_> {
    /// Returns the task of an answer, numbered from 0.
    ///
    /// The last answer takes the prompt out of the request, unless injected memories may have to be removed
    /// from it.
    pub(crate) fn task(&self, request: &mut Request, answer: u32, on_disconnect: OnDisconnect) -> Task {
        let prompt = if answer + 1 < request.n || self.memory.has_injected_memory() {
            request.prompt.clone()
        } else {
            std::mem::replace(&mut request.prompt, Prompt::Tokens(Vec::new()))
        };
        let seed = request.sampling.seed.wrapping_add(answer);
        Task {
            id: if answer == 0 { request.id } else { TaskId::new() },
            caller: self.requester.caller.clone(),
            api: self.requester.api,
            model: request.model.clone(),
            priority: Priority::Interactive,
            deadline: None,
            conversation: None,
            memory: self.memory.activity_ids_json(),
            on_disconnect,
            work: Work::Generate { prompt, sampling: Sampling { seed, ..request.sampling.clone() } },
        }
    }
}
