//! The inbox: what may be worth remembering waits there for a person's word, for two weeks.
//!
//! What waits is private until it is accepted: a key sees, accepts and rejects what it noted itself, and with the scope
//! `conversations` what any key of the person noted. An accepted candidate is a memory, which every key that may read
//! its space sees.

use std::time::Duration;

use lar_base::{CandidateId, Problem, Timestamp};
use lar_store::{Candidate, MemoryKind, Provenance};

use crate::smart::Decided;
use crate::{Item, Memories, Reader, Writer, ingest, screen};

/// How long a candidate waits.
pub(crate) const WAIT: Duration = Duration::from_secs(14 * 24 * 3600);
/// Candidates that are listed at most.
const LISTED_MAX: u32 = 200;

impl Memories {
    /// Notes that this may be worth remembering, and why it is not remembered at once. What holds a secret is not
    /// noted.
    ///
    /// # Errors
    /// Which field is wrong; when the database fails.
    pub async fn suggest(&self, writer: &Writer, item: Item, reason: String) -> Result<(), Problem> {
        let content = ingest::checked_content(&item.content)?;
        if screen::has_secret(&content) {
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

    /// What waits and the caller may see, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn inbox(&self, reader: &Reader) -> Result<Vec<Candidate>, Problem> {
        let since = Timestamp::now().before(WAIT);
        let visible = reader.caller.visible_tasks();
        Ok(self.store.candidate_list(reader.spaces.clone(), visible, since, LISTED_MAX).await?)
    }

    /// Remembers what waited, with regard to what is known; another text in its place where one is given.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] when it does not wait, or the caller may not see it; as [`Memories::ingest_smart`].
    pub async fn accept(
        &self,
        writer: &Writer,
        id: CandidateId,
        content: Option<String>,
    ) -> Result<Decided, Problem> {
        let candidate = self.candidate(writer, id).await?;
        let item = Item {
            content: content.unwrap_or(candidate.content),
            kind: Some(candidate.kind),
            source: candidate.provenance.source,
            conversation: candidate.provenance.conversation,
            message: candidate.provenance.message,
            ..Item::default()
        };
        let there = Writer { space: candidate.space, ..writer.clone() };
        let decided = self.ingest_smart(&there, item, None).await?;
        self.store.candidate_remove(id).await?;
        Ok(decided)
    }

    /// Forgets what waits with this text, if anything does.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn dismiss_text(&self, writer: &Writer, content: &str) -> Result<(), Problem> {
        let (visible, since) = (writer.caller.visible_tasks(), Timestamp::now().before(WAIT));
        let waiting = self.store.candidate_list(vec![writer.space], visible, since, LISTED_MAX).await?;
        for candidate in waiting.into_iter().filter(|candidate| candidate.content == content) {
            self.store.candidate_remove(candidate.id).await?;
        }
        Ok(())
    }

    /// Forgets what waited.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] when it does not wait, or the caller may not see it.
    pub async fn dismiss(&self, writer: &Writer, id: CandidateId) -> Result<(), Problem> {
        self.candidate(writer, id).await?;
        Ok(self.store.candidate_remove(id).await?)
    }

    /// A candidate that a writer may accept or reject.
    async fn candidate(&self, writer: &Writer, id: CandidateId) -> Result<Candidate, Problem> {
        let visible = writer.caller.visible_tasks();
        Ok(self.store.candidate_get(writer.spaces.clone(), visible, id).await?)
    }
}
