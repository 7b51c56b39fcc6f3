//! The types of tasks: their start, their end, and the stored record.

use lar_base::{Code, ConversationId, KeyId, TaskId, Timestamp, UserId};

/// The start of a task, when it is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStart {
    /// The id, `task_…`, by which the scheduler knows the task, too.
    pub id: TaskId,
    /// The key that sent the request.
    pub key: KeyId,
    /// The user whom the key belongs to.
    pub user: UserId,
    /// The conversation that gets the answer; `None` outside of Lar's own conversations.
    pub conversation: Option<ConversationId>,
    /// The API that the request came through, such as `conversation`.
    pub api: &'static str,
    /// The kind of work: `completion`, `embedding` or `rerank`.
    pub workload: &'static str,
    /// The name of the model; an alias in the request is resolved.
    pub model: String,
    /// The priority: `interactive` or `batch`.
    pub priority: &'static str,
    /// The time of its admission.
    pub created_at: Timestamp,
    /// The memory activity for it, as JSON with ids only; `None` if there was none.
    pub memory: Option<String>,
}

/// The outcome of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It finished. The finish reason is `stop`, `length` or `tool_calls`.
    End {
        /// The engine's reason, or `tool_calls` if the answer has tool calls.
        finish_reason: String,
    },
    /// It failed, also because the server stopped meanwhile.
    Error {
        /// The code, by which programs decide what to do.
        code: Code,
        /// The explanation for people: what happened and what to do next.
        message: String,
    },
    /// Its caller cancelled it, or Lar did for them.
    Cancelled,
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// The time of the terminal event.
    pub ended_at: Timestamp,
    /// Whether it finished, failed or was cancelled.
    pub outcome: Outcome,
    /// The number of prompt tokens; 0 if they were not counted.
    pub tokens_in: u64,
    /// The number of answer tokens; 0 if there were none.
    pub tokens_out: u64,
    /// Milliseconds from admission to the start; `None` if it did not start.
    pub queue_ms: Option<u64>,
    /// Milliseconds from admission to the first token; `None` if there was no token.
    pub ttft_ms: Option<u64>,
    /// Milliseconds from the first token to the end; `None` if there was no token.
    pub decode_ms: Option<u64>,
}

/// A stored task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// The id, `task_…`, as in [`TaskStart::id`].
    pub id: TaskId,
    /// The user whose key sent the request.
    pub user: UserId,
    /// The conversation that gets the answer; `None` outside of Lar's own conversations.
    pub conversation: Option<ConversationId>,
    /// The API that the request came through, as in [`TaskStart::api`].
    pub api: String,
    /// The kind of work: `completion`, `embedding` or `rerank`.
    pub workload: String,
    /// The name of the model, as in [`TaskStart::model`].
    pub model: String,
    /// The priority: `interactive` or `batch`.
    pub priority: String,
    /// The time of its admission.
    pub created_at: Timestamp,
    /// The memory activity for it, as JSON with ids only; `None` if there was none.
    pub memory: Option<String>,
    /// The end; `None` while it waits or runs.
    pub end: Option<TaskEnd>,
}
