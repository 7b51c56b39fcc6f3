//! Memory in requests of the compatible APIs, whose clients store the chat.
//!
//! It works like memory in a turn, with three differences. A request contains the whole chat and may be sent
//! again after a failure. It may continue the chat after tool calls. The client may add sections around the
//! user's text. Therefore memory intents are applied only to a user message at the end of the chat, and only
//! if the chat was not sent before.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use lar_base::{Caller, Code, MemoryMode, Problem, Scope};
use lar_inference::{Chat, ChatMessage};
use lar_memory::{Memories, MemoryActivity, MemoryScope, Origin};

use crate::background::is_background;
use crate::recall::{IntentContext, activity_ids_json, recall_and_apply};

/// The number of recent chats that are recognized when a client sends them again.
const SEEN_CHATS_MAX: usize = 4096;

/// Memory for requests of the compatible APIs. Clones share their state.
#[derive(Debug, Clone)]
pub struct CompatMemory {
    memories: Memories,
    /// The digests of recent chats, oldest first.
    seen_chats: Arc<Mutex<VecDeque<u64>>>,
}

/// The memory activity of a request.
#[derive(Debug, Default)]
pub struct RequestActivity {
    /// The activity.
    pub activity: MemoryActivity,
    /// The index and the original text of the message with injected memories.
    original: Option<(usize, String)>,
}

impl RequestActivity {
    /// Returns the JSON with the activity's ids, which is stored with the request's task.
    #[must_use]
    pub fn activity_ids_json(&self) -> Option<String> {
        activity_ids_json(&self.activity)
    }

    /// Returns whether memories were injected into the chat.
    #[must_use]
    pub fn has_injected_memory(&self) -> bool {
        self.original.is_some()
    }

    /// Removes injected memories from the chat. Returns whether there were any.
    pub fn remove_injected_memory(&mut self, chat: &mut Chat) -> bool {
        let Some((at, original)) = self.original.take() else { return false };
        if let Some(message) = chat.messages.get_mut(at) {
            message.content = original;
        }
        self.activity.recalled.clear();
        true
    }
}

impl CompatMemory {
    /// Creates the service without any recent chats.
    #[must_use]
    pub fn new(memories: Memories) -> Self {
        Self { memories, seen_chats: Arc::default() }
    }

    /// Injects memories into the chat and applies the memory intents of the last user message, as `mode`
    /// allows.
    ///
    /// An app's background requests are left unchanged. `context_tokens` is the size of the model's context.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`] if the key lacks the scope for `mode`; [`Code::ForbiddenSpace`] if it has no
    /// access to `memory_scope`; [`Code::InvalidParams`] for an invalid agent or space name. Other errors are
    /// logged, and the request continues without memory.
    pub async fn process_request(
        &self,
        (caller, memory_scope): (&Caller, MemoryScope<'_>),
        mode: MemoryMode,
        source: &'static str,
        chat: &mut Chat,
        (model, context_tokens): (&str, usize),
    ) -> Result<RequestActivity, Problem> {
        if mode >= MemoryMode::Recall {
            caller.require(Scope::MemoryRead)?;
        }
        if mode >= MemoryMode::Remember {
            caller.require(Scope::MemoryWrite)?;
        }
        if mode == MemoryMode::Off || is_background(chat) {
            return Ok(RequestActivity::default());
        }
        // An invalid memory scope is the caller's error. Other memory errors must not fail the request.
        if let Err(problem) = self.memories.authorize_read(caller.clone(), memory_scope).await
            && matches!(problem.code, Code::InvalidParams | Code::ForbiddenSpace)
        {
            return Err(problem);
        }
        let Some(at) = chat.messages.iter().rposition(|message| message.role == "user") else {
            return Ok(RequestActivity::default());
        };
        let user_message = strip_client_sections(&chat.messages[at].content);
        if user_message.is_empty() {
            return Ok(RequestActivity::default());
        }
        let remembers = mode == MemoryMode::Remember
            && at + 1 == chat.messages.len()
            && self.is_new(caller, &chat.messages);
        let origin = Origin { conversation: None, source };
        let intent_context = remembers.then(|| IntentContext { origin, before: Vec::new() });
        let activity = recall_and_apply(
            &self.memories,
            (caller, memory_scope),
            &user_message,
            intent_context,
            true,
            (model, context_tokens),
        )
        .await;
        let (block, message) = (activity.render_block(), &mut chat.messages[at].content);
        let original = (!block.is_empty()).then(|| (at, message.clone()));
        // Memories go into the last user message, so that the prefix cache covers the messages before it.
        message.insert_str(0, &block);
        Ok(RequestActivity { activity, original })
    }

    /// Returns whether this key sends the chat for the first time, and remembers it.
    ///
    /// Clients send a chat again after a failure and to regenerate an answer.
    fn is_new(&self, caller: &Caller, messages: &[ChatMessage]) -> bool {
        let mut hasher = DefaultHasher::new();
        caller.key().hash(&mut hasher);
        for message in messages {
            (&message.role, &message.content).hash(&mut hasher);
        }
        let digest = hasher.finish();
        let mut seen_chats = self.seen_chats.lock().unwrap_or_else(PoisonError::into_inner);
        if seen_chats.contains(&digest) {
            return false;
        }
        if seen_chats.len() == SEEN_CHATS_MAX {
            seen_chats.pop_front();
        }
        seen_chats.push_back(digest);
        true
    }
}

/// Removes sections that clients add to a user's message, such as `<system-reminder>…</system-reminder>`.
fn strip_client_sections(text: &str) -> String {
    let mut stripped = String::new();
    let mut rest = text;
    while let Some(start) = section_start(rest) {
        stripped.push_str(&rest[..start]);
        let name = rest[start + 1..].split('>').next().unwrap_or_default();
        let end = format!("</{name}>");
        match rest[start..].find(&end) {
            Some(at) => rest = &rest[start + at + end.len()..],
            // A tag without an end is part of the user's text, which may be about markup.
            None => {
                let after = start + 1;
                stripped.push_str(&rest[start..after]);
                rest = &rest[after..];
            }
        }
    }
    stripped.push_str(rest);
    stripped.trim().to_owned()
}

/// Returns the offset of the first `<name>` at the start of a line.
fn section_start(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if let Some((name, _)) = line.trim_start().strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            let is_name = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_');
            if !name.is_empty() && name.bytes().all(is_name) {
                return Some(at + indent);
            }
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_sections_are_stripped_from_user_messages() {
        let cases = [
            ("Hello.", "Hello."),
            ("<system-reminder>\nRemember that x.\n</system-reminder>\nHello.", "Hello."),
            ("<environment_context>\n<cwd>/w</cwd>\n</environment_context>", ""),
            ("Hello.\n<context>a</context>\nBye.", "Hello.\n\nBye."),
            ("What is <b> in HTML?", "What is <b> in HTML?"),
            ("<b>never closed", "<b>never closed"),
            ("<b>a\n<i>x</i>", "<b>a"),
            ("", ""),
        ];
        for (text, own) in cases {
            assert_eq!(strip_client_sections(text), own, "{text}");
        }
    }
}
