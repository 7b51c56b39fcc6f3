//! What passages score before their memories' strength counts: what the words gave, joined with the product with their
//! vectors.
//!
//! Exact: a bound of every passage is made of half the bytes, in one pass that `pulp` compiles for the processor, and only
//! what is below the least of the best by its bound is not scored.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::vector_store::{HalfByteQuery, Kernel, Portable, VectorStore};
use crate::vectors::Quantized;

/// What a passage scores before its memory's strength counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ChunkScore {
    pub(crate) chunk: u32,
    /// Words and meaning joined.
    pub(crate) score: f32,
    /// How much of the query's words it has, 0 to 1.
    pub(crate) keyword_score: f32,
    /// The cosine of its nearest piece; absent where there is no vector.
    pub(crate) similarity: Option<f32>,
}

/// A query beside all passages.
pub(crate) struct Scan<'a> {
    rows: &'a VectorStore,
    query: Option<(&'a Quantized, HalfByteQuery)>,
    /// What the words gave each passage, 0 to 1.
    words: &'a [f32],
    /// What they weigh beside meaning, 0 to 1.
    weight: f32,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        rows: &'a VectorStore,
        query: Option<&'a Quantized>,
        words: &'a [f32],
        weight: f32,
    ) -> Self {
        Self { rows, query: query.map(|query| (query, HalfByteQuery::of(query))), words, weight }
    }

    /// What a passage scores; `None` where it has nothing in common with the query.
    pub(crate) fn exact(&self, chunk: usize) -> Option<ChunkScore> {
        let words = self.words[chunk];
        let query = self.query.as_ref();
        let similarity =
            query.and_then(|(query, _)| largest(self.rows.of(chunk), |row| self.rows.cosine(row, query)));
        let score = self.combine(words, similarity);
        (score > 0.0).then_some(ChunkScore { chunk: chunk as u32, score, keyword_score: words, similarity })
    }

    /// What each of these passages scores at most.
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

    #[inline(always)]
    fn combine(&self, words: f32, similarity: Option<f32>) -> f32 {
        similarity.map_or(words, |similarity| self.weight * words + (1.0 - self.weight) * similarity.max(0.0))
    }
}

/// A pass over bounds, compiled for one kind of processor.
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
            let similarity =
                largest(scan.rows.of(chunk), |row| scan.rows.cosine_at_most(row, halved, kernel));
            bounds.push(scan.combine(scan.words[chunk], similarity));
        }
        bounds
    }
}

/// The largest of what a passage's vectors give.
#[inline(always)]
fn largest(rows: Range<usize>, of: impl Fn(usize) -> f32) -> Option<f32> {
    let mut largest: Option<f32> = None;
    for row in rows {
        let given = of(row);
        largest = Some(largest.map_or(given, |largest| largest.max(given)));
    }
    largest
}
