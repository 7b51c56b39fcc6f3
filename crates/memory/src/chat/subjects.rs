//! The memories about a subject that a person asks to forget or to list.
//!
//! A memory is about a subject if it has all of its words, in any form, or other words of the same aspect of
//! life: "Lives in Rome" is about "my address". One memory is forgotten only if it is clear which one.

use lar_base::{ChangeId, Problem, Scope, Timestamp};
use lar_store::{Change, Memory, MemoryChange, MemoryDecision, MemoryList, MemoryPatch};
use lar_text::subjects::{Subject, SubjectText};

use super::activity::{Forgotten, Listed, MemoryActivity};
use super::{day_of, excerpt, start_of};
use crate::{Hit, Memories, ReadAccess, Search, WriteAccess};

/// A single memory is forgotten only with a similarity that is certain with this embedder, or with at least this share
/// of the subject's words by weight.
const FORGET_PRESENCE_MIN: f32 = 0.7;
/// The share by weight of the words of X that a memory needs to be "about X".
const ABOUT_PRESENCE_MIN: f32 = 0.99;
/// A listed memory without the words of a subject has at least this similarity.
const LIST_SIMILARITY_MIN: f32 = 0.45;
/// The most memories that one message can forget.
const FORGOTTEN_MAX: usize = 200;
/// The most memories that one message can list.
const LISTED_MAX: usize = 50;
/// The number of the newest memories that are compared with a subject, beside those that a search finds.
const NEWEST_MAX: usize = 200;
/// Marks after which a subject may go on with a reason: "my address, I'm moving".
const PAUSES: [char; 9] = [',', ';', '.', '!', '–', '—', '(', '，', '。'];

impl Memories {
    /// Forgets the memory that is most clearly about a subject, or all memories that contain its words.
    pub(super) async fn forget(
        &self,
        writer: &WriteAccess,
        what: Option<&str>,
        all: bool,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let mut found = match (what, all) {
            (Some(what), true) => self.memories_about(&reader, what, FORGOTTEN_MAX).await?,
            (Some(what), false) => self.clearest_memory(&reader, what).await?,
            (None, _) => Vec::new(),
        };
        found.retain(|memory| memory.space == writer.space);
        if found.is_empty() {
            activity.refused.push(match what {
                Some(what) => format!("No memory is clearly about “{}”.", what.trim_end_matches('.')),
                None => "To forget everything, use the memory page or `lar memory forget`.".into(),
            });
            return Ok(());
        }
        let change = self.forget_memories(writer, &found).await?;
        activity.forgotten.extend(found.into_iter().map(|memory| Forgotten {
            id: memory.id.to_string(),
            content: excerpt(&memory.content),
            change: Some(change.to_string()),
        }));
        Ok(())
    }

    /// Lists what is known about a subject, or the newest memories.
    pub(super) async fn list_known(
        &self,
        writer: &WriteAccess,
        what: Option<&str>,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        // A key that may not read memories must not list them.
        if !writer.caller.has(Scope::MemoryRead) {
            return Ok(());
        }
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let mut found = match what {
            Some(what) => self.memories_about(&reader, what, LISTED_MAX).await?,
            None => self.newest_memories(&reader, LISTED_MAX).await?,
        };
        if let Some(what) = what {
            // Listing changes nothing, so similar memories are listed as well.
            let is_similar = |hit: &Hit| hit.similarity.is_some_and(|found| found >= LIST_SIMILARITY_MIN);
            let similar = self.hits(&reader, what, LISTED_MAX).await?.into_iter().filter(is_similar);
            for Hit { memory, .. } in similar {
                if found.len() < LISTED_MAX && found.iter().all(|listed| listed.id != memory.id) {
                    found.push(memory);
                }
            }
        }
        activity.listed.extend(found.into_iter().map(|memory| Listed {
            id: memory.id.to_string(),
            day: day_of(&memory),
            content: excerpt(&memory.content),
        }));
        Ok(())
    }

    /// Returns the memory that is most clearly about a subject, if any.
    async fn clearest_memory(&self, reader: &ReadAccess, what: &str) -> Result<Vec<Memory>, Problem> {
        for what in readings(what) {
            let hits = self.hits(reader, what, 1).await?;
            let subject = Subject::of(what);
            let clear = |hit: &Hit| {
                let text = SubjectText::of(&hit.memory.content);
                hit.presence >= FORGET_PRESENCE_MIN
                    && subject.names_fit(&text)
                    && (!subject.is_own() || subject.is_in(&text))
            };
            if let Some(hit) = hits.into_iter().find(clear) {
                return Ok(vec![hit.memory]);
            }
            let about = self.memories_in_other_words(reader, what).await?;
            // If several memories may be meant, none of them is forgotten.
            if !about.is_empty() {
                return Ok(if about.len() == 1 { about } else { Vec::new() });
            }
        }
        let subject = Subject::of(what);
        let search = Search { query: start_of(what).to_owned(), limit: 1, ..Search::default() };
        let found = self.search(reader, search).await?;
        let similar = |hit: &Hit| {
            hit.similarity.is_some_and(|similarity| similarity >= found.certain_similarity)
                && subject.may_be_in(&SubjectText::of(&hit.memory.content))
        };
        Ok(found.hits.into_iter().filter(similar).map(|hit| hit.memory).collect())
    }

    /// Returns the current memories about a subject, best first.
    async fn memories_about(
        &self,
        reader: &ReadAccess,
        what: &str,
        limit: usize,
    ) -> Result<Vec<Memory>, Problem> {
        for what in readings(what) {
            let subject = Subject::of(what);
            let is_about = |hit: &Hit| {
                hit.presence >= ABOUT_PRESENCE_MIN && subject.names_fit(&SubjectText::of(&hit.memory.content))
            };
            let hits = self.hits(reader, what, limit).await?;
            let mut found: Vec<Memory> = hits.into_iter().filter(is_about).map(|hit| hit.memory).collect();
            for memory in self.memories_in_other_words(reader, what).await? {
                if found.iter().all(|other| other.id != memory.id) {
                    found.push(memory);
                }
            }
            if !found.is_empty() {
                found.truncate(limit);
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Returns the current memories that have all words of a subject or others of the same aspects.
    async fn memories_in_other_words(&self, reader: &ReadAccess, what: &str) -> Result<Vec<Memory>, Problem> {
        let subject = Subject::of(what);
        if subject.is_empty() {
            return Ok(Vec::new());
        }
        let mut memories: Vec<Memory> =
            self.hits(reader, what, FORGOTTEN_MAX).await?.into_iter().map(|hit| hit.memory).collect();
        for memory in self.newest_memories(reader, NEWEST_MAX).await? {
            if memories.iter().all(|other| other.id != memory.id) {
                memories.push(memory);
            }
        }
        memories.retain(|memory| subject.is_in(&SubjectText::of(&memory.content)));
        Ok(memories)
    }

    pub(super) async fn hits(
        &self,
        reader: &ReadAccess,
        what: &str,
        limit: usize,
    ) -> Result<Vec<Hit>, Problem> {
        let search = Search { query: start_of(what).to_owned(), limit, ..Search::default() };
        Ok(self.search(reader, search).await?.hits)
    }

    pub(super) async fn newest_memories(
        &self,
        reader: &ReadAccess,
        limit: usize,
    ) -> Result<Vec<Memory>, Problem> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let query = MemoryList { spaces: reader.spaces.clone(), limit, ..MemoryList::default() };
        let mut memories = self.store.memory_list(query).await?;
        memories.retain(|memory| memory.superseded.is_none());
        Ok(memories)
    }

    /// Deletes memories by one decision, which one undo reverts. Returns the decision.
    async fn forget_memories(&self, writer: &WriteAccess, memories: &[Memory]) -> Result<ChangeId, Problem> {
        let changes = memories.iter().map(|memory| MemoryChange {
            id: memory.id,
            patch: MemoryPatch { deleted_at: Some(Some(Timestamp::now())), ..MemoryPatch::default() },
            chunks: Vec::new(),
            expected: None,
        });
        let decision = MemoryDecision { changes: changes.collect(), ..MemoryDecision::default() };
        let change = Change::new(writer.caller.key(), "forget", None);
        let id = change.decision;
        self.commit_decision(vec![writer.space], decision, change, None).await?;
        Ok(id)
    }
}

/// Returns the texts that may name a subject: all of it, and the part before the first pause. Never empty.
fn readings(what: &str) -> Vec<&str> {
    let first = what.split(PAUSES).next().unwrap_or_default().trim();
    if first.is_empty() || first == what.trim() { vec![what] } else { vec![what, first] }
}
