//! Accepting a candidate: its text is saved with smart ingest, or supersedes the memory that it corrects.

use lar_base::{CandidateId, Code, MemoryId, Problem};
use lar_store::{
    Candidate, Change, LinkRelation, LinkResolution, Memory, MemoryDecision, NewLink, NewMemory,
};

use super::is_current;
use crate::ingest::PreparedItem;
use crate::smart::{Decision, SmartIngestResult};
use crate::strength::Event;
use crate::supersede::{TRIES_MAX, confirm_change, revive_change, supersede_change};
use crate::{IngestResult, Item, Memories, WriteAccess};

/// The reason in the history of memories for an accepted correction.
const CORRECTED: &str = "you accepted the correction";
/// The reason for saving a text beside the memory that it may correct.
const KEPT_BOTH: &str = "you kept both";

impl Memories {
    /// Accepts a candidate: saves its text, or `content` instead.
    ///
    /// If it may replace a memory that is still current, the text supersedes exactly this memory and takes
    /// its kind, tags and project over, as one decision. With `keep_both`, the text becomes a memory beside
    /// it. Without such a memory, smart ingest saves the text.
    ///
    /// # Errors
    /// [`Code::NotFound`] if there is no such candidate or the caller may not see it; as
    /// [`Memories::ingest_smart`].
    pub async fn accept(
        &self,
        writer: &WriteAccess,
        id: CandidateId,
        content: Option<String>,
        keep_both: bool,
    ) -> Result<SmartIngestResult, Problem> {
        let candidate = self.candidate(writer, id).await?;
        let there = WriteAccess { space: candidate.space, ..writer.clone() };
        let older = self.replaced_memory(&there, candidate.may_replace).await?;
        let text = candidate.content.clone();
        let item = accepted_item(candidate, content);
        let decided = match older {
            Some(older) if keep_both => Some(self.save_beside(&there, item.clone(), older).await?),
            Some(older) => self.supersede_with(&there, item.clone(), older).await?,
            None => None,
        };
        let decided = match decided {
            Some(decided) => decided,
            None => self.ingest_smart(&there, item, None).await?,
        };
        self.dismiss_text(&there, &text).await?;
        Ok(decided)
    }

    /// Returns the memory that a candidate may replace, if it is still current.
    async fn replaced_memory(
        &self,
        there: &WriteAccess,
        id: Option<MemoryId>,
    ) -> Result<Option<Memory>, Problem> {
        let ids = id.into_iter().collect();
        let found = self.store.memories_by_id(vec![there.space], ids).await?;
        Ok(found.into_iter().find(|memory| is_current(memory, there.space)))
    }

    /// Saves a text as it is, beside the memory that it may correct.
    async fn save_beside(
        &self,
        there: &WriteAccess,
        item: Item,
        older: Memory,
    ) -> Result<SmartIngestResult, Problem> {
        let IngestResult { memory, created, redacted, unembedded } = self.ingest(there, item, None).await?;
        let (decision, memory) = match created {
            true => (Decision::Create, memory),
            false => (Decision::Reinforce, self.review(there, memory.id, Event::Confirmed, None).await?),
        };
        if older.id != memory.id {
            self.keep_both(there, &older, &memory).await?;
        }
        Ok(SmartIngestResult {
            decision,
            reason: KEPT_BOTH.into(),
            against: Some(older),
            memory: Some(memory),
            link: None,
            diff: Vec::new(),
            redacted,
            unembedded,
        })
    }

    /// Records that a person keeps two memories, so that nothing asks about them again.
    async fn keep_both(&self, there: &WriteAccess, older: &Memory, newer: &Memory) -> Result<(), Problem> {
        let link = NewLink {
            older: older.id,
            newer: newer.id,
            relation: LinkRelation::MayReplace,
            reason: KEPT_BOTH.into(),
        };
        let decision = MemoryDecision { links: vec![link], ..MemoryDecision::default() };
        let change = Change::new(there.caller.key(), Decision::Create.as_str(), Some(KEPT_BOTH.into()));
        let applied = self.commit_decision(vec![there.space], decision, change, None).await?;
        for link in applied.links {
            self.store.link_resolve(vec![there.space], link.id, LinkResolution::KeepBoth).await?;
        }
        Ok(())
    }

    /// Saves a text that supersedes this memory. Returns `None` if that memory is no longer current, or has
    /// the same text.
    async fn supersede_with(
        &self,
        there: &WriteAccess,
        item: Item,
        older: Memory,
    ) -> Result<Option<SmartIngestResult>, Problem> {
        let item =
            Item { kind: Some(older.kind), tags: older.tags.clone(), project: older.project.clone(), ..item };
        let content = item.content.clone();
        let PreparedItem { new, redacted, unembedded } = self.prepare_or_quarantine(there, item).await?;
        let _lock = self.space_locks.lock(there.space).await;
        for _ in 0..TRIES_MAX {
            let Some(older) = self.replaced_memory(there, Some(older.id)).await? else { return Ok(None) };
            if older.content == new.content {
                return Ok(None);
            }
            let memory = match self.commit_correction(there, new.clone(), &older).await {
                Err(problem) if problem.code == Code::VersionMismatch => continue,
                done => done?,
            };
            if unembedded.is_some() {
                self.backfill.wake();
            }
            self.metrics.record_ingest(Decision::Supersede.as_str());
            self.dismiss_text(there, &content).await?;
            return Ok(Some(SmartIngestResult {
                decision: Decision::Supersede,
                reason: CORRECTED.into(),
                against: Some(older),
                memory: Some(memory),
                link: None,
                diff: Vec::new(),
                redacted,
                unembedded,
            }));
        }
        Err(Problem::new(Code::VersionMismatch, "other requests keep changing this memory; try again"))
    }

    /// Supersedes a memory by a new one, or by the memory that has the text already. Returns that memory.
    async fn commit_correction(
        &self,
        there: &WriteAccess,
        new: NewMemory,
        older: &Memory,
    ) -> Result<Memory, Problem> {
        let same = self.store.memory_by_hash(there.space, new.hash).await?;
        let decision = match same {
            None => MemoryDecision {
                changes: vec![supersede_change(older, new.id, new.valid_from)],
                new: Some(new),
                ..MemoryDecision::default()
            },
            Some(same) => {
                let change = match same.superseded {
                    Some(_) => revive_change(&same),
                    None => confirm_change(&same),
                };
                let changes = vec![change, supersede_change(older, same.id, same.valid_from)];
                MemoryDecision { changes, ..MemoryDecision::default() }
            }
        };
        let reason = Some(CORRECTED.into());
        let change = Change::new(there.caller.key(), Decision::Supersede.as_str(), reason);
        let applied = self.commit_decision(vec![there.space], decision, change, None).await?;
        applied.memories().next().cloned().ok_or_else(|| Problem::not_found("memory"))
    }
}

/// Returns the item that an accepted candidate becomes.
fn accepted_item(candidate: Candidate, content: Option<String>) -> Item {
    Item {
        content: content.unwrap_or(candidate.content),
        kind: Some(candidate.kind),
        source: candidate.provenance.source,
        conversation: candidate.provenance.conversation,
        message: candidate.provenance.message,
        ..Item::default()
    }
}
