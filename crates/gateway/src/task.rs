//! A task: one use of one model, by any API or by Lar itself.

use std::time::Duration;

use lar_base::{Caller, ConversationId, TaskId};
use lar_catalog::Kind;
use lar_inference::{Priority, Prompt, Sampling};

/// The work of a task.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made per task, and nearly all are the large one")]
pub enum Work {
    /// Continue a prompt. With `sampling.tokens_max` 0, the answer may fill the context.
    Generate {
        /// The prompt that the model continues.
        prompt: Prompt,
        /// The sampling parameters and limits.
        sampling: Sampling,
    },
    /// Compute one embedding for each text.
    Embed {
        /// The texts, in the order of their embeddings.
        texts: Vec<String>,
    },
    /// Score each text for a query.
    Rank {
        /// The query that the texts are scored for.
        query: String,
        /// The texts to score, in the order of their scores.
        texts: Vec<String>,
    },
}

impl Work {
    /// Returns the kind of model that does this work.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Work::Generate { .. } => Kind::Chat,
            Work::Embed { .. } => Kind::Embedding,
            Work::Rank { .. } => Kind::Rerank,
        }
    }

    /// Returns the name of the work in records and in the API.
    #[must_use]
    pub const fn workload(&self) -> &'static str {
        match self {
            Work::Generate { .. } => "completion",
            Work::Embed { .. } => "embedding",
            Work::Rank { .. } => "rerank",
        }
    }
}

/// The policy when the last reader of a task disconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The task is cancelled as soon as nobody reads its events.
    Cancel,
    /// The task is cancelled if nobody reads it again within this time.
    CancelAfter(Duration),
    /// The task runs to its end, and its events stay readable.
    KeepRunning,
}

/// A task: one use of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The id, chosen by the code that makes the task.
    pub id: TaskId,
    /// The authenticated caller for whom the task runs.
    pub caller: Caller,
    /// The API through which it came, such as `openai.chat`.
    pub api: &'static str,
    /// The model's name or an alias.
    pub model: String,
    /// The priority, which decides the queue.
    pub priority: Priority,
    /// The time limit of the whole task, from its admission; `None` is no limit.
    pub deadline: Option<Duration>,
    /// The conversation that it belongs to, if any.
    pub conversation: Option<ConversationId>,
    /// The ids of the memories that were used or changed for it, as JSON, for its record; `None` without any.
    pub memory: Option<String>,
    /// The policy when the last reader disconnects.
    pub on_disconnect: OnDisconnect,
    /// The input of the model, and the kind of output that it computes.
    pub work: Work,
}
