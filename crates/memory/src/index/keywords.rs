//! An inverted index with BM25 (Robertson and Zaragoza 2009, with Lucene's logarithm, which is never
//! negative).
//!
//! A word of a query may have several forms. The chunks that have one of them count as those of one word, with
//! one document frequency (Pirkola 1998, structured queries).
//!
//! The words of the previous and next turn of a dialogue count as well, with less weight: an answer often names
//! neither the thing that it is about nor its kind.
//!
//! The statistics cover one space, so other users' texts neither influence a ranking nor leak through it. The
//! words of dead chunks stay until the index is rebuilt; see `super`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use lar_text::terms::{QueryTerms, QueryWord, StoredTerm};

/// BM25's term frequency saturation, as in Anserini (Yang, Fang and Lin 2018). Compared with 1.2, it raises the
/// nDCG@10 of HotpotQA from 0.595 to 0.606 and that of LongMemEval-S from 0.891 to 0.910, and lowers the MAP of
/// CACM from 0.398 to 0.394 (2026-11-30).
const K1: f32 = 0.9;
/// BM25's length normalization. With 0.75, long turns of dialogues are kept down. With 0.4, HotpotQA loses 0.03 of
/// its recall@5. This is between them.
const B: f32 = 0.6;
/// A word of a chunk counts as much as this many in a neighbouring turn. On two sets of long dialogues, the words of
/// both neighbours raise the turns found among the best ten from 0.693 to 0.775 and from 0.544 to 0.558 with a
/// weight of 3, and less with 2 or 1 (2026-11-30).
const OWN_WEIGHT: u32 = 3;
/// The approximate bytes of a word without its letters and its postings: its entry in the map, and what the
/// allocator adds.
const WORD_BYTES: usize = 80;
/// The most occurrences that are counted, in a chunk and in its neighbours each. More change no score.
const COUNT_MAX: u32 = 15;

/// The keyword index: the postings of each word.
#[derive(Debug, Default)]
pub(crate) struct Keywords {
    words: HashMap<Box<str>, Postings>,
    /// The length of each chunk: its words times [`OWN_WEIGHT`], and the words of its neighbours.
    lengths: Vec<u16>,
    total_length: u64,
    /// The approximate bytes of `words`: counting them would take milliseconds in a large space.
    words_bytes: usize,
}

#[derive(Debug, Default, Clone)]
struct Postings {
    /// The chunks that contain the word or have a neighbour that does, ascending.
    chunks: Vec<u32>,
    /// The word's count in each of these chunks.
    counts: Vec<Count>,
}

/// The occurrences of a word: those in the chunk in the high four bits, those in its neighbours in the low ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count(u8);

impl Count {
    /// Creates a count, at most [`COUNT_MAX`] of each.
    fn new(own: u32, in_neighbours: u32) -> Self {
        let limit = |count: u32| u8::try_from(count.min(COUNT_MAX)).unwrap_or_default();
        Self(limit(own) << 4 | limit(in_neighbours))
    }

    fn own(self) -> u32 {
        u32::from(self.0 >> 4)
    }

    fn in_neighbours(self) -> u32 {
        u32::from(self.0 & 0xf)
    }

    /// Returns the weighted number of occurrences, in words of the chunk.
    fn weighted(self) -> f32 {
        (self.own() * OWN_WEIGHT + self.in_neighbours()) as f32 / OWN_WEIGHT as f32
    }
}

/// The words of a query in an index, with the chunks that have each.
#[derive(Debug, Default)]
pub(crate) struct FoundWords<'a> {
    /// The words that some chunk has.
    words: Vec<FoundWord<'a>>,
    /// The number of words that no chunk has.
    unknown: usize,
}

/// The share of a query's words that a memory contains, weighted by rarity. Neither the length of the memory nor
/// the number of occurrences counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Presence {
    /// The share of all words of the query, 0 to 1.
    pub(crate) of_all: f32,
    /// The share of those words that any memory of the space contains, 0 to 1.
    pub(crate) of_known: f32,
}

#[derive(Debug)]
struct FoundWord<'a> {
    postings: Cow<'a, Postings>,
    /// The word's rarity: BM25's inverse document frequency.
    weight: f32,
}

impl Keywords {
    /// Adds the next chunk, with the terms of its neighbours.
    pub(crate) fn push<'a>(
        &mut self,
        own: impl Iterator<Item = StoredTerm<'a>>,
        of_neighbours: impl Iterator<Item = StoredTerm<'a>>,
    ) {
        let chunk = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        let mut length = 0_u32;
        let own = own.map(|term| (term, Count::new(term.count, 0), term.count * OWN_WEIGHT));
        let of_neighbours = of_neighbours.map(|term| (term, Count::new(0, term.count), term.count));
        for (StoredTerm { term, is_other_form, .. }, count, weight) in own.chain(of_neighbours) {
            length += if is_other_form { 0 } else { weight };
            let postings = match self.words.get_mut(term) {
                Some(postings) => postings,
                None => {
                    self.words_bytes += term.len() + WORD_BYTES;
                    self.words.entry(term.into()).or_default()
                }
            };
            // A label or a neighbour may repeat a word of the text.
            match (postings.chunks.last(), postings.counts.last_mut()) {
                (Some(last), Some(counted)) if *last == chunk => {
                    let in_neighbours = counted.in_neighbours() + count.in_neighbours();
                    *counted = Count::new(counted.own() + count.own(), in_neighbours);
                }
                _ => {
                    let before = postings.bytes();
                    postings.chunks.push(chunk);
                    postings.counts.push(count);
                    self.words_bytes += postings.bytes() - before;
                }
            }
        }
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.lengths.push(length);
        self.total_length += u64::from(length);
    }

    /// Looks up the words of a query.
    pub(crate) fn find(&self, query: &QueryTerms) -> FoundWords<'_> {
        let mut found = FoundWords::default();
        for word in &query.words {
            let mut forms = word.forms.iter().filter_map(|form| self.words.get(form.as_str()));
            let Some(first) = forms.next() else {
                found.unknown += 1;
                continue;
            };
            let postings = forms.fold(Cow::Borrowed(first), |all, form| Cow::Owned(all.union(form)));
            let weight = self.rarity(postings.chunks.len());
            found.words.push(FoundWord { postings, weight });
        }
        found
    }

    /// Returns about how many chunks contain a word themselves: those with its most frequent form.
    pub(crate) fn frequency(&self, word: &QueryWord) -> usize {
        let postings = word.forms.iter().filter_map(|form| self.words.get(form.as_str()));
        postings.map(|postings| postings.own().count()).max().unwrap_or(0)
    }

    /// Returns BM25's weight of a word that is in this many chunks.
    fn rarity(&self, with: usize) -> f32 {
        let (chunks, with) = (self.lengths.len() as f32, with as f32);
        (1.0 + (chunks - with + 0.5) / (with + 0.5)).ln()
    }

    /// Returns each chunk's BM25 score divided by the highest possible score of the found words, 0 to 1.
    pub(crate) fn score(&self, found: &FoundWords<'_>) -> Vec<f32> {
        let mut scores = vec![0.0_f32; self.lengths.len()];
        let chunks = self.lengths.len() as f32;
        let average = (self.total_length as f32 / chunks.max(1.0)).max(1.0);
        let most: f32 = found.words.iter().map(|word| word.weight * (K1 + 1.0)).sum();
        let (base, per_word) = (K1 * (1.0 - B), K1 * B / average);
        for FoundWord { postings, weight } in &found.words {
            let worth = weight * (K1 + 1.0) / most;
            for (chunk, count) in postings.chunks.iter().zip(&postings.counts) {
                let at = *chunk as usize;
                let count = count.weighted();
                scores[at] += worth * count / (count + base + per_word * f32::from(self.lengths[at]));
            }
        }
        scores
    }

    /// Sets the scores of chunks to 0 that contain less than this share of the query's words, as in
    /// [`Presence::of_all`].
    pub(crate) fn drop_below_share(&self, scores: &mut [f32], found: &FoundWords<'_>, share_min: f32) {
        if share_min <= 0.0 {
            return;
        }
        let mut shared = vec![0.0_f32; scores.len()];
        for FoundWord { postings, weight } in &found.words {
            postings.own().for_each(|chunk| shared[chunk as usize] += weight);
        }
        // Sums of the same weights in another order differ by rounding.
        let least = share_min * self.weight_of_all(found) * (1.0 - 1e-5);
        for (score, shared) in scores.iter_mut().zip(shared) {
            if shared < least {
                *score = 0.0;
            }
        }
    }

    /// Returns how many of the words the chunks of a memory contain.
    pub(crate) fn presence(&self, found: &FoundWords<'_>, chunks: Range<u32>) -> Presence {
        let has = |word: &&FoundWord<'_>| word.postings.has_own(&chunks);
        let present: f32 = found.words.iter().filter(has).map(|word| word.weight).sum();
        let share = |of: f32| if of > 0.0 { (present / of).min(1.0) } else { 0.0 };
        Presence { of_all: share(self.weight_of_all(found)), of_known: share(found.known_weight()) }
    }

    /// Returns the weight of all words of a query. An unknown word is rarer than any other.
    fn weight_of_all(&self, found: &FoundWords<'_>) -> f32 {
        found.known_weight() + found.unknown as f32 * self.rarity(0)
    }

    /// Returns the approximate number of bytes that the index takes.
    pub(crate) fn bytes(&self) -> usize {
        self.words_bytes + self.lengths.capacity() * size_of::<u16>()
    }
}

impl FoundWords<'_> {
    fn known_weight(&self) -> f32 {
        self.words.iter().map(|word| word.weight).sum()
    }
}

impl Postings {
    /// Returns the bytes of its lists.
    fn bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<u32>() + self.counts.capacity() * size_of::<Count>()
    }

    /// Returns the chunks that contain the word themselves.
    fn own(&self) -> impl Iterator<Item = u32> {
        let all = self.chunks.iter().zip(&self.counts);
        all.filter(|(_, count)| count.own() > 0).map(|(chunk, _)| *chunk)
    }

    /// Returns whether one of these chunks contains the word itself.
    fn has_own(&self, chunks: &Range<u32>) -> bool {
        let first = self.chunks.partition_point(|chunk| *chunk < chunks.start);
        let mut within = self.chunks[first..].iter().zip(&self.counts[first..]);
        within.by_ref().take_while(|(chunk, _)| **chunk < chunks.end).any(|(_, count)| count.own() > 0)
    }

    /// Returns the chunks of both. A chunk that has both forms has the larger count: a text may be indexed under
    /// two forms of one word.
    fn union(&self, other: &Self) -> Self {
        let mut all = Self::default();
        let entries = |postings: &Self| {
            postings.chunks.iter().copied().zip(postings.counts.iter().copied()).collect::<Vec<_>>()
        };
        let (ones, others) = (entries(self), entries(other));
        let (mut ones, mut others) = (ones.into_iter().peekable(), others.into_iter().peekable());
        loop {
            let (chunk, count) = match (ones.peek().copied(), others.peek().copied()) {
                (None, None) => return all,
                (Some((chunk, count)), Some((other, other_count))) if chunk == other => {
                    ones.next();
                    others.next();
                    let own = count.own().max(other_count.own());
                    (chunk, Count::new(own, count.in_neighbours().max(other_count.in_neighbours())))
                }
                (Some((chunk, count)), other) if other.is_none_or(|(other, _)| chunk < other) => {
                    ones.next();
                    (chunk, count)
                }
                (_, Some(entry)) => {
                    others.next();
                    entry
                }
                (Some(entry), None) => {
                    ones.next();
                    entry
                }
            };
            all.chunks.push(chunk);
            all.counts.push(count);
        }
    }
}

#[cfg(test)]
mod tests;
