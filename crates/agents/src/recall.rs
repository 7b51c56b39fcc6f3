//! What memory does in a turn: what the answer is given, and what the person's message has it remember or forget.
//!
//! A turn never fails for its memory: what goes wrong is logged, and the answer is made without.

use std::time::Duration;

use lar_base::{Caller, ConversationId, Scope};
use lar_memory::{InTurn, Memories, Origin, Place};
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
    pub(crate) async fn in_turn(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        said: &str,
        again: bool,
        path: &[&Message],
        model: (&str, usize),
    ) -> InTurn {
        let remembers = self.remember && !again && caller.has(Scope::MemoryWrite);
        let attending = remembers.then(|| Attending {
            origin: Origin { conversation: Some(conversation), source: "chat" },
            before: path.iter().filter_map(|message| of(message)).collect(),
        });
        let recalls = caller.has(Scope::MemoryRead);
        at_work(&self.memories, (caller, Place::default()), said, attending, recalls, model).await
    }
}

/// Whose message is looked at for what to remember.
pub(crate) struct Attending {
    pub(crate) origin: Origin,
    /// What memory did in the turns before.
    pub(crate) before: Vec<InTurn>,
}

/// What memory does about something that was said, in time for its answer.
pub(crate) async fn at_work(
    memories: &Memories,
    (caller, place): (&Caller, Place<'_>),
    said: &str,
    attending: Option<Attending>,
    recalls: bool,
    (model, context_tokens): (&str, usize),
) -> InTurn {
    let work = async {
        let mut done = InTurn::default();
        if let Some(Attending { origin, before }) = attending {
            let attended = async {
                let writer = memories.writer(caller.clone(), place).await?;
                memories.attend(&writer, said, origin, &before).await
            };
            match attended.await {
                Ok(attended) => done = attended,
                Err(error) => {
                    tracing::warn!(%error, "a message could not be looked at for what to remember")
                }
            }
        }
        if recalls {
            let recalled = async {
                let reader = memories.reader(caller.clone(), place).await?;
                memories.recall(&reader, said, model, context_tokens).await
            };
            match recalled.await {
                // What was just said is not news.
                Ok(mut recalled) => {
                    recalled.retain(|one| done.saved.iter().all(|saved| saved.id != one.id));
                    done.recalled = recalled;
                }
                Err(error) => tracing::warn!(%error, "nothing could be recalled"),
            }
        }
        done
    };
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| {
        tracing::warn!("memory took too long; the answer is made without");
        InTurn::default()
    })
}

/// What is kept with a task of what memory did for it.
pub(crate) fn noted(in_turn: &InTurn) -> Option<String> {
    in_turn.noted().and_then(|noted| serde_json::to_string(&noted).ok())
}

/// What of a turn's memory its answer says, and that it was of use.
#[derive(Debug)]
pub(crate) struct Cites {
    memory: ChatMemory,
    caller: Caller,
    asked: String,
    in_turn: InTurn,
}

impl Cites {
    /// None where nothing was recalled.
    pub(crate) fn new(memory: &ChatMemory, caller: &Caller, asked: &str, in_turn: &InTurn) -> Option<Self> {
        let some = !in_turn.recalled.is_empty();
        some.then(|| Self {
            memory: memory.clone(),
            caller: caller.clone(),
            asked: asked.to_owned(),
            in_turn: in_turn.clone(),
        })
    }

    /// What memory did in the turn, with what this answer cites marked; none where it cites nothing.
    pub(crate) fn of(&mut self, answer: &str) -> Option<String> {
        self.in_turn.cite(&self.asked, answer);
        let cited = self.in_turn.recalled.iter().any(|recalled| recalled.cited);
        cited.then(|| serde_json::to_string(&self.in_turn).ok()).flatten()
    }

    /// Tells the memories that were cited, where conversations may change what is remembered.
    pub(crate) async fn tell(self) {
        if !self.memory.remember || !self.caller.has(Scope::MemoryWrite) {
            return;
        }
        let told = async {
            let writer = self.memory.memories.writer(self.caller, Place::default()).await?;
            self.memory.memories.cited(&writer, &self.in_turn).await
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, "memories could not be told that an answer cites them");
        }
    }
}

/// What memory did in an answer's turn.
fn of(message: &Message) -> Option<InTurn> {
    serde_json::from_str(message.memory.as_deref()?).ok()
}
