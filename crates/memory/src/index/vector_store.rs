//! The vectors of all passages, twice: in a byte for each number, which scores are made of, and in half of one, which
//! bounds them. Reading a million vectors takes as long as memory needs to hand their bytes over; most passages are ruled
//! out by the half that is read first, and what is left out could not have been among the best.

use std::ops::Range;

use crate::vectors::{Quantized, dot_product};

/// Largest absolute value of a byte, and of half of one.
const BYTE_MAX: f32 = 127.0;
const HALF_MAX: f32 = 7.0;
/// What is added to half a byte, so that it has no sign.
const HALF_ZERO: i32 = 8;
/// What rounding adds to a bound at most.
const SLACK: f32 = 1e-5;

/// The vectors of all passages, in their order.
#[derive(Debug, Default)]
pub(crate) struct VectorStore {
    bytes: Vec<i8>,
    scales: Vec<f32>,
    /// Two numbers of a vector in each: one of its first half below, one of its second above.
    halves: Vec<u8>,
    /// How long the difference between a vector and its halves is, in bytes' units.
    residues: Vec<f32>,
    /// Where the vectors of each passage end.
    ends: Vec<u32>,
}

impl VectorStore {
    /// Adds a vector of the passage that is being added.
    pub(crate) fn push(&mut self, scale: f32, bytes: &[u8]) {
        let half = |byte: i8| (f32::from(byte) * HALF_MAX / BYTE_MAX).round();
        let (mut residue, middle) = (0.0_f32, bytes.len().div_ceil(2));
        for byte in bytes {
            let byte = byte.cast_signed();
            residue += (f32::from(byte) - half(byte) * BYTE_MAX / HALF_MAX).powi(2);
            self.bytes.push(byte);
        }
        let nibble = |at: usize| {
            let byte = bytes.get(at).map_or(0, |byte| byte.cast_signed());
            (half(byte) as i32 + HALF_ZERO) as u8
        };
        self.halves.extend((0..middle).map(|at| nibble(at) | nibble(middle + at) << 4));
        self.residues.push(residue.sqrt());
        self.scales.push(scale);
    }

    /// Ends the passage that is being added.
    pub(crate) fn end_chunk(&mut self) {
        self.ends.push(u32::try_from(self.scales.len()).unwrap_or(u32::MAX));
    }

    /// The vectors of a passage.
    #[inline(always)]
    pub(crate) fn of(&self, chunk: usize) -> Range<usize> {
        let start = chunk.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[chunk] as usize
    }

    /// The cosine of a vector and the query.
    #[inline(always)]
    pub(crate) fn cosine(&self, row: usize, query: &Quantized) -> f32 {
        let dimension = query.bytes.len();
        let bytes = &self.bytes[row * dimension..(row + 1) * dimension];
        dot_product(bytes, &query.bytes) as f32 * self.scales[row] * query.scale
    }

    /// What that cosine is at most: the product with the halves, and by Cauchy and Schwarz what their difference can add.
    #[inline(always)]
    pub(crate) fn cosine_at_most(&self, row: usize, query: &HalfByteQuery, kernel: impl Kernel) -> f32 {
        let length = query.low.len();
        let halves = &self.halves[row * length..(row + 1) * length];
        let dot_product = kernel.dot_product(halves, &query.low, &query.high).wrapping_sub(query.zero);
        let most = dot_product as f32 * (BYTE_MAX / HALF_MAX) + query.length * self.residues[row];
        most * self.scales[row] * query.scale + SLACK
    }

    /// Bytes that it takes, about.
    pub(crate) fn size(&self) -> usize {
        let numbers = self.scales.capacity() + self.residues.capacity() + self.ends.capacity();
        self.bytes.capacity() + self.halves.capacity() + numbers * 4
    }
}

/// A query made ready for products with halves.
#[derive(Debug)]
pub(crate) struct HalfByteQuery {
    low: Vec<i8>,
    high: Vec<i8>,
    /// What the zeros of the halves add to a product.
    zero: i32,
    /// In bytes' units.
    length: f32,
    scale: f32,
}

impl HalfByteQuery {
    pub(crate) fn of(query: &Quantized) -> Self {
        let (low, high) = query.bytes.split_at(query.bytes.len().div_ceil(2));
        let mut high = high.to_vec();
        high.resize(low.len(), 0);
        let sum: i32 = query.bytes.iter().map(|byte| i32::from(*byte)).sum();
        let square: i32 = query.bytes.iter().map(|byte| i32::from(*byte).pow(2)).sum();
        let length = (square as f32).sqrt();
        Self { low: low.to_vec(), high, zero: sum * HALF_ZERO, length, scale: query.scale }
    }
}

/// The product of halves and a query's numbers: `low` with what is below, `high` with what is above.
pub(crate) trait Kernel: Copy {
    fn dot_product(self, halves: &[u8], low: &[i8], high: &[i8]) -> i32;
}

/// For any processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn dot_product(self, halves: &[u8], low: &[i8], high: &[i8]) -> i32 {
        let products = halves.iter().zip(low.iter().zip(high)).map(|(pair, (low, high))| {
            let below = i32::from(*low).wrapping_mul(i32::from(pair & 15));
            below.wrapping_add(i32::from(*high).wrapping_mul(i32::from(pair >> 4)))
        });
        products.fold(0, i32::wrapping_add)
    }
}

/// With AVX2, whose product of unsigned and signed bytes compilers do not find by themselves: five times as fast.
#[cfg(target_arch = "x86_64")]
impl Kernel for pulp::x86::V3 {
    #[inline(always)]
    fn dot_product(self, halves: &[u8], low: &[i8], high: &[i8]) -> i32 {
        const WIDTH: usize = 32;
        /// Sums of four products of two numbers each fit in 16 bits: 4 · 2 · 2 · 15 · 127 < 2^15.
        const SUMMED: usize = 4;
        let (avx, avx2) = (self.avx, self.avx2);
        let (low_bits, ones) = (avx._mm256_set1_epi8(15), avx._mm256_set1_epi16(1));
        let mut sums = avx._mm256_setzero_si256();
        let (blocks, rest) = halves.as_chunks::<WIDTH>();
        let (lows, low_rest) = low.as_chunks::<WIDTH>();
        let (highs, high_rest) = high.as_chunks::<WIDTH>();
        for first in (0..blocks.len()).step_by(SUMMED) {
            let mut some = avx._mm256_setzero_si256();
            let end = (first + SUMMED).min(blocks.len());
            for ((pair, low), high) in
                blocks[first..end].iter().zip(&lows[first..end]).zip(&highs[first..end])
            {
                let pair = pulp::cast(*pair);
                let below = avx2._mm256_and_si256(pair, low_bits);
                let above = avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(pair), low_bits);
                let below = avx2._mm256_maddubs_epi16(below, pulp::cast(*low));
                let above = avx2._mm256_maddubs_epi16(above, pulp::cast(*high));
                some = avx2._mm256_add_epi16(some, avx2._mm256_add_epi16(below, above));
            }
            sums = avx2._mm256_add_epi32(sums, avx2._mm256_madd_epi16(some, ones));
        }
        let lanes: [i32; 8] = pulp::cast(sums);
        lanes.into_iter().fold(Portable.dot_product(rest, low_rest, high_rest), i32::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cosine_is_above_its_bound() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / 16_777_216.0 - 0.5
        };
        for dimension in [1, 2, 7, 384, 385] {
            let mut rows = VectorStore::default();
            let mut slack = 0.0_f32;
            let vectors: Vec<Quantized> = (0..200)
                .map(|_| Quantized::of(&(0..dimension).map(|_| next()).collect::<Vec<f32>>()))
                .collect();
            for vector in &vectors {
                let bytes: Vec<u8> = vector.bytes.iter().map(|byte| byte.cast_unsigned()).collect();
                rows.push(vector.scale, &bytes);
                rows.end_chunk();
            }
            for query in &vectors {
                let halved = HalfByteQuery::of(query);
                for row in 0..vectors.len() {
                    let cosine = rows.cosine(row, query);
                    let most = rows.cosine_at_most(row, &halved, Portable);
                    assert!(cosine <= most, "{dimension}: {cosine} {most}");
                    #[cfg(target_arch = "x86_64")]
                    if let Some(wide) = pulp::x86::V3::try_new() {
                        assert_eq!(most, rows.cosine_at_most(row, &halved, wide));
                    }
                    slack = slack.max(most - cosine);
                }
            }
            assert!(slack < 0.5, "{dimension}: a bound that rules nothing out: {slack}");
        }
    }
}
