//! The inbox: what may be worth remembering waits there for a person's word, for two weeks.
//!
//! What waits is private until it is accepted: a key sees, accepts and rejects what it noted itself, and with the scope
//! `conversations` what any key of the person noted. A text that several keys noted waits for each of them and is one
//! line for whoever sees them all: rejecting that line rejects the text for all of them. An accepted candidate is a memory,
//! which every key that may read its space sees; its text waits for none of the person's keys any more.

use std::time::Duration;

use lar_base::{CandidateId, Problem, Timestamp};
use lar_store::{Candidate, MemoryKind, Provenance};

use crate::smart::SmartIngestResult;
use crate::{Item, Memories, ReadAccess, WriteAccess, ingest, secret_scan};

/// How long a candidate waits.
pub(crate) const WAIT: Duration = Duration::from_secs(14 * 24 * 3600);

impl Memories {
    /// Notes that this may be worth remembering, and why it is not remembered at once. What holds a secret is not
    /// noted.
    ///
    /// # Errors
    /// Which field is wrong; when the database fails.
    pub async fn suggest(&self, writer: &WriteAccess, item: Item, reason: String) -> Result<(), Problem> {
        let content = ingest::check_content(&item.content)?;
        if secret_scan::has_secret(&content) {
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

    /// What waits and the caller may see, newest first: at most `limit`, of those that were noted before `after`.
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

    /// Remembers what waited, with regard to what is known; another text in its place where one is given.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] when it does not wait, or the caller may not see it; as [`Memories::ingest_smart`].
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

    /// Forgets what waits with this text in the writer's space, whichever keys of the person noted it: the person has
    /// decided about it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn dismiss_text(&self, writer: &WriteAccess, content: &str) -> Result<(), Problem> {
        let (user, content) = (writer.caller.user(), content.to_owned());
        self.store.candidates_remove_of_user(writer.space, user, content).await?;
        Ok(())
    }

    /// Forgets what waited, for every key that the caller sees and that noted it.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] when it does not wait, or the caller may not see it.
    pub async fn dismiss(&self, writer: &WriteAccess, id: CandidateId) -> Result<(), Problem> {
        let Candidate { space, content, .. } = self.candidate(writer, id).await?;
        self.store.candidates_remove(space, writer.caller.visible_keys(), content).await?;
        Ok(())
    }

    /// A candidate that a writer may accept or reject.
    async fn candidate(&self, writer: &WriteAccess, id: CandidateId) -> Result<Candidate, Problem> {
        let visible = writer.caller.visible_keys();
        Ok(self.store.candidate_get(writer.spaces.clone(), visible, id).await?)
    }
}
