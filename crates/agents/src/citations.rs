//! The memories that an answer cites. They are marked when the answer ends, stored with it, and reviewed.
//!
//! An answer cites a memory if it repeats enough of its words; [`MemoryActivity::cite`] decides that.

use std::time::Duration;

use lar_base::{Caller, Scope};
use lar_memory::{MemoryActivity, MemoryScope};
use tokio::sync::watch;

use crate::recall::{ChatMemory, activity_json};

/// The longest time that a stream waits until its answer is stored. Storing takes milliseconds, so only a
/// database that hangs takes as long. The time is less than the interval of a stream's heartbeats (15 seconds),
/// because each heartbeat starts the wait again.
const STORED_TIMEOUT: Duration = Duration::from_secs(10);

/// The citations of an answer that is being written. Clones wait for the same answer.
#[derive(Debug, Clone)]
pub struct AnswerCitations(watch::Receiver<Option<Vec<String>>>);

/// Reports that an answer is stored. Dropping it without a report also ends the waiting.
#[derive(Debug)]
pub(crate) struct StoredAnswerSignal(watch::Sender<Option<Vec<String>>>);

impl StoredAnswerSignal {
    /// Creates the signal of an answer, and its receiver.
    pub(crate) fn new() -> (Self, AnswerCitations) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), AnswerCitations(receiver))
    }

    /// Reports that the answer is stored, and the ids of the memories that it cites.
    pub(crate) fn report(self, cited: Vec<String>) {
        self.0.send_replace(Some(cited));
    }
}

impl AnswerCitations {
    /// Waits until the answer is stored, and returns the ids of the memories that it cites.
    ///
    /// Waits ten seconds at most. Returns no ids if the answer is not stored by then, or cannot be stored.
    pub async fn memory_ids(&self) -> Vec<String> {
        tokio::time::timeout(STORED_TIMEOUT, self.stored()).await.unwrap_or_else(|_| {
            tracing::warn!("an answer's stream ends before the answer is stored");
            Vec::new()
        })
    }

    /// Waits like [`AnswerCitations::memory_ids`], but without a limit.
    pub(crate) async fn stored(&self) -> Vec<String> {
        let mut receiver = self.0.clone();
        let cited = receiver.wait_for(Option::is_some).await;
        cited.ok().and_then(|cited| cited.clone()).unwrap_or_default()
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

    /// Returns the ids of the memories that are marked as cited.
    pub(crate) fn cited_ids(&self) -> Vec<String> {
        let cited = self.activity.recalled.iter().filter(|recalled| recalled.cited);
        cited.map(|recalled| recalled.id.clone()).collect()
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn citations_arrive_when_the_answer_is_stored() {
        let (signal, citations) = StoredAnswerSignal::new();
        for _ in 0..2 {
            assert_eq!(citations.memory_ids().now_or_never(), None, "the answer is not stored");
        }
        signal.report(vec!["mem_1".into()]);
        assert_eq!(citations.memory_ids().await, ["mem_1"]);
        assert_eq!(citations.stored().await, ["mem_1"], "they can be read again");
    }

    #[tokio::test]
    async fn an_answer_whose_turn_ended_without_storing_it_has_no_citations() {
        let (signal, citations) = StoredAnswerSignal::new();
        drop(signal);
        assert_eq!(citations.memory_ids().await, Vec::<String>::new());
    }
}
