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

use crate::client_prompts::is_background;
use crate::client_sections::strip_client_sections;
use crate::recall::{IntentContext, ModelContext, RecallRequest, activity_ids_json, recall_and_apply};
use crate::requester::Requester;

/// The number of recent chats that are recognized when a client sends them again.
const SEEN_CHATS_MAX: usize = 4096;
/// The most user messages at the end of a chat whose effects are looked up.
const EARLIER_MESSAGES_MAX: usize = 32;

/// Memory for requests of the compatible APIs. Clones share their state.
#[derive(Debug, Clone)]
pub struct CompatMemory {
    memories: Memories,
    /// Recent chats, oldest first.
    seen_chats: Arc<Mutex<VecDeque<SeenChat>>>,
}

/// A chat that a client has sent.
#[derive(Debug)]
struct SeenChat {
    digest: u64,
    /// The changes by its last message, without texts.
    activity: MemoryActivity,
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
    /// An app's background requests are left unchanged.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`] if the key lacks the scope for `mode`; [`Code::ForbiddenSpace`] if it has no
    /// access to the requester's agent or space; [`Code::InvalidParams`] if one of these names is invalid.
    /// Other errors are logged, and the request continues without memory.
    pub(crate) async fn process_request(
        &self,
        requester: &Requester,
        mode: MemoryMode,
        chat: &mut Chat,
        model: ModelContext<'_>,
    ) -> Result<RequestActivity, Problem> {
        let Requester { caller, api, agent, space, .. } = requester;
        let memory_scope = MemoryScope { agent: agent.as_deref(), space: space.as_deref() };
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
        let may_remember = mode == MemoryMode::Remember && at + 1 == chat.messages.len();
        let before = may_remember.then(|| self.see(caller, &chat.messages)).flatten();
        let remembers = before.is_some();
        let origin = Origin { conversation: None, source: api };
        let request = RecallRequest {
            caller,
            memory_scope,
            user_message: &user_message,
            conversation: None,
            is_regeneration: false,
            intent_context: before.map(|before| IntentContext { origin, before }),
            recalls: true,
            model,
        };
        let activity = recall_and_apply(&self.memories, request).await;
        if remembers {
            self.keep(caller, &chat.messages, activity.without_texts());
        }
        // Memories go into the last user message, so that the prefix cache covers the messages before it.
        let message = &mut chat.messages[at].content;
        let plain = message.clone();
        activity.add_to_message(message);
        let original = (*message != plain).then_some((at, plain));
        Ok(RequestActivity { activity, original })
    }

    /// Remembers a chat. Returns what its earlier messages changed, oldest first, or `None` if this key has sent the
    /// chat before.
    ///
    /// Clients send a chat again after a failure and to regenerate an answer.
    fn see(&self, caller: &Caller, messages: &[ChatMessage]) -> Option<Vec<MemoryActivity>> {
        let mut digests = digests(caller, messages);
        let digest = digests.pop()?;
        let mut seen_chats = self.seen_chats.lock().unwrap_or_else(PoisonError::into_inner);
        if seen_chats.iter().any(|seen| seen.digest == digest) {
            return None;
        }
        let earlier = seen_chats.iter().filter(|seen| digests.contains(&seen.digest));
        let before = earlier.map(|seen| seen.activity.clone()).collect();
        if seen_chats.len() == SEEN_CHATS_MAX {
            seen_chats.pop_front();
        }
        seen_chats.push_back(SeenChat { digest, activity: MemoryActivity::default() });
        Some(before)
    }

    /// Keeps what the last message of a chat changed.
    fn keep(&self, caller: &Caller, messages: &[ChatMessage], activity: MemoryActivity) {
        let digest = digests(caller, messages).pop();
        let mut seen_chats = self.seen_chats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen_chats.iter_mut().rev().find(|seen| Some(seen.digest) == digest) {
            seen.activity = activity;
        }
    }
}

/// Returns a digest of the chat up to each of its last user messages, oldest first.
fn digests(caller: &Caller, messages: &[ChatMessage]) -> Vec<u64> {
    let mut hasher = DefaultHasher::new();
    caller.key().hash(&mut hasher);
    let mut digests = Vec::new();
    for message in messages {
        (&message.role, &message.content).hash(&mut hasher);
        if message.role == "user" {
            digests.push(hasher.finish());
        }
    }
    digests.drain(..digests.len().saturating_sub(EARLIER_MESSAGES_MAX));
    digests
}
