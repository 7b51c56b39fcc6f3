//! What memory does in a turn: what the answer is given, and what the person's message has it remember or forget.
//!
//! A turn never fails for its memory: what goes wrong is logged, and the answer is made without.

use std::time::Duration;

use lar_base::{Caller, ConversationId, Scope};
use lar_memory::{Memories, MemoryActivity, MemoryScope, Origin};
use lar_store::Message;

/// An answer does not wait longer for its memory.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Memory, as far as it has a part in chats.
#[derive(Debug, Clone)]
pub struct ChatMemory {
    /// All memories.
    pub memories: Memories,
    /// Whether requests and corrections are remembered; else things are only recalled.
    pub remember: bool,
}

impl ChatMemory {
    /// What memory does in a turn whose person says `said` now, or said it before where the message is answered again.
    /// `path` is the conversation so far.
    pub(crate) async fn process_turn(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        user_message: &str,
        is_regeneration: bool,
        path: &[&Message],
        model: (&str, usize),
    ) -> MemoryActivity {
        let remembers = self.remember && !is_regeneration && caller.has(Scope::MemoryWrite);
        let intent_context = remembers.then(|| IntentContext {
            origin: Origin { conversation: Some(conversation), source: "chat" },
            before: path.iter().filter_map(|message| activity_of(message)).collect(),
        });
        let recalls = caller.has(Scope::MemoryRead);
        recall_and_apply(
            &self.memories,
            (caller, MemoryScope::default()),
            user_message,
            intent_context,
            recalls,
            model,
        )
        .await
    }
}

/// Whose message is looked at for what to remember.
pub(crate) struct IntentContext {
    pub(crate) origin: Origin,
    /// What memory did in the turns before.
    pub(crate) before: Vec<MemoryActivity>,
}

/// What memory does about something that was said, in time for its answer.
pub(crate) async fn recall_and_apply(
    memories: &Memories,
    (caller, memory_scope): (&Caller, MemoryScope<'_>),
    user_message: &str,
    intent_context: Option<IntentContext>,
    recalls: bool,
    (model, context_tokens): (&str, usize),
) -> MemoryActivity {
    let work = async {
        let mut activity = MemoryActivity::default();
        if let Some(IntentContext { origin, before }) = intent_context {
            let applied = async {
                let writer = memories.authorize_write(caller.clone(), memory_scope).await?;
                memories.apply_intents(&writer, user_message, origin, &before).await
            };
            match applied.await {
                Ok(applied) => activity = applied,
                Err(error) => {
                    tracing::warn!(%error, "a message could not be looked at for what to remember")
                }
            }
        }
        if recalls {
            let recalled = async {
                let reader = memories.authorize_read(caller.clone(), memory_scope).await?;
                memories.recall(&reader, user_message, model, context_tokens).await
            };
            match recalled.await {
                // What was just said is not news.
                Ok(mut recalled) => {
                    recalled.retain(|one| activity.saved.iter().all(|saved| saved.id != one.id));
                    activity.recalled = recalled;
                }
                Err(error) => tracing::warn!(%error, "nothing could be recalled"),
            }
        }
        activity
    };
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| {
        tracing::warn!("memory took too long; the answer is made without");
        MemoryActivity::default()
    })
}

/// What is kept with a task of what memory did for it.
pub(crate) fn activity_ids_json(activity: &MemoryActivity) -> Option<String> {
    activity.ids().and_then(|ids| serde_json::to_string(&ids).ok())
}

/// What of a turn's memory its answer says, and that it was of use.
#[derive(Debug)]
pub(crate) struct CitationTracker {
    memory: ChatMemory,
    caller: Caller,
    question: String,
    activity: MemoryActivity,
}

impl CitationTracker {
    /// None where nothing was recalled.
    pub(crate) fn new(
        memory: &ChatMemory,
        caller: &Caller,
        question: &str,
        activity: &MemoryActivity,
    ) -> Option<Self> {
        let some = !activity.recalled.is_empty();
        some.then(|| Self {
            memory: memory.clone(),
            caller: caller.clone(),
            question: question.to_owned(),
            activity: activity.clone(),
        })
    }

    /// What memory did in the turn, with what this answer cites marked; none where it cites nothing.
    pub(crate) fn mark(&mut self, answer: &str) -> Option<String> {
        self.activity.cite(&self.question, answer);
        let cited = self.activity.recalled.iter().any(|recalled| recalled.cited);
        cited.then(|| serde_json::to_string(&self.activity).ok()).flatten()
    }

    /// Tells the memories that were cited, where conversations may change what is remembered.
    pub(crate) async fn review_cited(self) {
        if !self.memory.remember || !self.caller.has(Scope::MemoryWrite) {
            return;
        }
        let outcome = async {
            let writer = self.memory.memories.authorize_write(self.caller, MemoryScope::default()).await?;
            self.memory.memories.review_cited(&writer, &self.activity).await
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "memories could not be told that an answer cites them");
        }
    }
}

/// What memory did in an answer's turn.
fn activity_of(message: &Message) -> Option<MemoryActivity> {
    serde_json::from_str(message.memory.as_deref()?).ok()
}
