//! Tasks: uses of models that are made, looked at, followed and stopped by id.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What the task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Workload {
    Completion,
    Embedding,
    Rerank,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Priority {
    #[default]
    Interactive,
    Batch,
}

/// A message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// A task to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// A model's name or an alias; `default`, `default-embedding` or `default-rerank` where absent.
    #[serde(default)]
    pub model: Option<String>,
    /// What it is.
    pub workload: Workload,
    /// Messages to answer; this or `prompt` for a completion.
    #[serde(default)]
    pub messages: Option<Vec<ChatMessage>>,
    /// Text to continue; this or `messages` for a completion.
    #[serde(default)]
    pub prompt: Option<String>,
    /// Texts to embed or to rank.
    #[serde(default)]
    pub input: Option<Vec<String>>,
    /// What the texts are ranked for.
    #[serde(default)]
    pub query: Option<String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// Tokens of the answer at most.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Milliseconds from now after which the answer is of no use.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// Starts the random choice; derived from the task's id where absent.
    #[serde(default)]
    pub seed: Option<u32>,
    /// 0 to 2.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// 0 to 1.
    #[serde(default)]
    pub top_p: Option<f32>,
    /// Texts that end the answer.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// Whether it goes on when nobody reads it. Without it, a reader may come back within 30 s.
    #[serde(default)]
    pub detached: bool,
}

/// The answer to a new task (202).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskAccepted {
    /// Its id.
    pub task_id: String,
    /// How many start before it.
    pub queue_position: u64,
    /// In how long it will probably start.
    pub predicted_start_ms: u64,
    /// How long to wait before making another one, when the queue is filling.
    pub backoff_ms: u64,
}

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Task {
    pub id: String,
    /// `running`, `end`, `error` or `cancelled`; `running` includes waiting.
    pub state: String,
    pub model: String,
    pub workload: String,
    pub priority: String,
    /// The surface it came through.
    pub api: String,
    /// What memory did for it.
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

/// The memories that had a part in a task, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskMemory {
    /// Those that its prompt was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<String>,
    /// Those that the person's message made or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<String>,
    /// Those that it had forgotten.
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

/// The data of one event of a task's stream; its name is the event's.
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
        replica: u32,
        model_digest: String,
        engine_version: String,
    },
    Token {
        t: String,
        i: u64,
    },
    /// What the model thinks before it speaks.
    Reasoning {
        t: String,
        i: u64,
    },
    /// A piece of a tool call; the first of a call has its name.
    ToolCall {
        index: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        arguments: String,
    },
    /// Only for embeddings, before `end`.
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
        /// Those that were known from earlier prompts; absent where only the record is left.
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
    /// The event's name on the wire.
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

    /// The event's data on the wire: its fields without its name.
    #[must_use]
    pub fn data(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or(Value::Null);
        if let Some(fields) = value.as_object_mut() {
            fields.remove("event");
        }
        value
    }

    /// Reads an event from its name and data.
    ///
    /// # Errors
    /// When they are not those of an event.
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
