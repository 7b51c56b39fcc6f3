//! Search of one index. Results are exact, although most chunks are ruled out by a bound; see
//! [`super::scan`].

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet};
use std::ops::Range;
use std::time::Duration;

use lar_base::{Instant, Timestamp};
use lar_store::MemoryKind;
use rayon::prelude::*;

use super::hybrid_score::{lift_by_time, recency, strength_factor};
use super::keywords::Presence;
use super::scan::{ChunkScore, Scan};
use super::validity::Period;
use super::{Index, Slot};
use crate::similarity::SimilarityMap;
use crate::strength;
use crate::vectors::Quantized;
use lar_text::days::Day;
use lar_text::terms::QueryTerms;

/// The number of chunks for each additional thread of a search.
const CHUNKS_PER_THREAD: usize = 50_000;
/// If at most 1/`FEW_SHARE` of the memories are of the filter's kinds and times, only these are scored. The exact
/// score of a chunk takes about four times as long as its bound.
const FEW_SHARE: usize = 16;
/// The most threads of a search.
const THREADS_MAX: usize = 4;

/// The memories that a search may find.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Only memories of these kinds; empty for all kinds.
    pub kinds: Vec<MemoryKind>,
    /// Only memories with all of these tags.
    pub tags: Vec<String>,
    /// Only memories of this project.
    pub project: Option<String>,
    /// Only memories of events at or after this time.
    pub since: Option<Timestamp>,
    /// Only memories of events before this time.
    pub until: Option<Timestamp>,
    /// Only memories that were true at this time, also if Lar learned of them later. The default is now.
    pub as_of: Option<Timestamp>,
    /// Only memories that Lar knew at this time: saved by then, and not superseded by then. The default is
    /// now.
    pub known_at: Option<Timestamp>,
    /// Whether to include superseded memories and those no longer valid.
    pub superseded: bool,
}

/// A query on one index.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) words: &'a QueryTerms,
    /// The share of the query's words, weighted by rarity, that a chunk must contain to have a keyword score, 0
    /// to 1.
    pub(crate) share_min: f32,
    /// The query's vector, by the index's embedder, and the function from its cosines to similarities.
    pub(crate) vector: Option<(&'a Quantized, SimilarityMap)>,
    /// The times that the query names. Memories of these times rank higher.
    pub(crate) times: &'a [Range<Day>],
    pub(crate) filter: &'a Filter,
    pub(crate) now: Timestamp,
    /// The most memories to return.
    pub(crate) limit: usize,
    /// The weight of the keyword score, 0 to 1.
    pub(crate) weight: f32,
}

/// A memory found in an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IndexHit {
    pub(crate) memory: i64,
    /// The byte range of its best chunk in the content.
    pub(crate) chunk: Range<u32>,
    pub(crate) score: f32,
    pub(crate) keyword_score: f32,
    /// The share of the query's words that the memory contains: a measure of relevance for texts of any length
    /// and language.
    pub(crate) presence: Presence,
    pub(crate) similarity: Option<f32>,
    /// The retrievability, 0 to 1; 1 for memories that do not decay.
    pub(crate) retrievability: f32,
    /// The age factor, 0.97 to 1.
    pub(crate) recency: f32,
    /// The fingerprint of the best chunk; equal for chunks with the same words in the same order.
    pub(crate) fingerprint: u64,
}

/// The hits of a search, best first, and the durations of keyword scoring and of the scan.
#[derive(Debug, Default)]
pub(crate) struct IndexResults {
    pub(crate) hits: Vec<IndexHit>,
    pub(crate) keyword: Duration,
    pub(crate) scan: Duration,
}

impl Index {
    /// Returns the memories that match a query best, best first, each once.
    pub(crate) fn search(&self, query: &Query<'_>) -> IndexResults {
        let Some(filter_ids) = self.resolve_filter(query.filter) else { return IndexResults::default() };
        let started = Instant::now();
        let found = self.keywords.find(query.words);
        let mut words = self.keywords.score(&found);
        self.keywords.drop_below_share(&mut words, &found, query.share_min);
        let scored = Instant::now();
        let mut hits = self.nearest(query, &filter_ids, &words);
        for hit in &mut hits {
            let chunks = self.by_seq.get(&hit.memory).map(|slot| self.slots[*slot as usize].chunks.clone());
            hit.presence = self.keywords.presence(&found, chunks.unwrap_or_default());
        }
        IndexResults { hits, keyword: scored.since(started), scan: scored.elapsed() }
    }

    /// Returns those of these memories that pass a filter.
    pub(crate) fn passing(&self, memories: &[i64], filter: &Filter, now: Timestamp) -> Vec<i64> {
        let Some(filter_ids) = self.resolve_filter(filter) else { return Vec::new() };
        let passes = |memory: &&i64| {
            self.by_seq
                .get(memory)
                .is_some_and(|slot| self.slots[*slot as usize].matches(&filter_ids, filter, now))
        };
        memories.iter().filter(passes).copied().collect()
    }

    fn nearest(&self, query: &Query<'_>, filter_ids: &FilterIds, words: &[f32]) -> Vec<IndexHit> {
        // A memory may have several chunks, so more chunks are taken until there are enough memories.
        let mut room = query.limit.saturating_mul(2).max(16);
        loop {
            let best = self.best(query, filter_ids, words, room);
            let full = best.len() == room;
            let mut seen = HashSet::new();
            let hits: Vec<IndexHit> =
                best.into_iter().filter(|hit| seen.insert(hit.memory)).take(query.limit).collect();
            if hits.len() == query.limit || !full {
                return hits;
            }
            room = room.saturating_mul(4);
        }
    }

    /// Returns the best chunks, best first.
    fn best(&self, query: &Query<'_>, filter_ids: &FilterIds, words: &[f32], room: usize) -> Vec<IndexHit> {
        let scan = Scan::new(&self.vectors, query.vector, words, query.weight);
        let scan_slots = |slots: &[u32]| self.scan_slots(query, filter_ids, &scan, slots, room).into_hits();
        let scan_range =
            |chunks: Range<usize>| self.scan_range(query, filter_ids, &scan, chunks, room).into_hits();
        let share = |count: usize| count.div_ceil((count / CHUNKS_PER_THREAD).clamp(1, threads())).max(1);
        let mut best: Vec<IndexHit> = match self.narrow(query, filter_ids) {
            Some(slots) if slots.len() <= CHUNKS_PER_THREAD => scan_slots(&slots),
            Some(slots) => slots.par_chunks(share(slots.len())).flat_map_iter(scan_slots).collect(),
            None if words.len() <= CHUNKS_PER_THREAD => scan_range(0..words.len()),
            None => {
                let share = share(words.len());
                let parts = (0..words.len().div_ceil(share)).into_par_iter();
                parts.flat_map_iter(|at| scan_range(at * share..words.len().min((at + 1) * share))).collect()
            }
        };
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.memory.cmp(&a.memory)));
        best.truncate(room);
        best
    }

    /// Returns the slots of the filter's rarest tag or project, or those of its kinds and times if they are few.
    /// Returns `None` if the filter leaves too many for a list.
    fn narrow(&self, query: &Query<'_>, filter_ids: &FilterIds) -> Option<Cow<'_, [u32]>> {
        let tagged = filter_ids.tags.iter().map(|tag| &self.tagged[*tag as usize]);
        let of_project = filter_ids.project.iter().map(|project| &self.of_project[*project as usize]);
        if let Some(slots) = tagged.chain(of_project).min_by_key(|slots| slots.len()) {
            return Some(Cow::Borrowed(slots));
        }
        let Filter { kinds, since, until, .. } = query.filter;
        if kinds.is_empty() && since.is_none() && until.is_none() {
            return None;
        }
        let few = self.slots.len() / FEW_SHARE;
        let mut slots = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            if slot.matches(filter_ids, query.filter, query.now) {
                if slots.len() == few {
                    return None;
                }
                slots.push(at as u32);
            }
        }
        Some(Cow::Owned(slots))
    }

    /// Scores every chunk of these memories and returns the best.
    fn scan_slots(
        &self,
        query: &Query<'_>,
        filter_ids: &FilterIds,
        scan: &Scan<'_>,
        slots: &[u32],
        room: usize,
    ) -> Best {
        let mut best = Best::new(room);
        for slot in slots {
            let slot = &self.slots[*slot as usize];
            if !slot.matches(filter_ids, query.filter, query.now) {
                continue;
            }
            for chunk in slot.chunks.clone() {
                best.offer(scan.exact(chunk as usize).map(|scored| self.hit(query, scored)));
            }
        }
        best
    }

    /// Returns the best of these chunks.
    ///
    /// All get an upper bound first. Those with the largest bounds are scored first, so that few others can
    /// still be among the best. Decay and age only reduce a score, so the bounds stay valid; the lift of a named
    /// time is added to them.
    fn scan_range(
        &self,
        query: &Query<'_>,
        filter_ids: &FilterIds,
        scan: &Scan<'_>,
        chunks: Range<usize>,
        room: usize,
    ) -> Best {
        let (from, mut bounds) = (chunks.start, scan.bounds(chunks));
        if !query.times.is_empty() {
            for (chunk, bound) in self.chunks[from..].iter().zip(&mut bounds) {
                *bound = lift_by_time(*bound, self.slots[chunk.slot as usize].occurred_at, query.times);
            }
        }
        let mut best = Best::new(room);
        // The filter comes first: with one that few memories pass, no bound is low enough to exclude the others,
        // and reading all their vectors would take longer than all else.
        let score = |at: usize| {
            let slot = &self.slots[self.chunks[from + at].slot as usize];
            let matches = slot.matches(filter_ids, query.filter, query.now);
            matches.then(|| scan.exact(from + at)).flatten().map(|scored| self.hit(query, scored))
        };
        for at in largest(&bounds, room.saturating_mul(2)) {
            bounds[at] = 0.0;
            best.offer(score(at));
        }
        for (at, bound) in bounds.into_iter().enumerate() {
            if bound > best.least() {
                best.offer(score(at));
            }
        }
        best
    }

    /// Makes the hit of a scored chunk, whose memory passes the filter.
    fn hit(&self, query: &Query<'_>, scored: ChunkScore) -> IndexHit {
        let chunk = &self.chunks[scored.chunk as usize];
        let slot = &self.slots[chunk.slot as usize];
        let retrievability =
            if slot.decays { strength::retrievability(&slot.strength, query.now) as f32 } else { 1.0 };
        let recency = recency(slot.occurred_at, query.now);
        IndexHit {
            memory: slot.seq,
            chunk: chunk.start..chunk.start + chunk.length,
            score: lift_by_time(scored.score, slot.occurred_at, query.times)
                * strength_factor(retrievability, recency),
            keyword_score: scored.keyword_score,
            presence: Presence::default(),
            similarity: scored.similarity,
            retrievability,
            recency,
            fingerprint: chunk.fingerprint,
        }
    }

    /// Converts the filter's tags and project to numbers. Returns `None` if no memory has one of them.
    fn resolve_filter(&self, filter: &Filter) -> Option<FilterIds> {
        let tags = filter.tags.iter().map(|tag| self.tags.get(tag).copied()).collect::<Option<_>>()?;
        let project = match &filter.project {
            None => None,
            Some(project) => Some(*self.projects.get(project)?),
        };
        Some(FilterIds { tags, project })
    }
}

/// The tags and the project of a filter as numbers of the index.
struct FilterIds {
    tags: Vec<u32>,
    project: Option<u32>,
}

impl Slot {
    fn matches(&self, filter_ids: &FilterIds, filter: &Filter, now: Timestamp) -> bool {
        let Filter { as_of, known_at, superseded, .. } = *filter;
        let period = Period { as_of, known_at, superseded, now };
        self.alive
            && (filter.kinds.is_empty() || filter.kinds.contains(&self.kind))
            && filter_ids.tags.iter().all(|tag| self.tags.contains(tag))
            && filter_ids.project.is_none_or(|project| self.project == Some(project))
            && filter.since.is_none_or(|since| self.occurred_at >= since)
            && filter.until.is_none_or(|until| self.occurred_at < until)
            && self.validity.holds(&period)
    }
}

/// The best hits so far, at most `room`.
struct Best {
    room: usize,
    hits: BinaryHeap<Worst>,
}

impl Best {
    fn new(room: usize) -> Self {
        Self { room, hits: BinaryHeap::with_capacity(room.min(1 << 16) + 1) }
    }

    /// Returns the score that a further hit must exceed.
    fn least(&self) -> f32 {
        if self.hits.len() < self.room { 0.0 } else { self.hits.peek().map_or(0.0, |worst| worst.0.score) }
    }

    fn offer(&mut self, hit: Option<IndexHit>) {
        let Some(hit) = hit.filter(|hit| hit.score > self.least()) else { return };
        self.hits.push(Worst(hit));
        if self.hits.len() > self.room {
            self.hits.pop();
        }
    }

    fn into_hits(self) -> Vec<IndexHit> {
        self.hits.into_iter().map(|worst| worst.0).collect()
    }
}

/// Returns the positions of the `count` largest positive bounds, in no order.
fn largest(bounds: &[f32], count: usize) -> Vec<usize> {
    // The bit patterns of positive floats are in the same order as the floats.
    let mut kept: BinaryHeap<Reverse<(u32, usize)>> = BinaryHeap::with_capacity(count.min(1 << 16) + 1);
    let mut least = 0.0;
    for (at, bound) in bounds.iter().enumerate() {
        if *bound > least {
            kept.push(Reverse((bound.to_bits(), at)));
            if kept.len() > count {
                kept.pop();
            }
            if kept.len() == count {
                least = kept.peek().map_or(0.0, |Reverse((bits, _))| f32::from_bits(*bits));
            }
        }
    }
    kept.into_iter().map(|Reverse((_, at))| at).collect()
}

/// A hit in reverse order, so that a heap returns the worst first.
struct Worst(IndexHit);

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

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

#[cfg(test)]
mod tests;
