//! The decoded request for text that all APIs share, and the checks of its values.

use lar_base::{Problem, TaskId};
use lar_inference::{Chat, ChatMessage, Constraint, Prompt, Sampling, ToolChoice};
use serde_json::Value;

/// The maximum number of stop sequences.
pub(crate) const STOP_MAX: usize = 32;
/// The maximum size of a stop sequence in bytes.
pub(crate) const STOP_BYTES_MAX: usize = 1024;

/// A decoded and validated request for text.
#[derive(Debug, Clone)]
pub struct Request {
    /// The id of the task of its first answer.
    pub id: TaskId,
    /// The model's name as it was sent, with the memory suffix if it has one.
    pub model: String,
    /// The prompt.
    pub prompt: Prompt,
    /// The sampling parameters.
    pub sampling: Sampling,
    /// The number of answers to the prompt.
    pub n: u32,
    /// The request field that sets the constraint, for errors.
    pub constraint_field: &'static str,
    /// Whether the response is streamed.
    pub stream: bool,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// Checks that a schema is an object. The engine that compiles the schema checks its contents.
pub(crate) fn json_schema(field: &str, schema: &Value) -> Result<Constraint, Problem> {
    if schema.is_object() {
        Ok(Constraint::JsonSchema(schema.to_string()))
    } else {
        Err(Problem::invalid(field, "must be a JSON Schema object"))
    }
}

/// Checks the number and the sizes of stop sequences.
pub(crate) fn stop_texts(field: &str, stop: Vec<String>) -> Result<Vec<String>, Problem> {
    if stop.len() > STOP_MAX {
        let reason = format!("has {} stop sequences; the limit is {STOP_MAX}", stop.len());
        return Err(Problem::invalid(field, reason));
    }
    if stop.iter().any(|text| text.is_empty() || text.len() > STOP_BYTES_MAX) {
        let reason = format!("has a stop sequence that is empty or longer than {STOP_BYTES_MAX} bytes");
        return Err(Problem::invalid(field, reason));
    }
    Ok(stop)
}

/// Moves a final assistant message into the chat's prefill, so that the answer continues it.
///
/// The chat is unchanged if a tool call is required, or if it has no other message.
pub(crate) fn take_prefill(chat: &mut Chat) {
    if chat.tool_choice != ToolChoice::Auto || chat.messages.len() < 2 {
        return;
    }
    let is_prefill = |last: &mut ChatMessage| last.role == "assistant" && last.tool_calls.is_empty();
    if let Some(last) = chat.messages.pop_if(is_prefill) {
        chat.assistant_prefill = last.content;
    }
}
