//! Reading, editing, reviewing and deleting single memories. Every edit can be undone; an erasure cannot.

use std::time::Duration;

use lar_base::{ChangeId, MemoryId, Problem, Timestamp};
use lar_inference::Priority;
use lar_store::{
    Change, ChangeRecord, Memory, MemoryChange, MemoryDecision, MemoryKind, MemoryList, MemoryPatch,
    MemoryStats,
};

use crate::strength::{self, Event};
use crate::{Memories, ReadAccess, WriteAccess, ingest};

/// The time for which deleted memories can be restored.
const KEEP_DELETED: Duration = Duration::from_secs(30 * 24 * 3600);

/// The fields of a memory to change. `None` leaves a field as it is, and `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    /// The new text, 1 byte to 1 MiB without whitespace around it.
    pub content: Option<String>,
    /// The kind that replaces the old one; `None` keeps it.
    pub kind: Option<MemoryKind>,
    /// The tags that replace all old ones: up to 64, each one line of up to 100 characters.
    pub tags: Option<Vec<String>>,
    /// The project that the memory belongs to from now on: one line of up to 500 characters.
    pub project: Option<Option<String>>,
    /// The time when the event happened or the statement was made.
    pub occurred_at: Option<Option<Timestamp>>,
    /// The time from which the memory is true.
    pub valid_from: Option<Option<Timestamp>>,
    /// The time until which the memory is true. It must be later than `valid_from`.
    pub valid_to: Option<Option<Timestamp>>,
    /// Whether the memory is exempt from decay.
    pub pinned: Option<bool>,
    /// Whether the memory is deleted: `true` deletes it, and `false` restores a deleted one.
    pub deleted: Option<bool>,
}

impl Memories {
    /// Returns a memory, even if it is deleted.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`].
    pub async fn get(&self, reader: &ReadAccess, id: MemoryId) -> Result<Memory, Problem> {
        Ok(self.store.memory_get(reader.spaces.clone(), id).await?)
    }

    /// Lists memories, newest first. The spaces in `query` are replaced by the reader's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, reader: &ReadAccess, query: MemoryList) -> Result<Vec<Memory>, Problem> {
        Ok(self.store.memory_list(MemoryList { spaces: reader.spaces.clone(), ..query }).await?)
    }

    /// Returns the counts of memories and open links, and the bytes of RAM that the search indexes take.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stats(&self, reader: &ReadAccess) -> Result<(MemoryStats, usize), Problem> {
        let stats = self.store.memory_stats(reader.spaces.clone()).await?;
        let sizes = reader.spaces.iter().filter_map(|space| self.indexes.size(*space));
        Ok((stats, sizes.map(|(bytes, _)| bytes).sum()))
    }

    /// Returns all changes of a memory, oldest first.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`].
    pub async fn history(&self, reader: &ReadAccess, id: MemoryId) -> Result<Vec<ChangeRecord>, Problem> {
        Ok(self.store.memory_history(reader.spaces.clone(), id).await?)
    }

    /// Changes a memory. With `expected`, only if it still has that version.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] for an invalid field; [`lar_base::Code::VersionMismatch`];
    /// [`lar_base::Code::Conflict`] if an identical memory exists; as [`Memories::review`].
    pub async fn edit(
        &self,
        writer: &WriteAccess,
        id: MemoryId,
        edit: Edit,
        expected: Option<i64>,
    ) -> Result<Memory, Problem> {
        let found = self.get_writable(writer, id).await?;
        let screen = |tags: Vec<String>| tags.into_iter().map(|tag| self.screen_field("tags", tag)).collect();
        let tags: Option<Vec<String>> = edit.tags.map(screen).transpose()?;
        let mut patch = MemoryPatch {
            kind: edit.kind,
            tags: tags.map(ingest::check_tags).transpose()?,
            occurred_at: edit.occurred_at,
            valid_from: edit.valid_from,
            valid_to: edit.valid_to,
            pinned: edit.pinned,
            deleted_at: edit.deleted.map(|deleted| deleted.then(Timestamp::now)),
            ..MemoryPatch::default()
        };
        if let Some(Some(project)) = &edit.project {
            ingest::check_name("project", project)?;
        }
        let screen = |project: String| self.screen_field("project", project);
        patch.project = edit.project.map(|project| project.map(screen).transpose()).transpose()?;
        let or = |changed: Option<Option<Timestamp>>, found| changed.unwrap_or(found);
        ingest::check_times(or(patch.valid_from, found.valid_from), or(patch.valid_to, found.valid_to))?;
        let content = match edit.content {
            Some(content) => self.screen_field("content", ingest::check_content(&content)?)?,
            None => found.content.clone(),
        };
        let action = match (edit.deleted, edit.pinned) {
            (Some(true), _) => "forget",
            (Some(false), _) => "restore",
            (None, Some(true)) => "pin",
            (None, Some(false)) => "unpin",
            (None, None) => "edit",
        };
        self.rewrite(&found, &mut patch, content);
        let chunks = self.chunks_of(writer, &found, &patch).await?;
        let change = MemoryChange { id, patch, chunks, expected };
        let record = Change::new(writer.caller.key(), action, None);
        self.commit_change(writer, change, record).await
    }

    /// Records an event that changes a memory's strength, with an optional reason.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`]; [`lar_base::Code::ForbiddenSpace`] if the writer may only read the
    /// memory.
    pub async fn review(
        &self,
        writer: &WriteAccess,
        id: MemoryId,
        event: Event,
        reason: Option<String>,
    ) -> Result<Memory, Problem> {
        let found = self.get_writable(writer, id).await?;
        let reason = reason.map(|reason| self.screen_field("reason", reason)).transpose()?;
        let strength = strength::review(&found.strength, event.grade(), Timestamp::now());
        let patch = MemoryPatch { strength: Some(strength), ..MemoryPatch::default() };
        let change = MemoryChange { id, patch, chunks: Vec::new(), expected: None };
        let record = Change::new(writer.caller.key(), event.as_str(), reason);
        self.commit_change(writer, change, record).await
    }

    /// Undoes the last decision about a memory, in every memory that the decision changed.
    ///
    /// A link that the decision resolved is open again. With `expected`, only if the last decision is that
    /// one. An undo is itself a decision, so undoing twice would redo the first decision.
    ///
    /// # Errors
    /// [`lar_base::Code::Conflict`] if there is nothing to undo, the last decision is another, or a later
    /// decision depends on it; as [`Memories::review`].
    pub async fn undo(
        &self,
        writer: &WriteAccess,
        id: MemoryId,
        expected: Option<ChangeId>,
    ) -> Result<Vec<Memory>, Problem> {
        self.get_writable(writer, id).await?;
        let spaces = writer.spaces.clone();
        let last = self.store.memory_last_decision(spaces.clone(), id).await?;
        let conflict = |reason: String| Problem::new(lar_base::Code::Conflict, reason);
        let Some(decision) = last.first().map(|record| record.decision) else {
            return Err(conflict(format!("memory {id} has no change to undo")));
        };
        if expected.is_some_and(|expected| expected != decision) {
            return Err(conflict(format!("memory {id} has changed since, or this change is already undone")));
        }
        let mut chunks = Vec::new();
        for record in &last {
            if record.before.content.is_some() {
                let found = self.store.memory_get(spaces.clone(), record.memory).await?;
                chunks.push((record.memory, self.chunks_of(writer, &found, &record.before).await?));
            }
        }
        let change = Change::new(writer.caller.key(), "undo", None);
        self.commit_undo(spaces, id, decision, chunks, change).await
    }

    /// Returns the last decision about a memory that is not undone.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`].
    pub(crate) async fn last_decision(
        &self,
        writer: &WriteAccess,
        id: MemoryId,
    ) -> Result<Option<ChangeId>, Problem> {
        let last = self.store.memory_last_decision(writer.spaces.clone(), id).await?;
        Ok(last.first().map(|record| record.decision))
    }

    /// Erases a memory permanently, with its chunks, its history and its links.
    ///
    /// # Errors
    /// As [`Memories::review`].
    pub async fn erase(&self, writer: &WriteAccess, id: MemoryId) -> Result<(), Problem> {
        let found = self.get_writable(writer, id).await?;
        self.commit_erasure(found.space, id).await
    }

    /// Removes memories that were deleted 30 days ago and expired inbox candidates for good. Returns the
    /// number of memories.
    ///
    /// If one of the two fails, the other still runs.
    ///
    /// # Errors
    /// When the database fails. If both fail, the error of the inbox is returned.
    pub async fn purge(&self) -> Result<usize, Problem> {
        let waited = self.store.candidates_purge(Timestamp::now().before(crate::inbox::WAIT)).await;
        let deleted = self.store.memories_purge(Timestamp::now().before(KEEP_DELETED)).await;
        self.store.remove_from_answers().await;
        for (space, seq) in deleted.iter().flat_map(|purged| &purged.restored) {
            self.indexes.update(*space, &[*seq]).await?;
        }
        waited?;
        Ok(deleted?.count)
    }

    /// Applies a decision that changes one memory, and returns it.
    async fn commit_change(
        &self,
        writer: &WriteAccess,
        change: MemoryChange,
        record: Change,
    ) -> Result<Memory, Problem> {
        let id = change.id;
        let decision = MemoryDecision { changes: vec![change], ..MemoryDecision::default() };
        let applied = self.commit_decision(writer.spaces.clone(), decision, record, None).await?;
        applied.changed.into_iter().next().ok_or_else(|| Problem::not_found(format!("memory {id}")))
    }

    /// Drops the indexes of these spaces. The next search rebuilds them.
    pub fn forget_indexes(&self, reader: &ReadAccess) {
        reader.spaces.iter().for_each(|space| self.indexes.forget(*space));
    }

    /// Adds the content and the new hash to the patch if the hash changes. The hash also covers tags and
    /// times.
    pub(crate) fn rewrite(&self, found: &Memory, patch: &mut MemoryPatch, content: String) {
        let hash = ingest::hash(
            &content,
            patch.tags.as_ref().unwrap_or(&found.tags),
            found.provenance.source.as_deref(),
            patch.project.as_ref().unwrap_or(&found.project).as_deref(),
            patch.occurred_at.unwrap_or(found.occurred_at),
        );
        if hash != found.hash {
            patch.content = Some((content, hash));
        }
    }

    /// Returns the chunks of the patch's new content, or none if the patch has no content.
    pub(crate) async fn chunks_of(
        &self,
        writer: &WriteAccess,
        found: &Memory,
        patch: &MemoryPatch,
    ) -> Result<Vec<lar_store::NewChunk>, Problem> {
        let Some((content, _)) = &patch.content else { return Ok(Vec::new()) };
        let before = match found.after {
            Some(id) => self.store.memory_get(vec![found.space], id).await.ok().map(|before| before.content),
            None => None,
        };
        let tags = patch.tags.as_ref().unwrap_or(&found.tags);
        let occurred_at = patch.occurred_at.unwrap_or(found.occurred_at);
        let mut prepared = [ingest::prepare(content, tags, occurred_at, before.as_deref())];
        if self.embed_all(writer, &mut prepared, Priority::Interactive).await.is_err() {
            self.backfill.wake();
        }
        let [prepared] = prepared;
        Ok(prepared.chunks)
    }

    /// Screens a changed field for secrets. Returns the text, redacted if the policy says so.
    fn screen_field(&self, field: &str, mut text: String) -> Result<String, Problem> {
        self.options.secrets.screen(field, &mut text)?;
        Ok(text)
    }
}
