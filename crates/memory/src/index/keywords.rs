//! An inverted index with BM25 (Robertson and Zaragoza 2009, with Lucene's logarithm, which is never
//! negative).
//!
//! The statistics cover one space, so other users' texts neither influence a ranking nor leak through it. The
//! words of dead chunks stay until the index is rebuilt; see `super`.

use std::collections::HashMap;
use std::ops::Range;

/// BM25's term frequency saturation.
const K1: f32 = 1.2;
/// BM25's length normalization.
const B: f32 = 0.75;

/// The keyword index: the postings of each word.
#[derive(Debug, Default)]
pub(crate) struct Keywords {
    words: HashMap<Box<str>, Postings>,
    /// The number of words in each chunk.
    lengths: Vec<u16>,
    total_length: u64,
}

#[derive(Debug, Default)]
struct Postings {
    /// The chunks that contain the word, ascending.
    chunks: Vec<u32>,
    /// The word's count in each of these chunks.
    counts: Vec<u8>,
}

impl Keywords {
    /// Adds the next chunk.
    pub(crate) fn push<'a>(&mut self, words: impl Iterator<Item = (&'a str, u32)>) {
        let chunk = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        let mut length = 0_u32;
        for (word, count) in words {
            length += count;
            let postings = match self.words.get_mut(word) {
                Some(postings) => postings,
                None => self.words.entry(word.into()).or_default(),
            };
            postings.chunks.push(chunk);
            postings.counts.push(u8::try_from(count).unwrap_or(u8::MAX));
        }
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.lengths.push(length);
        self.total_length += u64::from(length);
    }

    /// Returns each chunk's BM25 score divided by the highest possible score of the query's words, 0 to 1.
    pub(crate) fn score(&self, words: &[(String, u32)]) -> Vec<f32> {
        let mut scores = vec![0.0_f32; self.lengths.len()];
        let chunks = self.lengths.len() as f32;
        let average = (self.total_length as f32 / chunks.max(1.0)).max(1.0);
        let found: Vec<(&Postings, f32)> = words
            .iter()
            .filter_map(|(word, _)| {
                let postings = self.words.get(word.as_str())?;
                Some((postings, self.weight(postings.chunks.len())))
            })
            .collect();
        let most: f32 = found.iter().map(|(_, weight)| weight * (K1 + 1.0)).sum();
        let (base, per_word) = (K1 * (1.0 - B), K1 * B / average);
        for (postings, weight) in found {
            let worth = weight * (K1 + 1.0) / most;
            for (chunk, count) in postings.chunks.iter().zip(&postings.counts) {
                let at = *chunk as usize;
                let count = f32::from(*count);
                scores[at] += worth * count / (count + base + per_word * f32::from(self.lengths[at]));
            }
        }
        scores
    }

    /// Returns the share of these words, by weight, that some of these chunks contain, 0 to 1.
    ///
    /// A word's weight is its logarithm in BM25, whatever its count and the lengths of the chunks.
    pub(crate) fn presence(&self, words: &[(String, u32)], chunks: &Range<u32>) -> f32 {
        let (mut present, mut all) = (0.0, 0.0);
        for (word, _) in words {
            let postings = self.words.get(word.as_str());
            let weight = self.weight(postings.map_or(0, |postings| postings.chunks.len()));
            let is_present = postings.is_some_and(|postings| {
                let at = postings.chunks.partition_point(|chunk| *chunk < chunks.start);
                postings.chunks.get(at).is_some_and(|chunk| *chunk < chunks.end)
            });
            all += weight;
            present += if is_present { weight } else { 0.0 };
        }
        if all > 0.0 { present / all } else { 0.0 }
    }

    /// Returns the weight of a word that this many chunks contain.
    fn weight(&self, with: usize) -> f32 {
        let (chunks, with) = (self.lengths.len() as f32, with as f32);
        (1.0 + (chunks - with + 0.5) / (with + 0.5)).ln()
    }

    /// Returns the share of these words that a chunk contains, 0 to 1.
    pub(crate) fn share(&self, words: &[(String, u32)], chunk: u32) -> f32 {
        let has = |word: &str| {
            let postings = self.words.get(word);
            postings.is_some_and(|postings| postings.chunks.binary_search(&chunk).is_ok())
        };
        let shared = words.iter().filter(|(word, _)| has(word)).count();
        shared as f32 / words.len().max(1) as f32
    }

    /// Returns the approximate number of bytes that the index takes.
    pub(crate) fn bytes(&self) -> usize {
        let postings: usize =
            self.words.iter().map(|(word, postings)| word.len() + 80 + postings.chunks.capacity() * 5).sum();
        postings + self.lengths.capacity() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The random generator of `scripts/bm25-reference.py`.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 33
        }

        fn words(&mut self, count: u64) -> Vec<(String, u32)> {
            let mut counts: Vec<(String, u32)> = Vec::new();
            for _ in 0..count {
                let word = format!("w{}x{}", 60 / (self.next() % 60 + 1), self.next() % 3);
                match counts.iter_mut().find(|(known, _)| *known == word) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((word, 1)),
                }
            }
            counts
        }
    }

    #[test]
    fn bm25_scores_match_the_reference() {
        let mut made = Numbers(42);
        let mut keywords = Keywords::default();
        for _ in 0..100 {
            let length = 5 + made.next() % 40;
            let words = made.words(length);
            keywords.push(words.iter().map(|(word, count)| (word.as_str(), *count)));
        }
        for line in include_str!("bm25-reference.txt").lines() {
            let length = 1 + made.next() % 5;
            let scores = keywords.score(&made.words(length));
            let best = scores.iter().copied().fold(0.0, f32::max);
            for (score, reference) in scores.iter().zip(line.split(' ')) {
                let reference: f32 = reference.parse().unwrap();
                assert!((score / best - reference).abs() < 1e-4, "{} is not {reference}", score / best);
            }
        }
    }
}
