//! What searches of one space run on: words and vectors of every passage, and what filters ask of every memory,
//! in memory.
//!
//! It is made of rows of the database and nothing else, holds nothing that they do not, and is kept nowhere: a
//! process that dies leaves no index that could disagree with them. A memory that changes or goes leaves its
//! passages behind, dead, until a quarter are; then the index is built anew.

mod keywords;
mod scan;
mod search;
mod vector_store;

use std::collections::HashMap;
use std::ops::Range;

use lar_base::Timestamp;
use lar_store::{IndexedMemory, MemoryKind, Strength};

use self::keywords::Keywords;
pub use self::search::Filter;
pub(crate) use self::search::{IndexHit, Query, strength_factor};
use self::vector_store::VectorStore;
use crate::terms::Terms;
use crate::vectors;

/// Dead passages are left until they are more than one in so many,
const DEAD_SHARE: usize = 4;
/// and more than this.
const DEAD_MIN: usize = 1000;

/// Which embedder an index's vectors are by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmbedderId {
    pub(crate) digest: String,
    pub(crate) dimension: usize,
}

/// An index of one space.
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
    /// The slots of each tag and project, by their numbers.
    tagged: Vec<Vec<u32>>,
    of_project: Vec<Vec<u32>>,
    dead: usize,
}

/// A memory, or what is left of one.
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
    known_from: Timestamp,
    true_from: Timestamp,
    ended_at: Option<Timestamp>,
    strength: Strength,
    chunks: Range<u32>,
}

#[derive(Debug)]
struct Chunk {
    slot: u32,
    start: u32,
    length: u32,
    fingerprint: u64,
}

impl Index {
    /// An index of nothing, for vectors by this embedder.
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

    /// Memories that can be found.
    pub(crate) fn len(&self) -> usize {
        self.by_seq.len()
    }

    /// Whether so much of it is dead that it should be built anew.
    pub(crate) fn is_stale(&self) -> bool {
        self.dead > DEAD_MIN && self.dead > self.chunks.len() / DEAD_SHARE
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.keywords.bytes()
            + self.vectors.size()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.tagged.iter().chain(&self.of_project).map(|slots| slots.capacity() * 4).sum::<usize>()
            + self.by_seq.capacity() * 16
    }

    /// Takes in a memory as the database has it; one that the index knows newer is left as it is.
    pub(crate) fn put(&mut self, memory: &IndexedMemory) {
        if let Some(slot) = self.by_seq.get(&memory.seq) {
            if self.slots[*slot as usize].version > memory.version {
                return;
            }
            self.remove(memory.seq);
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let first = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        for chunk in &memory.chunks {
            let (fingerprint, words) = Terms::decode(&chunk.words);
            self.chunks.push(Chunk { slot, start: chunk.start, length: chunk.length, fingerprint });
            self.keywords.push(words);
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
        let ended_at = [memory.superseded_at, memory.valid_to].into_iter().flatten().min();
        self.slots.push(Slot {
            seq: memory.seq,
            version: memory.version,
            alive: true,
            kind: memory.kind,
            decays: !memory.pinned && memory.kind != MemoryKind::Decision,
            tags: tags.into(),
            project,
            occurred_at: memory.occurred_at.unwrap_or(memory.created_at),
            known_from: memory.created_at,
            true_from: memory.valid_from.unwrap_or(memory.created_at),
            ended_at,
            strength: Strength {
                stability: memory.stability,
                difficulty: 1.0,
                reviewed_at: memory.reviewed_at,
            },
            chunks: first..first + u32::try_from(memory.chunks.len()).unwrap_or(0),
        });
        self.by_seq.insert(memory.seq, slot);
    }

    /// Forgets a memory.
    pub(crate) fn remove(&mut self, seq: i64) {
        if let Some(slot) = self.by_seq.remove(&seq) {
            let slot = &mut self.slots[slot as usize];
            slot.alive = false;
            self.dead += slot.chunks.len();
        }
    }
}

fn intern(numbers: &mut HashMap<String, u32>, name: &str) -> u32 {
    if let Some(number) = numbers.get(name) {
        return *number;
    }
    let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    numbers.insert(name.to_owned(), number);
    number
}

/// Adds a slot to the list of a number, which may be a new one.
fn add_slot(lists: &mut Vec<Vec<u32>>, number: u32, slot: u32) {
    let number = number as usize;
    if lists.len() <= number {
        lists.resize_with(number + 1, Vec::new);
    }
    lists[number].push(slot);
}
