//! The inbox: candidates for memories wait two weeks for the user to accept or reject them.
//!
//! A candidate is private to the key that suggested it. With the scope `conversations`, a key has access to
//! the candidates of all keys of the user. If several keys suggested the same text, a caller with access to
//! all of them sees one entry, and rejecting it removes the text for all of these keys.
//!
//! An accepted candidate becomes a memory, visible to every key that may read its space. Accepting also
//! removes the text from the inbox of all keys of the user. A candidate may correct a memory: accepting it
//! then supersedes that memory ([`accept`]).

mod accept;

use std::time::Duration;

use lar_base::{CandidateId, MemoryId, Problem, SpaceId, Timestamp};
use lar_store::{Candidate, Memory, MemoryKind, Provenance};

use crate::{Item, Memories, ReadAccess, WriteAccess, ingest};

/// The time after which a candidate expires.
pub(crate) const WAIT: Duration = Duration::from_secs(14 * 24 * 3600);

/// A candidate as it is shown to the user.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxEntry {
    /// The candidate, which waits for a decision.
    pub candidate: Candidate,
    /// The current memory that it would make outdated; `None` if there is none.
    pub may_replace: Option<Memory>,
}

impl Memories {
    /// Adds a candidate to the inbox, with the reason why it was not saved directly. `may_replace` is the
    /// memory of the writer's space that the text would make outdated.
    ///
    /// Returns the candidate's id: that of an earlier one if the key suggested the text before, and `None` if
    /// nothing was added. A text that contains a secret is ignored.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] for an invalid text; when the database fails.
    pub async fn suggest(
        &self,
        writer: &WriteAccess,
        item: Item,
        reason: String,
        may_replace: Option<MemoryId>,
    ) -> Result<Option<CandidateId>, Problem> {
        let content = ingest::check_content(&item.content)?;
        if lar_text::secrets::has_secret(&content) {
            return Ok(None);
        }
        let candidate = Candidate {
            id: CandidateId::new(),
            space: writer.space,
            content,
            kind: item.kind.unwrap_or(MemoryKind::Fact),
            provenance: Provenance {
                key: writer.caller.key(),
                source: item.source,
                conversation: item.conversation,
                message: item.message,
            },
            reason,
            created_at: Timestamp::now(),
            may_replace,
        };
        Ok(self.store.candidate_create(candidate).await?)
    }

    /// Lists the candidates that the caller may see, newest first: at most `limit`, older than `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn inbox(
        &self,
        reader: &ReadAccess,
        after: Option<CandidateId>,
        limit: u32,
    ) -> Result<Vec<InboxEntry>, Problem> {
        let since = Timestamp::now().before(WAIT);
        let visible = reader.caller.visible_keys();
        let spaces = || reader.spaces.clone();
        let candidates = self.store.candidate_list(spaces(), visible, since, after, limit).await?;
        let ids = candidates.iter().filter_map(|candidate| candidate.may_replace).collect();
        let memories = self.store.memories_by_id(spaces(), ids).await?;
        let entries = candidates.into_iter().map(|candidate| {
            let is_replaced = |memory: &&Memory| {
                candidate.may_replace == Some(memory.id) && is_current(memory, candidate.space)
            };
            let may_replace = memories.iter().find(is_replaced).cloned();
            InboxEntry { candidate, may_replace }
        });
        Ok(entries.collect())
    }

    /// Removes a text from the inbox of the writer's space for all keys of the user, who has decided about
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn dismiss_text(&self, writer: &WriteAccess, content: &str) -> Result<(), Problem> {
        self.dismiss_texts(writer, vec![content.to_owned()]).await
    }

    /// Dismisses several texts like [`Memories::dismiss_text`], in one commit.
    pub(crate) async fn dismiss_texts(
        &self,
        writer: &WriteAccess,
        contents: Vec<String>,
    ) -> Result<(), Problem> {
        self.store.candidates_remove_of_user(writer.space, writer.caller.user(), contents).await?;
        Ok(())
    }

    /// Rejects a candidate: removes its text for every key that suggested it and that the caller may see.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] if there is no such candidate or the caller may not see it.
    pub async fn dismiss(&self, writer: &WriteAccess, id: CandidateId) -> Result<(), Problem> {
        let Candidate { space, content, .. } = self.candidate(writer, id).await?;
        self.store.candidates_remove(space, writer.caller.visible_keys(), content).await?;
        Ok(())
    }

    /// Loads a candidate that the writer may accept or reject.
    async fn candidate(&self, writer: &WriteAccess, id: CandidateId) -> Result<Candidate, Problem> {
        let visible = writer.caller.visible_keys();
        Ok(self.store.candidate_get(writer.spaces.clone(), visible, id).await?)
    }
}

/// Returns whether a memory is in this space and neither deleted nor superseded.
fn is_current(memory: &Memory, space: SpaceId) -> bool {
    memory.space == space && memory.deleted_at.is_none() && memory.superseded.is_none()
}
