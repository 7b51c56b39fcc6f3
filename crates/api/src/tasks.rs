//! The wire types of `/lar/v1/tasks`: creating, showing, streaming and cancelling tasks.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The kind of work of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Workload {
    Completion,
    Embedding,
    Rerank,
}

/// The priority of a task in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Priority {
    #[default]
    Interactive,
    Batch,
}

/// A message of a chat prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
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
    /// The texts to embed or to rank.
    #[serde(default)]
    pub input: Option<Vec<String>>,
    /// The query to rank the texts for.
    #[serde(default)]
    pub query: Option<String>,
    /// The priority in the queue.
    #[serde(default)]
    pub priority: Priority,
    /// The maximum number of tokens of the answer.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// The deadline, in milliseconds from now.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// The seed of the sampler; derived from the task's id if missing.
    #[serde(default)]
    pub seed: Option<u32>,
    /// The sampling temperature, from 0 to 2.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// The cumulative probability of nucleus sampling, from 0 to 1.
    #[serde(default)]
    pub top_p: Option<f32>,
    /// Strings that end the answer.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// Whether the task continues without a reader. Otherwise Lar cancels it after 30 s without one.
    #[serde(default)]
    pub detached: bool,
}

/// The response to a request that creates a task (202).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskAccepted {
    /// The task's id.
    pub task_id: String,
    /// The number of tasks that start before this one.
    pub queue_position: u64,
    /// The estimated time until the task starts, in milliseconds.
    pub predicted_start_ms: u64,
    /// How long to wait before creating another task, in milliseconds; 0 if the task does not wait.
    pub backoff_ms: u64,
}

/// A task and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Task {
    pub id: String,
    /// `running` (also while the task waits), `end`, `error` or `cancelled`.
    pub state: String,
    pub model: String,
    pub workload: String,
    pub priority: String,
    /// The API that created the task.
    pub api: String,
    /// The memories that the task used or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<TaskMemory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
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
#[expect(missing_docs, reason = "the names say it")]
pub struct TaskError {
    pub code: String,
    pub message: String,
    pub retriable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The data of one event of a task's stream. The event has the name of the variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum TaskEvent {
    Queued {
        position: u64,
        predicted_start_ms: u64,
        /// `loading`, `memory` or `busy`.
        why: String,
    },
    Started {
        pool: String,
        model_digest: String,
        engine_version: String,
    },
    Token {
        t: String,
        i: u64,
    },
    /// A piece of the model's reasoning before the answer.
    Reasoning {
        t: String,
        i: u64,
    },
    /// A piece of a tool call; the first piece of a call has the tool's name.
    ToolCall {
        index: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        arguments: String,
    },
    /// Only for embeddings, before `end`: one vector per text.
    Vectors {
        data: Vec<Vec<f32>>,
        truncated: Vec<usize>,
    },
    /// Only for rankings, before `end`: one score per text, 0 to 1.
    Scores {
        data: Vec<f32>,
        truncated: Vec<usize>,
    },
    Metrics {
        queue_depth: u64,
        tokens_per_s: f64,
    },
    End {
        tokens_in: u64,
        /// The prompt tokens found in the prefix cache; absent if Lar no longer has the task's events.
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens_cached: Option<u64>,
        tokens_out: u64,
        ttft_ms: u64,
        decode_ms: u64,
        finish_reason: String,
    },
    Error(TaskError),
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
