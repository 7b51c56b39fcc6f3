//! Ingest of several memories. A refused item does not refuse the others.

use lar_base::{Code, MemoryId, Problem};
use lar_store::{Change, IdempotentRequest, Memory, StoredMemory};

use super::screening::{AcceptedItem, ScreenedItem};
use super::{BATCH_MAX, IngestResult, Item};
use crate::smart::Decision;
use crate::{Memories, WriteAccess};

/// The most bytes in a batch.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// The reason in the history of a superseded memory that is current again.
const SAVED_AGAIN: &str = "saved again";

impl Memories {
    /// Saves memories in order, in one commit. An item identical to a memory in content, tags, source, project
    /// and time is not stored twice.
    ///
    /// Returns one result per item: the memory, or the reason why the item is refused. An item that could not
    /// be parsed is refused with its error.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] if there are no items, or more than a batch may have; when the
    /// database fails. Nothing is stored then.
    pub async fn ingest_batch(
        &self,
        writer: &WriteAccess,
        items: Vec<Result<Item, Problem>>,
        once: Option<IdempotentRequest>,
    ) -> Result<Vec<Result<IngestResult, Problem>>, Problem> {
        check_count(items.len())?;
        let (accepted, refusals) = self.accept_or_refuse(writer, items).await?;
        let bytes: usize = accepted.iter().map(|accepted| accepted.item.content.len()).sum();
        if bytes > BATCH_BYTES_MAX {
            let reason = format!("has {bytes} bytes in total; the limit is {BATCH_BYTES_MAX}");
            return Err(Problem::invalid("items", reason));
        }
        let mut saved = Vec::new();
        if !accepted.is_empty() {
            let redacted: Vec<Vec<String>> = accepted.iter().map(|item| item.redacted.clone()).collect();
            let (new, unembedded) = self.prepare_all(writer, accepted).await;
            let stored = self.store_new(writer, new, once).await?;
            if unembedded.is_some() {
                self.backfill.wake();
            }
            let contents = stored.iter().map(|stored| stored.memory.content.clone());
            self.dismiss_texts(writer, contents.collect()).await?;
            for (StoredMemory { mut memory, created }, redacted) in stored.into_iter().zip(redacted) {
                if memory.superseded.is_some() {
                    memory = self.revive(writer, memory).await?;
                }
                self.metrics.record_ingest(if created { "create" } else { "duplicate" });
                let unembedded = unembedded.clone().filter(|_| created);
                saved.push(IngestResult { memory, created, redacted, unembedded });
            }
        }
        Ok(in_order(saved, refusals))
    }

    /// Makes a superseded memory current again, because its text is saved again.
    async fn revive(&self, writer: &WriteAccess, memory: Memory) -> Result<Memory, Problem> {
        let _lock = self.space_locks.lock(writer.space).await;
        let revival = self.revival(writer, &memory, memory.valid_from).await?;
        let change = Change::new(writer.caller.key(), Decision::Update.as_str(), Some(SAVED_AGAIN.into()));
        match self.commit_decision(vec![writer.space], revival, change, None).await {
            // Something else changed it meanwhile.
            Err(problem) if problem.code == Code::VersionMismatch => Ok(memory),
            applied => Ok(applied?.changed.into_iter().next().unwrap_or(memory)),
        }
    }

    /// Returns the results of an earlier identical batch, from the ids of the memories that it stored.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] if one of them no longer exists.
    pub async fn find_past_batch(
        &self,
        writer: &WriteAccess,
        items: Vec<Result<Item, Problem>>,
        ids: Vec<MemoryId>,
    ) -> Result<Vec<Result<IngestResult, Problem>>, Problem> {
        let mut saved = Vec::with_capacity(ids.len());
        for id in ids {
            saved.push(self.find_past_ingest(writer, id).await?);
        }
        let screened = self.screen_all(writer, items).await?;
        let refusals = screened.into_iter().map(|screened| match screened {
            ScreenedItem::Accepted(_) => None,
            ScreenedItem::Refused(refusal) => Some(refusal.problem),
        });
        Ok(in_order(saved, refusals.collect()))
    }

    /// Checks items. Returns those that may be saved, and for each item the reason if it may not.
    async fn accept_or_refuse(
        &self,
        writer: &WriteAccess,
        items: Vec<Result<Item, Problem>>,
    ) -> Result<(Vec<AcceptedItem>, Vec<Option<Problem>>), Problem> {
        let (mut accepted, mut refusals) = (Vec::new(), Vec::with_capacity(items.len()));
        for screened in self.screen_all(writer, items).await? {
            refusals.push(match screened {
                ScreenedItem::Accepted(item) => {
                    accepted.push(item);
                    None
                }
                ScreenedItem::Refused(refusal) => Some(self.quarantine(writer, refusal).await?),
            });
        }
        Ok((accepted, refusals))
    }
}

/// Checks the number of items of a batch.
pub(super) fn check_count(count: usize) -> Result<(), Problem> {
    if (1..=BATCH_MAX).contains(&count) {
        return Ok(());
    }
    Err(Problem::invalid("items", format!("must contain 1 to {BATCH_MAX} memories")))
}

/// Returns one result per item: its refusal, or else the next saved memory.
fn in_order(saved: Vec<IngestResult>, refusals: Vec<Option<Problem>>) -> Vec<Result<IngestResult, Problem>> {
    let mut saved = saved.into_iter();
    refusals.into_iter().filter_map(|refusal| refusal.map(Err).or_else(|| saved.next().map(Ok))).collect()
}
