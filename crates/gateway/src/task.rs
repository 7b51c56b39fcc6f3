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
        /// The prompt.
        prompt: Prompt,
        /// The sampling parameters and limits.
        sampling: Sampling,
    },
    /// Compute embeddings.
    Embed {
        /// The texts.
        texts: Vec<String>,
    },
    /// Score texts.
    Rank {
        /// The query.
        query: String,
        /// The texts to score.
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
    /// The task is cancelled.
    Cancel,
    /// The task is cancelled if nobody reads it again within this time.
    CancelAfter(Duration),
    /// The task keeps running.
    KeepRunning,
}

/// A task: one use of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The id, chosen by the code that makes the task.
    pub id: TaskId,
    /// The caller.
    pub caller: Caller,
    /// The API through which it came, such as `openai.chat`.
    pub api: &'static str,
    /// The model's name or an alias.
    pub model: String,
    /// The priority.
    pub priority: Priority,
    /// The time limit of the whole task, from now.
    pub deadline: Option<Duration>,
    /// The conversation that it belongs to.
    pub conversation: Option<ConversationId>,
    /// The ids of the memories that were used or changed for it, as JSON; stored in its record.
    pub memory: Option<String>,
    /// The policy when the last reader disconnects.
    pub on_disconnect: OnDisconnect,
    /// The work.
    pub work: Work,
}
