//! A chat that grows by parts, as the APIs send it whose messages are made of blocks or items: what one role says in a
//! row is one turn, calls belong to the turn before them, a result answers a call.

use std::collections::HashMap;

use lar_base::Problem;
use lar_engines::driver::{ChatMessage, ToolCall};

/// The turns so far.
#[derive(Debug, Default)]
pub(crate) struct MessageBuilder {
    pub(crate) messages: Vec<ChatMessage>,
    /// The ids of calls that have no result yet, and which tools they call.
    open_calls: HashMap<String, String>,
}

impl MessageBuilder {
    /// Adds text; what one role says in a row is one turn.
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

    /// Adds what the assistant thought before what it says or calls next.
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

    /// Adds a call of the assistant's.
    pub(crate) fn add_call(&mut self, call: ToolCall) {
        self.open_calls.insert(call.id.clone(), call.name.clone());
        match self.messages.last_mut() {
            Some(last) if last.role == "assistant" => last.tool_calls.push(call),
            _ => self
                .messages
                .push(ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", String::new()) }),
        }
    }

    /// Adds what a call brought; `field` is where its id stands.
    ///
    /// # Errors
    /// When no call with this id waits for its result.
    pub(crate) fn add_result(&mut self, field: String, id: String, content: String) -> Result<(), Problem> {
        let Some(tool) = self.open_calls.remove(&id) else {
            let reason = "is the id of no call before it that has no result yet";
            return Err(Problem::invalid(field, reason));
        };
        let result = ChatMessage::new("tool", content);
        self.messages.push(ChatMessage { tool_call_id: Some(id), name: Some(tool), ..result });
        Ok(())
    }
}

/// A call's arguments as they stand in its history: any text, since models write broken ones and a limit of tokens cuts
/// them; none are an empty object.
pub(crate) fn arguments(text: String) -> String {
    if text.trim().is_empty() { "{}".into() } else { text }
}
