//! The retry of a request without its recalled memories.
//!
//! Memory must not make a request fail. A prompt that is too long with recalled memories is therefore tried
//! again without them.

use lar_base::Problem;
use lar_compat::Request;
use lar_gateway::{Admitted, Gateway, OnDisconnect};
use lar_inference::Prompt;

use crate::prepared_request::PreparedRequest;

/// Removes the recalled memories from a request's prompt, and admits the task of an answer again.
///
/// # Errors
/// `too_long`, the error of the first admission, if the prompt contains no recalled memories; else the error
/// of the second admission.
pub(crate) async fn admit_without_recall(
    gateway: &Gateway,
    too_long: Problem,
    prepared: &mut PreparedRequest<'_>,
    request: &mut Request,
    answer: u32,
    on_disconnect: OnDisconnect,
) -> Result<Admitted, Problem> {
    let Prompt::Chat(chat) = &mut request.prompt else { return Err(too_long) };
    if !prepared.memory.remove_injected_memory(chat) {
        return Err(too_long);
    }
    gateway.admit(prepared.task(request, answer, on_disconnect)).await
}
