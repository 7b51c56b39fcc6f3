//! What every surface becomes: one use of one model.

use std::time::Duration;

use lar_base::{Caller, ConversationId, TaskId};
use lar_catalog::Kind;
use lar_engines::driver::{Prompt, Sampling};
use lar_engines::scheduler::Priority;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made per task, and nearly all are the large one")]
pub enum Work {
    /// Continue a prompt. `sampling.tokens_max` 0 means as much as the context holds.
    Generate {
        /// The prompt.
        prompt: Prompt,
        /// How to continue it.
        sampling: Sampling,
    },
    /// Compute vectors.
    Embed {
        /// For these texts.
        texts: Vec<String>,
    },
    /// Score texts.
    Rank {
        /// For this query.
        query: String,
        /// These.
        texts: Vec<String>,
    },
}

impl Work {
    /// The kind of model that does it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Work::Generate { .. } => Kind::Chat,
            Work::Embed { .. } => Kind::Embedding,
            Work::Rank { .. } => Kind::Rerank,
        }
    }

    /// The contract's name for it.
    #[must_use]
    pub const fn workload(&self) -> &'static str {
        match self {
            Work::Generate { .. } => "completion",
            Work::Embed { .. } => "embedding",
            Work::Rank { .. } => "rerank",
        }
    }
}

/// What happens when nobody reads a task any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It is cancelled.
    Cancel,
    /// It is cancelled if nobody reads it again within this time.
    CancelAfter(Duration),
    /// It goes on.
    KeepRunning,
}

/// One use of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Chosen by whoever makes the task.
    pub id: TaskId,
    /// For whom.
    pub caller: Caller,
    /// The surface it came through, such as `openai.chat`.
    pub api: &'static str,
    /// A model's name or an alias.
    pub model: String,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it may take in all, from now.
    pub deadline: Option<Duration>,
    /// The conversation it belongs to.
    pub conversation: Option<ConversationId>,
    /// What memory did for it: JSON, ids only; kept with its record.
    pub memory: Option<String>,
    /// What happens when nobody reads it any more.
    pub on_disconnect: OnDisconnect,
    /// What is to be done.
    pub work: Work,
}
