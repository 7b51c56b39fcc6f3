//! The wire types of `/lar/v1/tasks`: creating, showing, streaming and cancelling tasks.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::conversations::MessageRole;

/// The kind of work of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// The answer to `messages`, or the continuation of `prompt`.
    Completion,
    /// An embedding of each text in `input`.
    Embedding,
    /// A score of each text in `input` for `query`.
    Rerank,
}

/// The priority of a task in the queue: `interactive` tasks start before `batch` tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// A person waits for the answer.
    #[default]
    Interactive,
    /// Background work. It starts when no interactive task waits, or when it has waited for
    /// `limits.batch_wait_max_s`.
    Batch,
}

/// A message of a chat prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    /// The author of the message: `system`, `user` or `assistant`.
    #[schema(value_type = MessageRole)]
    pub role: String,
    /// The text, without the markup of the chat template.
    pub content: String,
}

/// A request to create a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// A model's name or an alias. If missing: `default`, `default-embedding` or `default-rerank`.
    #[serde(default)]
    pub model: Option<String>,
    /// The kind of work.
    pub workload: Workload,
    /// The messages to answer. A completion needs either `messages` or `prompt`.
    #[serde(default)]
    pub messages: Option<Vec<ChatMessage>>,
    /// The text to continue. A completion needs either `messages` or `prompt`.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The texts to embed or to rank, at least one; required by `embedding` and `rerank`.
    #[serde(default)]
    pub input: Option<Vec<String>>,
    /// The query to rank the texts for; required by `rerank`.
    #[serde(default)]
    pub query: Option<String>,
    /// The priority in the queue; `interactive` if missing.
    #[serde(default)]
    pub priority: Priority,
    /// The maximum number of tokens of the answer, at least 1. If missing, the answer may fill the context.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// The time until the task must have ended, in milliseconds from now. Without it, there is no deadline.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// The seed of the sampler; derived from the task's id if missing.
    #[serde(default)]
    pub seed: Option<u32>,
    /// The sampling temperature, from 0 to 2; 0 always chooses the most likely token.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// The cumulative probability of nucleus sampling, from 0 to 1.
    #[serde(default)]
    pub top_p: Option<f32>,
    /// Strings that end the answer: up to 32, each of 1 to 1,024 bytes.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// Whether the task continues without a reader. Otherwise Lar cancels it after 30 s without one.
    #[serde(default)]
    pub detached: bool,
}

/// The response to a request that creates a task (202).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskAccepted {
    /// The task's id, `task_…`.
    pub task_id: String,
    /// The number of tasks that start before this one; 0 if the task does not wait.
    pub queue_position: u64,
    /// The estimated time until the task starts, in milliseconds; 0 if the task does not wait.
    pub predicted_start_ms: u64,
    /// How long to wait before creating another task, in milliseconds; 0 if the task does not wait.
    pub backoff_ms: u64,
}

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// The task waits or runs.
    Running,
    /// The answer is complete.
    End,
    /// The task failed; `error` has the reason.
    Error,
    /// The caller cancelled the task, or Lar did because its readers disconnected.
    Cancelled,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A task and its state.
///
/// A key sees its own tasks; with the scope `conversations`, also those of the user's other keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// The task's id, `task_…`.
    pub id: String,
    /// The state: `running` (also while the task waits), `end`, `error` or `cancelled`.
    pub state: TaskState,
    /// The name of the model. An alias in the request is resolved.
    pub model: String,
    /// The kind of work: `completion`, `embedding` or `rerank`.
    #[schema(value_type = Workload)]
    pub workload: String,
    /// The priority in the queue: `interactive` or `batch`.
    #[schema(value_type = Priority)]
    pub priority: String,
    /// The API that created the task, such as `lar.task`, `conversation`, `openai.chat` or `memory`.
    pub api: String,
    /// The memories that the task used or changed; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<TaskMemory>,
    /// The id of the conversation whose answer the task generates; absent for other tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// When Lar admitted the task (RFC 3339).
    pub created_at: String,
    /// When the task ended (RFC 3339); absent while it waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Why the answer ended: `stop`, `length` (the token limit or the end of the context) or `tool_calls`.
    /// Only with the state `end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Why the task failed; only with the state `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// The number of prompt tokens, or of tokens read from `input`; absent until the end of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    /// The number of generated tokens; absent until the end of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    /// The time from admission to the start, in milliseconds; absent if the task has not started or not
    /// ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// The time from admission to the first token, in milliseconds; absent until the end, and without a
    /// token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// The time from the first token to the end, in milliseconds; absent until the end, and without a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_ms: Option<u64>,
}

/// The ids of the memories that a task used or changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskMemory {
    /// Memories that Lar added to the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<String>,
    /// Memories that Lar saved or changed because of the user's message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<String>,
    /// Memories that Lar forgot because of the user's message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<String>,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskError {
    /// The error code, such as `ENGINE_FAILED`.
    pub code: String,
    /// The explanation for people: what happened and what to do next. File paths of the server have no
    /// folders.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// The time to wait before a retry, in milliseconds; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The reason why a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The engine is loading the model into memory.
    Loading,
    /// Other models that are in use fill the memory.
    Memory,
    /// Other tasks start before this one.
    Busy,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The data of one event of a task's stream. The event has the name of the variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TaskEvent {
    /// A new queue position, while the task waits.
    Queued {
        /// The number of tasks that start before this one.
        position: u64,
        /// The estimated time until the task starts, in milliseconds.
        predicted_start_ms: u64,
        /// The reason why the task waits: `loading` (the model), `memory` (other models in use fill it) or
        /// `busy` (other tasks start first).
        why: WaitReason,
    },
    /// The start of the task on an engine.
    Started {
        /// The pool, which has the model's name.
        pool: String,
        /// The SHA-256 of the model's weights in hexadecimal; empty for a remote engine.
        model_digest: String,
        /// The engine, such as `llama.cpp (embedded)`.
        engine_version: String,
    },
    /// A piece of the answer.
    Token {
        /// The text: whole characters. It may be empty.
        t: String,
        /// The number of tokens generated so far.
        i: u64,
    },
    /// A piece of the model's reasoning before the answer.
    Reasoning {
        /// The text: whole characters.
        t: String,
        /// The number of tokens generated so far.
        i: u64,
    },
    /// A piece of a tool call; the first piece of a call has the tool's name.
    ToolCall {
        /// The index of the call in the answer, from 0.
        index: u64,
        /// The tool's name; only in the first piece.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The next part of the JSON text of the arguments.
        arguments: String,
    },
    /// Only for embeddings, before `end`: one vector per text.
    Vectors {
        /// The vectors, of length 1, in the order of the texts.
        data: Vec<Vec<f32>>,
        /// The indexes of the texts that exceeded the model's context and were truncated.
        truncated: Vec<usize>,
    },
    /// Only for rankings, before `end`: one score per text, 0 to 1.
    Scores {
        /// The scores, in the order of the texts. Higher is better.
        data: Vec<f32>,
        /// The indexes of the texts that exceeded the model's context and were truncated.
        truncated: Vec<usize>,
    },
    /// Measurements between the other events, at most once a second. This event has no id.
    Metrics {
        /// The number of tasks that wait for the same model.
        queue_depth: u64,
        /// The tokens of this answer per second since the last `metrics` event.
        tokens_per_s: f64,
    },
    /// The last event of a task that is complete.
    End {
        /// The number of prompt tokens, or of tokens read from `input`.
        tokens_in: u64,
        /// The prompt tokens found in the prefix cache; absent if Lar no longer has the task's events.
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens_cached: Option<u64>,
        /// The number of generated tokens.
        tokens_out: u64,
        /// The time from admission to the first token, in milliseconds.
        ttft_ms: u64,
        /// The time from the first token to the end, in milliseconds.
        decode_ms: u64,
        /// Why the answer ended: `stop`, `length` (the token limit or the end of the context) or
        /// `tool_calls`.
        finish_reason: String,
    },
    /// The last event of a task that failed.
    Error(TaskError),
    /// The last event of a task that was cancelled. It has no fields.
    Cancelled {},
}

impl TaskEvent {
    /// Returns the event's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            TaskEvent::Queued { .. } => "queued",
            TaskEvent::Started { .. } => "started",
            TaskEvent::Token { .. } => "token",
            TaskEvent::Reasoning { .. } => "reasoning",
            TaskEvent::ToolCall { .. } => "tool_call",
            TaskEvent::Vectors { .. } => "vectors",
            TaskEvent::Scores { .. } => "scores",
            TaskEvent::Metrics { .. } => "metrics",
            TaskEvent::End { .. } => "end",
            TaskEvent::Error(_) => "error",
            TaskEvent::Cancelled {} => "cancelled",
        }
    }

    /// Returns the event's data on the wire: its fields without its name.
    #[must_use]
    pub fn data(&self) -> Value {
        let mut value = serde_json::to_value(self).expect("an event has text keys and derives `Serialize`");
        if let Some(fields) = value.as_object_mut() {
            fields.remove("event");
        }
        value
    }

    /// Parses an event from its name and data.
    ///
    /// # Errors
    /// Fails if the name is unknown or the data does not match it.
    pub fn parse(name: &str, data: &str) -> Result<Self, serde_json::Error> {
        let mut value: Value = serde_json::from_str(data)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("event".into(), name.into());
        }
        serde_json::from_value(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_round_trip_by_name_and_data() {
        let error = TaskError {
            code: "INTERNAL".into(),
            message: "x".into(),
            retriable: false,
            retry_after_ms: None,
        };
        let events = [
            TaskEvent::Started {
                pool: "small".into(),
                model_digest: "sha256:1".into(),
                engine_version: "llama.cpp".into(),
            },
            TaskEvent::Token { t: "hi".into(), i: 1 },
            TaskEvent::Cancelled {},
            TaskEvent::Error(error),
            TaskEvent::Metrics { queue_depth: 1, tokens_per_s: 2.5 },
        ];
        for event in events {
            let data = event.data().to_string();
            assert!(!data.contains("\"event\""), "{data}");
            assert_eq!(TaskEvent::parse(event.name(), &data).unwrap(), event);
        }
    }
}
