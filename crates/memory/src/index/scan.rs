//! What passages score before their memories' strength counts: what the words gave, joined with the product with their
//! vectors.
//!
//! Exact: a bound of every passage is made of half the bytes, in one pass that `pulp` compiles for the processor, and only
//! what is below the least of the best by its bound is not scored.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::rows::{Halved, Kernel, Portable, Rows};
use crate::vectors::Quantized;

/// What a passage scores before its memory's strength counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) passage: u32,
    /// Words and meaning joined.
    pub(crate) score: f32,
    /// How much of the query's words it has, 0 to 1.
    pub(crate) words: f32,
    /// The cosine of its nearest piece; absent where there is no vector.
    pub(crate) meaning: Option<f32>,
}

/// A query beside all passages.
pub(crate) struct Scan<'a> {
    rows: &'a Rows,
    query: Option<(&'a Quantized, Halved)>,
    /// What the words gave each passage, 0 to 1.
    words: &'a [f32],
    /// What they weigh beside meaning, 0 to 1.
    weight: f32,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(rows: &'a Rows, query: Option<&'a Quantized>, words: &'a [f32], weight: f32) -> Self {
        Self { rows, query: query.map(|query| (query, Halved::of(query))), words, weight }
    }

    /// What a passage scores; `None` where it has nothing in common with the query.
    pub(crate) fn exact(&self, passage: usize) -> Option<Scored> {
        let words = self.words[passage];
        let query = self.query.as_ref();
        let meaning =
            query.and_then(|(query, _)| largest(self.rows.of(passage), |row| self.rows.cosine(row, query)));
        let score = self.joined(words, meaning);
        (score > 0.0).then_some(Scored { passage: passage as u32, score, words, meaning })
    }

    /// What each of these passages scores at most.
    pub(crate) fn bounds(&self, passages: Range<usize>) -> Vec<f32> {
        let bounds = Bounds { scan: self, passages };
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
    fn joined(&self, words: f32, meaning: Option<f32>) -> f32 {
        meaning.map_or(words, |meaning| self.weight * words + (1.0 - self.weight) * meaning.max(0.0))
    }
}

/// A pass over bounds, compiled for one kind of processor.
struct Bounds<'a> {
    scan: &'a Scan<'a>,
    passages: Range<usize>,
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
        let Self { scan, passages } = self;
        let Some((_, halved)) = &scan.query else { return scan.words[passages].to_vec() };
        let mut bounds = Vec::with_capacity(passages.len());
        for passage in passages {
            let meaning = largest(scan.rows.of(passage), |row| scan.rows.cosine_at_most(row, halved, kernel));
            bounds.push(scan.joined(scan.words[passage], meaning));
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
