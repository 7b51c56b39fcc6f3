//! Memory in a request of a compatible API, for a chat that its client keeps.
//!
//! The same as in a turn, with what a client's requests have on top: the whole chat comes every time, is sent again when
//! something fails, goes on after tool calls, and holds what the client wrote around the person's words. Only what a
//! person says anew is looked at for what to remember.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use lar_base::{Caller, Code, MemoryMode, Problem, Scope};
use lar_engines::driver::{Chat, ChatMessage};
use lar_memory::{Memories, MemoryActivity, MemoryScope, Origin};

use crate::is_background;
use crate::recall::{IntentContext, activity_ids_json, recall_and_apply};

/// Chats that were heard and may be sent again.
const SEEN_CHATS_MAX: usize = 4096;

/// Memory for requests of the compatible APIs. Clones share it.
#[derive(Debug, Clone)]
pub struct CompatMemory {
    memories: Memories,
    /// Of the chats that were looked at lately, in order.
    seen_chats: Arc<Mutex<VecDeque<u64>>>,
}

/// What memory did in a request.
#[derive(Debug, Default)]
pub struct RequestActivity {
    /// What it did.
    pub activity: MemoryActivity,
    /// The person's message as it came, and where it stands.
    original: Option<(usize, String)>,
}

impl RequestActivity {
    /// What is kept with the request's task: JSON.
    #[must_use]
    pub fn activity_ids_json(&self) -> Option<String> {
        activity_ids_json(&self.activity)
    }

    /// Whether the model was given something that [`RequestActivity::remove_injected_memory`] would take out.
    #[must_use]
    pub fn has_injected_memory(&self) -> bool {
        self.original.is_some()
    }

    /// Takes out of the chat again what the model was given; false where it was given nothing.
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
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(memories: Memories) -> Self {
        Self { memories, seen_chats: Arc::default() }
    }

    /// Gives the chat what is remembered of what its person said last, and remembers what they ask for, as `mode` says.
    /// An app's own requests have no part in it. `context_tokens` is the model's.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`] when the key may not, [`Code::ForbiddenSpace`] for a place that is not its; what goes wrong otherwise is logged, and the request
    /// goes on without.
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
        // A place that is not this caller's is told; what else may be wrong with the memories is not the request's.
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
        // Before the last words, so that what was read of those before them serves again.
        message.insert_str(0, &block);
        Ok(RequestActivity { activity, original })
    }

    /// Whether this key's chat was not heard before: clients send again what failed, and what is to be answered anew.
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

/// What a person says of a message: without the sections that clients put around it, such as
/// `<system-reminder>…</system-reminder>`.
fn strip_client_sections(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some(start) = section_start(rest) {
        words.push_str(&rest[..start]);
        let name = rest[start + 1..].split('>').next().unwrap_or_default();
        let end = format!("</{name}>");
        match rest[start..].find(&end) {
            Some(at) => rest = &rest[start + at + end.len()..],
            // It is not closed: all of it is the person's, who may write of tags.
            None => {
                let after = start + 1;
                words.push_str(&rest[start..after]);
                rest = &rest[after..];
            }
        }
    }
    words.push_str(rest);
    words.trim().to_owned()
}

/// Where a line begins with `<name>`.
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
