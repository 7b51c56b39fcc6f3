//! What searches of one space run on: words and vectors of every passage, and what filters ask of every memory,
//! in memory.
//!
//! It is made of rows of the database and nothing else, holds nothing that they do not, and is kept nowhere: a
//! process that dies leaves no index that could disagree with them. A memory that changes or goes leaves its
//! passages behind, dead, until a quarter are; then the index is built anew.

mod keywords;
mod scan;

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use lar_base::{Instant, Timestamp};
use lar_store::{IndexedMemory, MemoryKind, Strength};
use rayon::prelude::*;

use self::keywords::Keywords;
use self::scan::{Scored, scan};
use crate::strength;
use crate::vectors::{self, Quantized};
use crate::words::Words;

/// Passages from which on a search is worth a second thread.
const PASSAGES_PER_THREAD: usize = 50_000;
/// Threads of a search at most.
const THREADS_MAX: usize = 4;
/// What has faded scores at most this part less than what has not.
const FADED_MAX: f32 = 0.1;
/// What is old scores at most this part less than what is new,
const OLD_MAX: f32 = 0.03;
/// and reaches a third of the way there in so many days.
const OLD_DAYS: f32 = 90.0;
/// Dead passages are left until they are more than one in so many,
const DEAD_SHARE: usize = 4;
/// and more than this.
const DEAD_MIN: usize = 1000;
/// Milliseconds of a day.
const DAY_MS: f32 = 86_400_000.0;

/// Which memories a search may find.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Of one of these kinds; of any where empty.
    pub kinds: Vec<MemoryKind>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Of this project.
    pub project: Option<String>,
    /// That happened at this time or later.
    pub since: Option<Timestamp>,
    /// That happened before this time.
    pub until: Option<Timestamp>,
    /// As things were known or true then; as they are now where absent.
    pub as_of: Option<Timestamp>,
    /// Also what was superseded or is no longer true.
    pub superseded: bool,
}

/// What is looked for.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) words: &'a Words,
    /// The query's vector, by the index's embedder.
    pub(crate) vector: Option<&'a Quantized>,
    pub(crate) filter: &'a Filter,
    pub(crate) now: Timestamp,
    /// Memories at most.
    pub(crate) limit: usize,
    /// What words weigh beside meaning, 0 to 1.
    pub(crate) weight: f32,
}

/// A memory that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hit {
    pub(crate) memory: i64,
    /// Its best passage, in bytes of the content.
    pub(crate) passage: Range<u32>,
    pub(crate) score: f32,
    pub(crate) words: f32,
    pub(crate) meaning: Option<f32>,
    /// 0 to 1; 1 of what does not fade.
    pub(crate) retrievability: f32,
    /// The factor that age gave.
    pub(crate) recency: f32,
    /// Passages that say the same have the same.
    pub(crate) print: u64,
}

/// What a search found, best first, and how long it took to score the words and then all passages.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    pub(crate) hits: Vec<Hit>,
    pub(crate) words: Duration,
    pub(crate) scan: Duration,
}

/// The part of a score that strength and age leave.
pub(crate) fn bounded(retrievability: f32, recency: f32) -> f32 {
    (1.0 - FADED_MAX * (1.0 - retrievability)) * recency
}

/// Which embedder an index's vectors are by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) digest: String,
    pub(crate) dimension: usize,
}

/// An index of one space.
#[derive(Debug)]
pub(crate) struct Index {
    stamp: Option<Stamp>,
    slots: Vec<Slot>,
    by_seq: HashMap<i64, u32>,
    passages: Vec<Passage>,
    keywords: Keywords,
    vectors: Vectors,
    tags: HashMap<String, u32>,
    projects: HashMap<String, u32>,
    dead: usize,
}

/// A memory, or what is left of one.
#[derive(Debug)]
struct Slot {
    seq: i64,
    version: i64,
    alive: bool,
    kind: MemoryKind,
    fades: bool,
    tags: Box<[u32]>,
    project: Option<u32>,
    occurred_at: Timestamp,
    known_from: Timestamp,
    true_from: Timestamp,
    ended_at: Option<Timestamp>,
    strength: Strength,
    passages: Range<u32>,
}

#[derive(Debug)]
struct Passage {
    slot: u32,
    start: u32,
    length: u32,
    print: u64,
}

/// The vectors of all passages, in their order.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    bytes: Vec<i8>,
    scales: Vec<f32>,
    /// Where the vectors of each passage end.
    ends: Vec<u32>,
}

impl Vectors {
    fn rows(&self, passage: usize) -> Range<usize> {
        let start = passage.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[passage] as usize
    }
}

impl Index {
    /// An index of nothing, for vectors by this embedder.
    pub(crate) fn new(stamp: Option<Stamp>) -> Self {
        Self {
            stamp,
            slots: Vec::new(),
            by_seq: HashMap::new(),
            passages: Vec::new(),
            keywords: Keywords::default(),
            vectors: Vectors::default(),
            tags: HashMap::new(),
            projects: HashMap::new(),
            dead: 0,
        }
    }

    pub(crate) fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// Memories that can be found.
    pub(crate) fn len(&self) -> usize {
        self.by_seq.len()
    }

    /// Whether so much of it is dead that it should be built anew.
    pub(crate) fn is_worn(&self) -> bool {
        self.dead > DEAD_MIN && self.dead > self.passages.len() / DEAD_SHARE
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.keywords.bytes()
            + self.vectors.bytes.capacity()
            + self.vectors.scales.capacity() * 4
            + self.vectors.ends.capacity() * 4
            + self.passages.capacity() * size_of::<Passage>()
            + self.slots.capacity() * size_of::<Slot>()
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
        let first = u32::try_from(self.passages.len()).unwrap_or(u32::MAX);
        for passage in &memory.passages {
            let (print, words) = Words::decode(&passage.words);
            self.passages.push(Passage { slot, start: passage.start, length: passage.length, print });
            self.keywords.push(words);
            let vectors = passage.vectors.as_ref();
            if let (Some((digest, bytes)), Some(stamp)) = (vectors, &self.stamp)
                && *digest == stamp.digest
            {
                for (scale, bytes) in vectors::decode(bytes, stamp.dimension) {
                    self.vectors.scales.push(scale);
                    self.vectors.bytes.extend(bytes.iter().map(|byte| byte.cast_signed()));
                }
            }
            self.vectors.ends.push(u32::try_from(self.vectors.scales.len()).unwrap_or(u32::MAX));
        }
        let tags = memory.tags.iter().map(|tag| number(&mut self.tags, tag)).collect();
        let project = memory.project.as_ref().map(|project| number(&mut self.projects, project));
        let ended_at = [memory.superseded_at, memory.valid_to].into_iter().flatten().min();
        self.slots.push(Slot {
            seq: memory.seq,
            version: memory.version,
            alive: true,
            kind: memory.kind,
            fades: !memory.pinned && memory.kind != MemoryKind::Decision,
            tags,
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
            passages: first..first + u32::try_from(memory.passages.len()).unwrap_or(0),
        });
        self.by_seq.insert(memory.seq, slot);
    }

    /// Forgets a memory.
    pub(crate) fn remove(&mut self, seq: i64) {
        if let Some(slot) = self.by_seq.remove(&seq) {
            let slot = &mut self.slots[slot as usize];
            slot.alive = false;
            self.dead += slot.passages.len();
        }
    }

    /// The memories nearest to a query, best first, each once.
    pub(crate) fn search(&self, query: &Query<'_>) -> Searched {
        let Some(wanted) = self.wanted(query) else { return Searched::default() };
        let begun = Instant::now();
        let words = self.keywords.score(&query.words.counts);
        let scored = Instant::now();
        let hits = self.nearest(query, &wanted, &words);
        Searched { hits, words: scored.since(begun), scan: scored.elapsed() }
    }

    fn nearest(&self, query: &Query<'_>, wanted: &Wanted, words: &[f32]) -> Vec<Hit> {
        // A memory has several passages; more are taken until there are enough memories.
        let mut room = query.limit.saturating_mul(2).max(16);
        loop {
            let best = self.best(query, wanted, words, room);
            let full = best.len() == room;
            let mut seen = HashSet::new();
            let hits: Vec<Hit> =
                best.into_iter().filter(|hit| seen.insert(hit.memory)).take(query.limit).collect();
            if hits.len() == query.limit || !full {
                return hits;
            }
            room = room.saturating_mul(4);
        }
    }

    /// The best passages, best first.
    fn best(&self, query: &Query<'_>, wanted: &Wanted, words: &[f32], room: usize) -> Vec<Hit> {
        let threads = (words.len() / PASSAGES_PER_THREAD).clamp(1, threads());
        let share = words.len().div_ceil(threads).max(1);
        let part = |from: usize, words: &[f32]| self.best_of(query, wanted, from, words, room);
        let mut best: Vec<Hit> = if threads == 1 {
            part(0, words)
        } else {
            words.par_chunks(share).enumerate().flat_map_iter(|(at, words)| part(at * share, words)).collect()
        };
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.memory.cmp(&a.memory)));
        best.truncate(room);
        best
    }

    fn best_of(
        &self,
        query: &Query<'_>,
        wanted: &Wanted,
        from: usize,
        words: &[f32],
        room: usize,
    ) -> Vec<Hit> {
        let mut best: BinaryHeap<Worst> = BinaryHeap::with_capacity(room + 1);
        scan(&self.vectors, query.vector, from, words, query.weight, |scored| {
            // Strength and age only take away, so what is below the least already need not be looked at.
            if best.len() == room && best.peek().is_some_and(|worst| scored.score <= worst.0.score) {
                return;
            }
            let Some(hit) = self.hit(query, wanted, scored) else { return };
            best.push(Worst(hit));
            if best.len() > room {
                best.pop();
            }
        });
        best.into_iter().map(|worst| worst.0).collect()
    }

    fn hit(&self, query: &Query<'_>, wanted: &Wanted, scored: Scored) -> Option<Hit> {
        let passage = &self.passages[scored.passage as usize];
        let slot = &self.slots[passage.slot as usize];
        if !slot.is_wanted(wanted, query.filter, query.now) {
            return None;
        }
        let retrievability =
            if slot.fades { strength::retrievability(&slot.strength, query.now) as f32 } else { 1.0 };
        let age = (query.now.as_millis() - slot.occurred_at.as_millis()).max(0) as f32 / DAY_MS;
        let recency = 1.0 - OLD_MAX * (1.0 - (-age / OLD_DAYS).exp());
        Some(Hit {
            memory: slot.seq,
            passage: passage.start..passage.start + passage.length,
            score: scored.score * bounded(retrievability, recency),
            words: scored.words,
            meaning: scored.meaning,
            retrievability,
            recency,
            print: passage.print,
        })
    }

    /// The filter's names as numbers; `None` when one is a name that no memory has.
    fn wanted(&self, query: &Query<'_>) -> Option<Wanted> {
        let tags = query.filter.tags.iter().map(|tag| self.tags.get(tag).copied()).collect::<Option<_>>()?;
        let project = match &query.filter.project {
            None => None,
            Some(project) => Some(*self.projects.get(project)?),
        };
        Some(Wanted { tags, project })
    }
}

/// Tags and project of a filter, as the index numbers them.
struct Wanted {
    tags: Vec<u32>,
    project: Option<u32>,
}

impl Slot {
    fn is_wanted(&self, wanted: &Wanted, filter: &Filter, now: Timestamp) -> bool {
        self.alive
            && (filter.kinds.is_empty() || filter.kinds.contains(&self.kind))
            && wanted.tags.iter().all(|tag| self.tags.contains(tag))
            && wanted.project.is_none_or(|project| self.project == Some(project))
            && filter.since.is_none_or(|since| self.occurred_at >= since)
            && filter.until.is_none_or(|until| self.occurred_at < until)
            && self.holds(filter, now)
    }

    /// Known or true at the time asked about, and neither superseded nor over by then.
    fn holds(&self, filter: &Filter, now: Timestamp) -> bool {
        let at = filter.as_of.unwrap_or(now);
        let begun = filter.as_of.is_none() || self.known_from.min(self.true_from) <= at;
        begun && (filter.superseded || self.ended_at.is_none_or(|ended| at < ended))
    }
}

/// A hit that counts as larger the worse it is, so that a heap gives the worst first.
struct Worst(Hit);

impl PartialEq for Worst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Worst {}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score)
    }
}

fn number(numbers: &mut HashMap<String, u32>, name: &str) -> u32 {
    if let Some(number) = numbers.get(name) {
        return *number;
    }
    let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    numbers.insert(name.to_owned(), number);
    number
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}
