//! A chat that grows by parts, as the APIs send it whose messages are made of blocks or items: what one role says in a
//! row is one turn, calls belong to the turn before them, a result answers a call.

use std::collections::HashMap;

use lar_base::Problem;
use lar_engines::driver::{ChatMessage, ToolCall};

/// The turns so far.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) said: Vec<ChatMessage>,
    /// The ids of calls that have no result yet, and which tools they call.
    open: HashMap<String, String>,
}

impl Turns {
    /// Adds text; what one role says in a row is one turn.
    pub(crate) fn say(&mut self, role: &str, text: String) {
        match self.said.last_mut() {
            Some(last) if last.role == role && last.tool_calls.is_empty() => {
                if !last.content.is_empty() || last.reasoning.is_empty() {
                    last.content.push('\n');
                }
                last.content.push_str(&text);
            }
            _ => self.said.push(ChatMessage::new(role, text)),
        }
    }

    /// Adds what the assistant thought before what it says or calls next.
    pub(crate) fn think(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        match self.said.last_mut() {
            Some(last)
                if last.role == "assistant" && last.content.is_empty() && last.tool_calls.is_empty() =>
            {
                last.reasoning.push_str(&text);
            }
            _ => {
                let message = ChatMessage::new("assistant", String::new());
                self.said.push(ChatMessage { reasoning: text, ..message });
            }
        }
    }

    /// Adds a call of the assistant's.
    pub(crate) fn call(&mut self, call: ToolCall) {
        self.open.insert(call.id.clone(), call.name.clone());
        match self.said.last_mut() {
            Some(last) if last.role == "assistant" => last.tool_calls.push(call),
            _ => self
                .said
                .push(ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", String::new()) }),
        }
    }

    /// Adds what a call brought; `field` is where its id stands.
    ///
    /// # Errors
    /// When no call with this id waits for its result.
    pub(crate) fn result(&mut self, field: String, id: String, content: String) -> Result<(), Problem> {
        let Some(tool) = self.open.remove(&id) else {
            let reason = "is the id of no call before it that has no result yet";
            return Err(Problem::invalid(field, reason));
        };
        let result = ChatMessage::new("tool", content);
        self.said.push(ChatMessage { tool_call_id: Some(id), name: Some(tool), ..result });
        Ok(())
    }
}

/// A call's arguments as they stand in its history: any text, since models write broken ones and a limit of tokens cuts
/// them; none are an empty object.
pub(crate) fn arguments(text: String) -> String {
    if text.trim().is_empty() { "{}".into() } else { text }
}
