//! One pass over a range of passages: the product with every vector, joined with what the words gave.
//!
//! Exact: nothing is left out before it is scored. `pulp` compiles the pass for the widest vectors that the
//! processor has.

use pulp::{Arch, Simd, WithSimd};

use super::Vectors;
use crate::vectors::{Quantized, product};

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

/// Scores the passages from `from` on, of which `words` has one number each, and hands those with anything in
/// common to `take`.
pub(crate) fn scan(
    vectors: &Vectors,
    query: Option<&Quantized>,
    from: usize,
    words: &[f32],
    weight: f32,
    take: impl FnMut(Scored),
) {
    Arch::new().dispatch(Scan { vectors, query, from, words, weight, take });
}

struct Scan<'a, F> {
    vectors: &'a Vectors,
    query: Option<&'a Quantized>,
    from: usize,
    words: &'a [f32],
    weight: f32,
    take: F,
}

impl<F: FnMut(Scored)> WithSimd for Scan<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        for (at, words) in self.words.iter().enumerate() {
            let passage = self.from + at;
            let meaning = self.query.and_then(|query| nearest(self.vectors, query, passage));
            let score = match meaning {
                Some(meaning) => self.weight * words + (1.0 - self.weight) * meaning.max(0.0),
                None => *words,
            };
            if score > 0.0 {
                let passage = passage as u32;
                (self.take)(Scored { passage, score, words: *words, meaning });
            }
        }
    }
}

/// The largest cosine of a passage's pieces.
#[inline(always)]
fn nearest(vectors: &Vectors, query: &Quantized, passage: usize) -> Option<f32> {
    let rows = vectors.rows(passage);
    let dimension = query.bytes.len();
    let mut best: Option<f32> = None;
    for row in rows {
        let bytes = &vectors.bytes[row * dimension..(row + 1) * dimension];
        let cosine = product(bytes, &query.bytes) as f32 * vectors.scales[row] * query.scale;
        best = Some(best.map_or(cosine, |best| best.max(cosine)));
    }
    best
}
