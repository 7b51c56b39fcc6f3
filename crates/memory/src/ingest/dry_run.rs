//! The dry run of ingest: the decision about each item, without storing anything.
//!
//! It makes the checks of [`Memories::ingest_batch`]. Embedding is left out, because it decides nothing.

use std::collections::HashSet;

use lar_base::{MemoryId, Problem};

use super::batch::check_count;
use super::screening::{AcceptedItem, ScreenedItem};
use super::{Item, hash_of};
use crate::{Memories, WriteAccess};

/// The decision that [`Memories::ingest_batch`] would make about an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestPreview {
    /// The item would become a new memory.
    Create {
        /// The rules that found secrets, which would be redacted.
        redacted: Vec<String>,
    },
    /// An identical memory exists, or an earlier item of the same call is identical.
    Duplicate {
        /// The id of the existing memory; `None` for an identical item.
        of: Option<MemoryId>,
    },
    /// The item would be refused.
    Refuse(Problem),
}

impl Memories {
    /// Decides about items as [`Memories::ingest_batch`] would, and stores nothing. An item that could not be
    /// parsed is refused with its error.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] if there is no item, or more than a batch may have; when the database
    /// fails.
    pub async fn preview_ingest(
        &self,
        writer: &WriteAccess,
        items: Vec<Result<Item, Problem>>,
    ) -> Result<Vec<IngestPreview>, Problem> {
        check_count(items.len())?;
        let mut seen = HashSet::new();
        let mut previews = Vec::with_capacity(items.len());
        for screened in self.screen_all(writer, items).await? {
            previews.push(match screened {
                ScreenedItem::Accepted(item) => self.preview(writer, item, &mut seen).await?,
                ScreenedItem::Refused(refusal) => IngestPreview::Refuse(refusal.problem),
            });
        }
        Ok(previews)
    }

    /// Decides about an item that may be saved. `seen` has the hashes of the items before it.
    async fn preview(
        &self,
        writer: &WriteAccess,
        AcceptedItem { item, redacted, .. }: AcceptedItem,
        seen: &mut HashSet<[u8; 32]>,
    ) -> Result<IngestPreview, Problem> {
        let hash = hash_of(&item);
        if let Some(same) = self.store.memory_by_hash(writer.space, hash).await? {
            return Ok(IngestPreview::Duplicate { of: Some(same.id) });
        }
        let is_first = seen.insert(hash);
        Ok(if is_first { IngestPreview::Create { redacted } } else { IngestPreview::Duplicate { of: None } })
    }
}
