//! The changes that a decision about memories consists of: superseding a memory, confirming it, and giving it
//! another text. Smart ingest, the inbox and links use them.
//!
//! Each change names the version of the memory that it was computed from. If the memory changes meanwhile,
//! the decision fails with [`lar_base::Code::VersionMismatch`], and its maker tries again, at most
//! [`TRIES_MAX`] times.

use lar_base::{MemoryId, Problem, Timestamp};
use lar_store::{Memory, MemoryChange, MemoryPatch};

use crate::strength::{self, Event};
use crate::{Memories, WriteAccess, ingest};

/// The most attempts at a decision when a memory changes meanwhile. Decisions of one space run one after
/// another, so only other kinds of changes can interfere.
pub(crate) const TRIES_MAX: usize = 4;

/// Another text for a memory.
pub(crate) struct Rewrite<'a> {
    /// The text that replaces the old one.
    pub(crate) content: String,
    /// The tags to add.
    pub(crate) tags: &'a [String],
    /// The new start of its validity; `None` keeps the old one.
    pub(crate) valid_from: Option<Timestamp>,
    /// The new end of its validity; `None` keeps the old one.
    pub(crate) valid_to: Option<Timestamp>,
}

/// Returns a change of a memory that has not changed since it was read.
pub(crate) fn memory_change(known: &Memory, patch: MemoryPatch) -> MemoryChange {
    MemoryChange { id: known.id, patch, chunks: Vec::new(), expected: Some(known.version) }
}

/// Returns the change that supersedes a memory now. Its validity ends at `valid_from`, when that of the new
/// memory starts.
pub(crate) fn supersede_change(known: &Memory, by: MemoryId, valid_from: Option<Timestamp>) -> MemoryChange {
    let from = valid_from.filter(|from| known.valid_from.is_none_or(|start| *from > start));
    let patch = MemoryPatch {
        superseded: Some(Some((by, Timestamp::now()))),
        valid_to: from.map(Some).filter(|_| known.valid_to.is_none()),
        ..MemoryPatch::default()
    };
    memory_change(known, patch)
}

/// Returns the change that makes a superseded memory current again.
pub(crate) fn revive_change(known: &Memory) -> MemoryChange {
    let patch = MemoryPatch { superseded: Some(None), valid_to: Some(None), ..MemoryPatch::default() };
    memory_change(known, patch)
}

/// Returns the change that strengthens a memory because it was confirmed.
pub(crate) fn confirm_change(known: &Memory) -> MemoryChange {
    let strength = strength::review(&known.strength, Event::Confirmed.grade(), Timestamp::now());
    memory_change(known, MemoryPatch { strength: Some(strength), ..MemoryPatch::default() })
}

/// Returns the tags of a memory, and then those that it does not have yet.
pub(crate) fn join_tags(known: &[String], more: &[String]) -> Vec<String> {
    known.iter().chain(more.iter().filter(|tag| !known.contains(tag))).cloned().collect()
}

impl Memories {
    /// Returns the change that gives a memory another text and more tags. If these are too many tags, it
    /// keeps its own.
    pub(crate) async fn rewrite_change(
        &self,
        writer: &WriteAccess,
        known: &Memory,
        rewrite: Rewrite<'_>,
    ) -> Result<MemoryChange, Problem> {
        let mut patch = MemoryPatch {
            tags: ingest::check_tags(join_tags(&known.tags, rewrite.tags)).ok(),
            valid_from: rewrite.valid_from.map(Some),
            valid_to: rewrite.valid_to.map(Some),
            ..MemoryPatch::default()
        };
        self.rewrite(known, &mut patch, rewrite.content);
        let chunks = self.chunks_of(writer, known, &patch).await?;
        Ok(MemoryChange { chunks, ..memory_change(known, patch) })
    }
}
