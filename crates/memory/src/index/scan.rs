//! Scores all chunks by [`combine`], before decay and age.
//!
//! The results are exact. One pass, which `pulp` compiles for the CPU, computes an upper bound for every
//! chunk from half-byte vectors. A chunk is scored only if its bound exceeds the worst of the best hits so
//! far.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::hybrid_score::combine;
use super::vector_store::{HalfByteQuery, Kernel, Portable, VectorStore};
use crate::similarity::SimilarityMap;
use crate::vectors::Quantized;

/// A chunk's score before the strength factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ChunkScore {
    pub(crate) chunk: u32,
    /// The weighted sum of keyword score and similarity.
    pub(crate) score: f32,
    /// The keyword score, 0 to 1.
    pub(crate) keyword_score: f32,
    /// The similarity of its nearest piece, or `None` without a vector.
    pub(crate) similarity: Option<f32>,
}

/// A query prepared for scoring all chunks.
pub(crate) struct Scan<'a> {
    rows: &'a VectorStore,
    query: Option<(&'a Quantized, HalfByteQuery)>,
    /// The function from cosines to similarities. It is increasing, so the bound of a cosine becomes that of the
    /// similarity.
    map: SimilarityMap,
    /// The keyword score of each chunk, 0 to 1.
    words: &'a [f32],
    /// The weight of the keyword score, 0 to 1.
    weight: f32,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        rows: &'a VectorStore,
        query: Option<(&'a Quantized, SimilarityMap)>,
        words: &'a [f32],
        weight: f32,
    ) -> Self {
        let map = query.map_or(SimilarityMap::IDENTITY, |(_, map)| map);
        let query = query.map(|(query, _)| (query, HalfByteQuery::of(query)));
        Self { rows, query, map, words, weight }
    }

    /// Returns a chunk's exact score, or `None` if it is zero.
    pub(crate) fn exact(&self, chunk: usize) -> Option<ChunkScore> {
        let words = self.words[chunk];
        let query = self.query.as_ref();
        let cosine =
            query.and_then(|(query, _)| largest(self.rows.of(chunk), |row| self.rows.cosine(row, query)));
        let similarity = cosine.map(|cosine| self.map.apply(cosine));
        let score = combine(self.weight, words, similarity);
        (score > 0.0).then_some(ChunkScore { chunk: chunk as u32, score, keyword_score: words, similarity })
    }

    /// Returns an upper bound on the score of each of these chunks.
    pub(crate) fn bounds(&self, chunks: Range<usize>) -> Vec<f32> {
        let bounds = Bounds { scan: self, chunks };
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = pulp::x86::V3::try_new() {
            return wide.vectorize(
                #[inline(always)]
                || bounds.with(wide),
            );
        }
        Arch::new().dispatch(bounds)
    }
}

/// A pass that computes bounds, compiled for one kind of CPU.
struct Bounds<'a> {
    scan: &'a Scan<'a>,
    chunks: Range<usize>,
}

impl WithSimd for Bounds<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        self.with(Portable)
    }
}

impl Bounds<'_> {
    #[inline(always)]
    fn with(self, kernel: impl Kernel) -> Vec<f32> {
        let Self { scan, chunks } = self;
        let Some((_, halved)) = &scan.query else { return scan.words[chunks].to_vec() };
        let mut bounds = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let cosine = largest(scan.rows.of(chunk), |row| scan.rows.cosine_at_most(row, halved, kernel));
            let similarity = cosine.map(|cosine| scan.map.apply(cosine));
            bounds.push(combine(scan.weight, scan.words[chunk], similarity));
        }
        bounds
    }
}

/// Returns the largest value of a chunk's vectors.
#[inline(always)]
fn largest(rows: Range<usize>, of: impl Fn(usize) -> f32) -> Option<f32> {
    let mut largest: Option<f32> = None;
    for row in rows {
        let value = of(row);
        largest = Some(largest.map_or(value, |largest| largest.max(value)));
    }
    largest
}
