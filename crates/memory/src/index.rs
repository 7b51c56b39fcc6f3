//! The in-memory search index of one space.
//!
//! It contains the words and vectors of every chunk and the filter fields of every memory.
//!
//! The index is built only from database rows and is never stored, so a crash cannot leave an index that
//! disagrees with the database. The chunks of a changed or removed memory stay in the index as dead chunks.
//! When more than a quarter are dead, the index is rebuilt.

pub(crate) mod hybrid_score;
mod keywords;
mod scan;
mod search;
mod validity;
mod vector_store;

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;

use lar_base::Timestamp;
use lar_store::{IndexedMemory, MemoryKind, Strength};

use self::keywords::Keywords;
pub use self::search::Filter;
pub(crate) use self::search::{IndexHit, Query};
use self::validity::Validity;
use self::vector_store::VectorStore;
use crate::vectors;
use lar_text::terms::{QueryWord, StoredTerm, decode_entry};

/// An index is rebuilt when more than 1/`DEAD_SHARE` of its chunks are dead, and more than [`DEAD_MIN`]
/// chunks.
const DEAD_SHARE: usize = 4;
/// The number of dead chunks up to which an index is never rebuilt.
const DEAD_MIN: usize = 1000;

/// The most distinct words at the end of the previous turn, and at the start of the next turn, that find a turn
/// as well: about as many as fit in 400 characters. All words of a long answer would hide those of a short
/// question.
const NEIGHBOUR_WORDS_MAX: usize = 40;

/// The embedder of an index's vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmbedderId {
    pub(crate) digest: String,
    pub(crate) dimension: usize,
}

/// The index of one space.
#[derive(Debug)]
pub(crate) struct Index {
    embedder_id: Option<EmbedderId>,
    slots: Vec<Slot>,
    by_seq: HashMap<i64, u32>,
    chunks: Vec<Chunk>,
    keywords: Keywords,
    vectors: VectorStore,
    tags: HashMap<String, u32>,
    projects: HashMap<String, u32>,
    /// The slots with each tag, by the tag's number; `of_project` is the same for projects.
    tagged: Vec<Vec<u32>>,
    of_project: Vec<Vec<u32>>,
    dead: usize,
}

/// A memory in the index, or a dead one.
#[derive(Debug)]
struct Slot {
    seq: i64,
    version: i64,
    alive: bool,
    kind: MemoryKind,
    decays: bool,
    tags: Box<[u32]>,
    project: Option<u32>,
    occurred_at: Timestamp,
    validity: Validity,
    strength: Strength,
    chunks: Range<u32>,
    /// The hash of the words of its neighbours.
    neighbours: u64,
}

#[derive(Debug)]
struct Chunk {
    slot: u32,
    start: u32,
    length: u32,
    fingerprint: u64,
}

impl Index {
    /// Creates an empty index for vectors of this embedder.
    pub(crate) fn new(embedder_id: Option<EmbedderId>) -> Self {
        Self {
            embedder_id,
            slots: Vec::new(),
            by_seq: HashMap::new(),
            chunks: Vec::new(),
            keywords: Keywords::default(),
            vectors: VectorStore::default(),
            tags: HashMap::new(),
            projects: HashMap::new(),
            tagged: Vec::new(),
            of_project: Vec::new(),
            dead: 0,
        }
    }

    pub(crate) fn embedder_id(&self) -> Option<&EmbedderId> {
        self.embedder_id.as_ref()
    }

    /// Returns the number of live memories.
    pub(crate) fn len(&self) -> usize {
        self.by_seq.len()
    }

    /// Returns about how many chunks contain a word. Dead chunks count.
    pub(crate) fn frequency(&self, word: &QueryWord) -> usize {
        self.keywords.frequency(word)
    }

    /// Returns whether enough chunks are dead to rebuild the index.
    pub(crate) fn is_stale(&self) -> bool {
        self.dead > DEAD_MIN && self.dead > self.chunks.len() / DEAD_SHARE
    }

    /// Returns the approximate number of bytes that the index takes.
    pub(crate) fn bytes(&self) -> usize {
        self.keywords.bytes()
            + self.vectors.size()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.tagged.iter().chain(&self.of_project).map(|slots| slots.capacity() * 4).sum::<usize>()
            + self.by_seq.capacity() * 16
    }

    /// Adds or replaces a memory, unless the index already has a newer version of it.
    pub(crate) fn put(&mut self, memory: &IndexedMemory) {
        if let Some(slot) = self.by_seq.get(&memory.seq) {
            if self.slots[*slot as usize].version > memory.version {
                return;
            }
            self.remove(memory.seq);
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let first = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        for (at, chunk) in memory.chunks.iter().enumerate() {
            let (fingerprint, words) = decode_entry(&chunk.words);
            self.chunks.push(Chunk { slot, start: chunk.start, length: chunk.length, fingerprint });
            let before = memory.words_before.as_deref().filter(|_| at == 0).map(last_words);
            let after =
                memory.words_after.as_deref().filter(|_| at + 1 == memory.chunks.len()).map(first_words);
            self.keywords.push(words, before.into_iter().chain(after).flatten());
            let vectors = chunk.vectors.as_ref();
            if let (Some((digest, bytes)), Some(embedder_id)) = (vectors, &self.embedder_id)
                && *digest == embedder_id.digest
            {
                for (scale, bytes) in vectors::decode(bytes, embedder_id.dimension) {
                    self.vectors.push(scale, bytes);
                }
            }
            self.vectors.end_chunk();
        }
        let mut tags: Vec<u32> = memory.tags.iter().map(|tag| intern(&mut self.tags, tag)).collect();
        tags.dedup();
        tags.iter().for_each(|tag| add_slot(&mut self.tagged, *tag, slot));
        let project = memory.project.as_ref().map(|project| intern(&mut self.projects, project));
        project.iter().for_each(|project| add_slot(&mut self.of_project, *project, slot));
        self.slots.push(Slot {
            seq: memory.seq,
            version: memory.version,
            alive: true,
            kind: memory.kind,
            decays: !memory.pinned && memory.kind != MemoryKind::Decision,
            tags: tags.into(),
            project,
            occurred_at: memory.occurred_at.unwrap_or(memory.created_at),
            validity: Validity::of(memory),
            strength: Strength {
                stability: memory.stability,
                difficulty: 1.0,
                reviewed_at: memory.reviewed_at,
            },
            chunks: first..first + u32::try_from(memory.chunks.len()).unwrap_or(0),
            neighbours: hash_of_neighbours(memory),
        });
        self.by_seq.insert(memory.seq, slot);
    }

    /// Replaces a memory if the words of its neighbours changed.
    pub(crate) fn put_for_neighbours(&mut self, memory: &IndexedMemory) {
        let slot = self.by_seq.get(&memory.seq).map(|slot| &self.slots[*slot as usize]);
        if slot.is_none_or(|slot| slot.neighbours != hash_of_neighbours(memory)) {
            self.put(memory);
        }
    }

    /// Removes a memory. Its chunks become dead.
    pub(crate) fn remove(&mut self, seq: i64) {
        if let Some(slot) = self.by_seq.remove(&seq) {
            let slot = &mut self.slots[slot as usize];
            slot.alive = false;
            self.dead += slot.chunks.len();
        }
    }
}

/// Returns the words at the start of an entry's text.
fn first_words(entry: &[u8]) -> Vec<StoredTerm<'_>> {
    words_of(entry).take(NEIGHBOUR_WORDS_MAX).collect()
}

/// Returns the words at the end of an entry's text.
fn last_words(entry: &[u8]) -> Vec<StoredTerm<'_>> {
    let mut words: Vec<StoredTerm<'_>> = words_of(entry).collect();
    words.split_off(words.len().saturating_sub(NEIGHBOUR_WORDS_MAX))
}

/// Returns the words of an entry's text in the order of their first occurrence, without labels. A repeated word
/// of a neighbour counts once, because it shows no more of what a turn is about.
fn words_of(entry: &[u8]) -> impl Iterator<Item = StoredTerm<'_>> {
    let words = decode_entry(entry).1.filter(|term| !term.is_label && !term.is_other_form);
    words.map(|term| StoredTerm { count: 1, ..term })
}

fn hash_of_neighbours(memory: &IndexedMemory) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    (&memory.words_before, &memory.words_after).hash(&mut hasher);
    hasher.finish()
}

/// Returns the number of a name and assigns the next number to a new name.
fn intern(numbers: &mut HashMap<String, u32>, name: &str) -> u32 {
    if let Some(number) = numbers.get(name) {
        return *number;
    }
    let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    numbers.insert(name.to_owned(), number);
    number
}

/// Adds a slot to the list of a tag or project, whose number may be new.
fn add_slot(lists: &mut Vec<Vec<u32>>, number: u32, slot: u32) {
    let number = number as usize;
    if lists.len() <= number {
        lists.resize_with(number + 1, Vec::new);
    }
    lists[number].push(slot);
}
