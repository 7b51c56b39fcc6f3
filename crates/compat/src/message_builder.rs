//! Builds a chat from the content blocks of Anthropic's API or the items of OpenAI's Responses API.
//!
//! Consecutive texts of one role become one message. Tool calls belong to the assistant message before them.
//! Each tool result belongs to an earlier call.

use std::collections::HashMap;

use lar_base::Problem;
use lar_inference::{ChatMessage, ToolCall};

/// A builder of a chat's messages.
#[derive(Debug, Default)]
pub(crate) struct MessageBuilder {
    pub(crate) messages: Vec<ChatMessage>,
    /// The calls without a result: their ids and the names of their tools.
    open_calls: HashMap<String, String>,
}

impl MessageBuilder {
    /// Adds text, to the last message if it has the same role and no tool calls.
    pub(crate) fn add_text(&mut self, role: &str, text: String) {
        match self.messages.last_mut() {
            Some(last) if last.role == role && last.tool_calls.is_empty() => {
                if !last.content.is_empty() || last.reasoning.is_empty() {
                    last.content.push('\n');
                }
                last.content.push_str(&text);
            }
            _ => self.messages.push(ChatMessage::new(role, text)),
        }
    }

    /// Adds reasoning that precedes the assistant's next text or tool call.
    pub(crate) fn add_reasoning(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last)
                if last.role == "assistant" && last.content.is_empty() && last.tool_calls.is_empty() =>
            {
                last.reasoning.push_str(&text);
            }
            _ => {
                let message = ChatMessage::new("assistant", String::new());
                self.messages.push(ChatMessage { reasoning: text, ..message });
            }
        }
    }

    /// Adds a tool call to the last assistant message.
    pub(crate) fn add_call(&mut self, call: ToolCall) {
        self.open_calls.insert(call.id.clone(), call.name.clone());
        match self.messages.last_mut() {
            Some(last) if last.role == "assistant" => last.tool_calls.push(call),
            _ => self
                .messages
                .push(ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", String::new()) }),
        }
    }

    /// Adds the result of a tool call; `field` is the path of the call's id, for errors.
    ///
    /// # Errors
    /// If no call with this id is without a result.
    pub(crate) fn add_result(&mut self, field: String, id: String, content: String) -> Result<(), Problem> {
        let Some(tool) = self.open_calls.remove(&id) else {
            let reason = "must be the id of an earlier tool call without a result";
            return Err(Problem::invalid(field, reason));
        };
        let result = ChatMessage::new("tool", content);
        self.messages.push(ChatMessage { tool_call_id: Some(id), name: Some(tool), ..result });
        Ok(())
    }
}

/// Returns the arguments of a call in a chat history; empty ones become an empty object.
///
/// Arguments may be any text: models write invalid JSON, and a token limit cuts it off.
pub(crate) fn arguments(text: String) -> String {
    if text.trim().is_empty() { "{}".into() } else { text }
}
