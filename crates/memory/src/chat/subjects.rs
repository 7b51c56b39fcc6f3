//! The memories about a subject that a person asks to forget or to list.
//!
//! A memory is about a subject if it has all of its words, in any form, or other words of the same aspect of
//! life: "Lives in Rome" is about "my address". One memory is forgotten only if it is clear which one.

use lar_base::{ChangeId, MemoryId, Problem, Scope, Timestamp};
use lar_store::{Change, Memory, MemoryChange, MemoryDecision, MemoryList, MemoryPatch};
use lar_text::requests::Spared;
use lar_text::subjects::{Subject, SubjectText};

use super::activity::{Forgotten, Listed, MemoryActivity};
use super::texts::{day_of, excerpt, start_of};
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
/// The most memories that are compared to find the one that a request names.
const CLEAREST_MAX: usize = 5;
/// The most bytes of memories whose words are compared at a time. Those of further memories are not read.
const COMPARED_BYTES_MAX: usize = 8 << 20;
/// Marks after which a subject may go on with a reason: "my address, I'm moving".
const PAUSES: [char; 9] = [',', ';', '.', '!', '–', '—', '(', '，', '。'];

/// The subjects and exceptions of a request to forget.
pub(super) struct Forgetting {
    /// The subjects, if there are several.
    pub(super) parts: Vec<String>,
    /// Whether to forget all memories about a subject.
    pub(super) all: bool,
    /// The exceptions, which stay.
    pub(super) spared: Vec<Spared>,
}

impl Memories {
    /// Forgets the memory that is most clearly about a subject, or all memories that contain its words.
    pub(super) async fn forget(
        &self,
        writer: &WriteAccess,
        what: Option<&str>,
        forgetting: Forgetting,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let Some(what) = what else {
            activity.refused.push("To forget everything, use the memory page or `lar memory forget`.".into());
            return Ok(());
        };
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let mut found = if forgetting.all {
            // What stands after a pause may be an exception.
            let widens = forgetting.spared.is_empty();
            self.memories_about(&reader, what, FORGOTTEN_MAX, widens).await?
        } else {
            self.clearest_memories(&reader, what).await?
        };
        found.retain(|memory| memory.space == writer.space);
        if found.len() > 1 && !forgetting.all {
            activity.refused.push(several(what));
            return Ok(());
        }
        if found.is_empty() && forgetting.parts.len() > 1 {
            return self.forget_parts(writer, &forgetting, activity).await;
        }
        if found.is_empty() {
            activity.refused.push(none(what));
            return Ok(());
        }
        self.forget_found(writer, found, &forgetting, activity).await
    }

    /// Forgets the memories that have all words of a subject. Without `all`, each subject names one memory.
    pub(super) async fn forget_parts(
        &self,
        writer: &WriteAccess,
        forgetting: &Forgetting,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let mut found: Vec<Memory> = Vec::new();
        for subject in &forgetting.parts {
            let named = self.memories_in_other_words(&reader, subject).await?;
            if named.is_empty() {
                activity.refused.push(none(subject));
            } else if named.len() > 1 && !forgetting.all {
                activity.refused.push(several(subject));
            } else {
                let is_new = |memory: &Memory| found.iter().all(|other| other.id != memory.id);
                let named: Vec<Memory> = named.into_iter().filter(is_new).collect();
                found.extend(named);
            }
        }
        found.truncate(FORGOTTEN_MAX);
        if found.is_empty() {
            return Ok(());
        }
        self.forget_found(writer, found, forgetting, activity).await
    }

    /// Forgets memories, without those that a request leaves out.
    async fn forget_found(
        &self,
        writer: &WriteAccess,
        mut found: Vec<Memory>,
        forgetting: &Forgetting,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        for Spared { subject, is_excluded } in &forgetting.spared {
            let spared = Subject::of(subject);
            let texts = subject_texts(&found).await;
            let count = found.len();
            let mut is_left = texts.iter().map(|text| spared.is_empty() || !spared.is_in(text));
            found.retain(|_| is_left.next().unwrap_or(true));
            if *is_excluded && found.len() == count {
                activity.refused.push(format!(
                    "Nothing was forgotten, because it is not clear which memories “{subject}” leaves out. Forget \
                     them one by one, or on the memory page."
                ));
                return Ok(());
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        if forgetting.all {
            self.add_older_versions(writer, &mut found).await?;
        }
        if found.len() == FORGOTTEN_MAX {
            activity.refused.push(format!(
                "There are more: {FORGOTTEN_MAX} memories are forgotten at a time. Ask again."
            ));
        }
        let change = self.forget_memories(writer, &found).await?;
        activity.forgotten.extend(found.into_iter().map(|memory| Forgotten {
            id: memory.id.to_string(),
            content: excerpt(&memory.content),
            change: Some(change.to_string()),
        }));
        Ok(())
    }

    /// Adds the memories that these have superseded, which a search for an earlier time still finds.
    async fn add_older_versions(&self, writer: &WriteAccess, found: &mut Vec<Memory>) -> Result<(), Problem> {
        let mut newest: Vec<MemoryId> = found.iter().map(|memory| memory.id).collect();
        while !newest.is_empty() && found.len() < FORGOTTEN_MAX {
            let older = self.store.memories_superseded_by(vec![writer.space], newest).await?;
            let is_new = |memory: &Memory| found.iter().all(|other| other.id != memory.id);
            let older: Vec<Memory> = older.into_iter().filter(is_new).collect();
            newest = older.iter().map(|memory| memory.id).collect();
            found.extend(older);
        }
        found.truncate(FORGOTTEN_MAX);
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
            Some(what) => self.memories_about(&reader, what, LISTED_MAX, true).await?,
            None => self.newest_memories(&reader, LISTED_MAX).await?,
        };
        if let Some(what) = what {
            if found.is_empty() {
                found = self.memories_with_names(&reader, what).await?;
            }
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

    /// Returns the memories that are most clearly about a subject. If there are several, it is not clear which one is
    /// meant.
    async fn clearest_memories(&self, reader: &ReadAccess, what: &str) -> Result<Vec<Memory>, Problem> {
        for what in readings(what) {
            let hits = self.hits(reader, what, CLEAREST_MAX).await?;
            let subject = Subject::of(what);
            let clear = |hit: &Hit| {
                let text = SubjectText::of(&hit.memory.content);
                hit.presence >= FORGET_PRESENCE_MIN
                    && subject.names_fit(&text)
                    && (!subject.is_own() || subject.is_in(&text))
            };
            let best = hits.first().map_or(0.0, |hit| hit.presence);
            // A memory with more of the words is meant rather than one with fewer.
            let clearest = hits.into_iter().filter(|hit| hit.presence >= best && clear(hit));
            let clearest: Vec<Memory> = clearest.map(|hit| hit.memory).collect();
            if !clearest.is_empty() {
                return Ok(clearest);
            }
            let about = self.memories_in_other_words(reader, what).await?;
            if !about.is_empty() {
                return Ok(about);
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

    /// Returns the current memories about a subject, best first. `widens` tells whether the part of the subject before
    /// a pause may be taken for it.
    async fn memories_about(
        &self,
        reader: &ReadAccess,
        what: &str,
        limit: usize,
        widens: bool,
    ) -> Result<Vec<Memory>, Problem> {
        let readings = readings(what);
        let readings = if widens { readings.as_slice() } else { &readings[..1] };
        for what in readings.iter().copied() {
            let subject = Subject::of(what);
            let is_about = |hit: &Hit| {
                hit.presence >= ABOUT_PRESENCE_MIN && subject.names_fit(&SubjectText::of(&hit.memory.content))
            };
            let hits = self.hits(reader, what, limit).await?.into_iter().filter(is_about).collect();
            let mut found = self.with_duplicates(reader, hits).await?;
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
        let hits = self.hits(reader, what, FORGOTTEN_MAX).await?;
        let mut memories = self.with_duplicates(reader, hits).await?;
        for memory in self.newest_memories(reader, NEWEST_MAX).await? {
            if memories.iter().all(|other| other.id != memory.id) {
                memories.push(memory);
            }
        }
        let texts = subject_texts(&memories).await;
        let mut is_about = texts.iter().map(|text| subject.is_in(text));
        memories.retain(|_| is_about.next().unwrap_or(false));
        Ok(memories)
    }

    /// Returns the memories of hits, with those of the same text.
    async fn with_duplicates(&self, reader: &ReadAccess, hits: Vec<Hit>) -> Result<Vec<Memory>, Problem> {
        let duplicates: Vec<MemoryId> = hits.iter().flat_map(|hit| hit.duplicates.iter().copied()).collect();
        let mut memories: Vec<Memory> = hits.into_iter().map(|hit| hit.memory).collect();
        if !duplicates.is_empty() {
            memories.extend(self.store.memories_by_id(reader.spaces.clone(), duplicates).await?);
        }
        Ok(memories)
    }

    /// Returns the newest memories that have a name of a subject: those about Tom or Eva for "my children Tom and Eva".
    async fn memories_with_names(&self, reader: &ReadAccess, what: &str) -> Result<Vec<Memory>, Problem> {
        let subject = Subject::of(what);
        let mut memories = self.newest_memories(reader, NEWEST_MAX).await?;
        let texts = subject_texts(&memories).await;
        let mut has_name = texts.iter().map(|text| subject.has_name_in(text));
        memories.retain(|_| has_name.next().unwrap_or(false));
        memories.truncate(LISTED_MAX);
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

/// Returns the words of memories. Reading them takes up to a second, so it does not run on the async runtime's threads.
pub(super) async fn subject_texts(memories: &[Memory]) -> Vec<SubjectText> {
    let mut left = COMPARED_BYTES_MAX;
    let contents: Vec<String> = memories
        .iter()
        .map(|memory| {
            let fits = memory.content.len() <= left;
            left = left.saturating_sub(memory.content.len());
            if fits { memory.content.clone() } else { String::new() }
        })
        .collect();
    let read = move || contents.iter().map(|content| SubjectText::of(content)).collect();
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| vec![SubjectText::default(); memories.len()])
}

fn none(what: &str) -> String {
    format!("No memory is clearly about “{}”.", what.trim_end_matches('.'))
}

fn several(what: &str) -> String {
    format!(
        "Several memories are about “{}”. Say which one, or ask to forget all of them.",
        what.trim_end_matches('.')
    )
}

/// Returns the texts that may name a subject: all of it, and the part before the first pause. Never empty.
fn readings(what: &str) -> Vec<&str> {
    let first = what.split(PAUSES).next().unwrap_or_default().trim();
    if first.is_empty() || first == what.trim() { vec![what] } else { vec![what, first] }
}
