//! The inbox: candidates for memories wait two weeks for the user to accept or reject them.
//!
//! A candidate is private to the key that suggested it. With the scope `conversations`, a key has access to
//! the candidates of all keys of the user. If several keys suggested the same text, a caller with access to
//! all of them sees one entry, and rejecting it removes the text for all of these keys.
//!
//! An accepted candidate becomes a memory, visible to every key that may read its space. Accepting also
//! removes the text from the inbox of all keys of the user.

use std::time::Duration;

use lar_base::{CandidateId, Problem, Timestamp};
use lar_store::{Candidate, MemoryKind, Provenance};

use crate::smart::SmartIngestResult;
use crate::{Item, Memories, ReadAccess, WriteAccess, ingest};

/// The time after which a candidate expires.
pub(crate) const WAIT: Duration = Duration::from_secs(14 * 24 * 3600);

impl Memories {
    /// Adds a candidate to the inbox, with the reason why it was not saved directly.
    ///
    /// A text that contains a secret is ignored.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] for an invalid text; when the database fails.
    pub async fn suggest(&self, writer: &WriteAccess, item: Item, reason: String) -> Result<(), Problem> {
        let content = ingest::check_content(&item.content)?;
        if lar_text::secrets::has_secret(&content) {
            return Ok(());
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
    ) -> Result<Vec<Candidate>, Problem> {
        let since = Timestamp::now().before(WAIT);
        let visible = reader.caller.visible_keys();
        Ok(self.store.candidate_list(reader.spaces.clone(), visible, since, after, limit).await?)
    }

    /// Accepts a candidate: saves its text, or `content` instead, with smart ingest.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] if there is no such candidate or the caller may not see it; as
    /// [`Memories::ingest_smart`].
    pub async fn accept(
        &self,
        writer: &WriteAccess,
        id: CandidateId,
        content: Option<String>,
    ) -> Result<SmartIngestResult, Problem> {
        let candidate = self.candidate(writer, id).await?;
        let item = Item {
            content: content.unwrap_or_else(|| candidate.content.clone()),
            kind: Some(candidate.kind),
            source: candidate.provenance.source,
            conversation: candidate.provenance.conversation,
            message: candidate.provenance.message,
            ..Item::default()
        };
        let there = WriteAccess { space: candidate.space, ..writer.clone() };
        let decided = self.ingest_smart(&there, item, None).await?;
        self.dismiss_text(&there, &candidate.content).await?;
        Ok(decided)
    }

    /// Removes a text from the inbox of the writer's space for all keys of the user, who has decided about
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn dismiss_text(&self, writer: &WriteAccess, content: &str) -> Result<(), Problem> {
        let (user, content) = (writer.caller.user(), content.to_owned());
        self.store.candidates_remove_of_user(writer.space, user, content).await?;
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
