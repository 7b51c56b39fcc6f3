//! The memories that an answer cites. They are marked when the answer ends, stored with it, and reviewed.
//!
//! An answer cites a memory if it repeats enough of its words; [`MemoryActivity::cite`] decides that.

use std::time::Duration;

use lar_base::{Caller, MessageId, Scope};
use lar_memory::{MemoryActivity, MemoryScope};
use lar_store::{OwnedConversation, Store};
use tokio_util::sync::CancellationToken;

use crate::recall::{ChatMemory, activity_json, activity_of};

/// The longest time that a reader of citations waits until the answer is stored.
const STORED_TIMEOUT: Duration = Duration::from_secs(2);

/// The citations of an answer that is being written.
#[derive(Debug)]
pub struct AnswerCitations {
    store: Store,
    conversation: OwnedConversation,
    answer: MessageId,
    /// Cancelled when the end of the answer is stored.
    persisted: CancellationToken,
}

impl AnswerCitations {
    pub(crate) fn new(
        store: Store,
        conversation: OwnedConversation,
        answer: MessageId,
        persisted: CancellationToken,
    ) -> Self {
        Self { store, conversation, answer, persisted }
    }

    /// Waits until the answer is stored, and returns the ids of the memories that it cites.
    ///
    /// Waits two seconds at most. Returns no ids if the answer is not stored by then or cannot be read.
    pub async fn memory_ids(&self) -> Vec<String> {
        self.read().await.unwrap_or_default()
    }

    async fn read(&self) -> Option<Vec<String>> {
        tokio::time::timeout(STORED_TIMEOUT, self.persisted.cancelled()).await.ok()?;
        let message = self.store.message_get(&self.conversation, self.answer).await.ok()?;
        let recalled = activity_of(&message)?.recalled;
        Some(recalled.into_iter().filter(|one| one.cited).map(|one| one.id).collect())
    }
}

/// Tracks which recalled memories an answer cites, and records a review of those memories.
#[derive(Debug)]
pub(crate) struct CitationTracker {
    memory: ChatMemory,
    caller: Caller,
    question: String,
    activity: MemoryActivity,
}

impl CitationTracker {
    /// Creates a tracker, or returns `None` if nothing was recalled.
    pub(crate) fn new(
        memory: &ChatMemory,
        caller: &Caller,
        question: &str,
        activity: &MemoryActivity,
    ) -> Option<Self> {
        let has_recalled = !activity.recalled.is_empty();
        has_recalled.then(|| Self {
            memory: memory.clone(),
            caller: caller.clone(),
            question: question.to_owned(),
            activity: activity.clone(),
        })
    }

    /// Marks the memories that this answer cites and returns the activity as JSON, or `None` without
    /// citations.
    pub(crate) fn mark(&mut self, answer: &str) -> Option<String> {
        self.activity.cite(&self.question, answer);
        let cited = self.activity.recalled.iter().any(|recalled| recalled.cited);
        cited.then(|| activity_json(&self.activity))
    }

    /// Records a review of each cited memory if conversations may change memories.
    pub(crate) async fn review_cited(self) {
        if !self.memory.remember || !self.caller.has(Scope::MemoryWrite) {
            return;
        }
        let outcome = async {
            let writer = self.memory.memories.authorize_write(self.caller, MemoryScope::default()).await?;
            self.memory.memories.review_cited(&writer, &self.activity).await
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "could not record the memories that an answer cites");
        }
    }
}
