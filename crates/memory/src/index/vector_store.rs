//! The vectors of all chunks in two precisions: one byte per dimension for scores, half a byte for bounds.
//!
//! The time to scan a million vectors is limited by memory bandwidth. The half-byte vectors are read first
//! and give an upper bound that rules out most chunks without changing the result.

use std::ops::Range;

use crate::vectors::{Quantized, dot_product};

/// The largest absolute value in a byte, and in half a byte.
const BYTE_MAX: f32 = 127.0;
const HALF_MAX: f32 = 7.0;
/// The offset added to half bytes to make them unsigned.
const HALF_ZERO: i32 = 8;
/// The largest rounding error of a bound.
const SLACK: f32 = 1e-5;

/// The vectors of all chunks, in the order of the chunks.
#[derive(Debug, Default)]
pub(crate) struct VectorStore {
    bytes: Vec<i8>,
    scales: Vec<f32>,
    /// Half-byte vectors. Each byte has a dimension of the first half in the low bits and one of the second
    /// half in the high bits.
    halves: Vec<u8>,
    /// The length of the difference between each vector and its half-byte form, in units of a byte.
    residues: Vec<f32>,
    /// The end of each chunk's vectors.
    ends: Vec<u32>,
}

impl VectorStore {
    /// Adds a vector to the current chunk.
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

    /// Ends the current chunk.
    pub(crate) fn end_chunk(&mut self) {
        self.ends.push(u32::try_from(self.scales.len()).unwrap_or(u32::MAX));
    }

    /// Returns the range of a chunk's vectors.
    #[inline(always)]
    pub(crate) fn of(&self, chunk: usize) -> Range<usize> {
        let start = chunk.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[chunk] as usize
    }

    /// Returns the cosine of a vector and the query.
    #[inline(always)]
    pub(crate) fn cosine(&self, row: usize, query: &Quantized) -> f32 {
        let dimension = query.bytes.len();
        let bytes = &self.bytes[row * dimension..(row + 1) * dimension];
        dot_product(bytes, &query.bytes) as f32 * self.scales[row] * query.scale
    }

    /// Returns an upper bound of that cosine.
    ///
    /// It is the product with the half-byte vector plus the most that the difference can add
    /// (Cauchy–Schwarz).
    #[inline(always)]
    pub(crate) fn cosine_at_most(&self, row: usize, query: &HalfByteQuery, kernel: impl Kernel) -> f32 {
        let length = query.low.len();
        let halves = &self.halves[row * length..(row + 1) * length];
        let dot_product = kernel.dot_product(halves, &query.low, &query.high).wrapping_sub(query.zero);
        let most = dot_product as f32 * (BYTE_MAX / HALF_MAX) + query.length * self.residues[row];
        most * self.scales[row] * query.scale + SLACK
    }

    /// Returns the approximate number of bytes that the vectors take.
    pub(crate) fn size(&self) -> usize {
        let numbers = self.scales.capacity() + self.residues.capacity() + self.ends.capacity();
        self.bytes.capacity() + self.halves.capacity() + numbers * 4
    }
}

/// A query prepared for products with half-byte vectors.
#[derive(Debug)]
pub(crate) struct HalfByteQuery {
    low: Vec<i8>,
    high: Vec<i8>,
    /// The amount that [`HALF_ZERO`] adds to a product.
    zero: i32,
    /// The query's length, in units of a byte.
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

/// A dot product of a half-byte vector and a query.
pub(crate) trait Kernel: Copy {
    /// Returns the dot product: `low` with the low bits of `halves`, `high` with the high bits.
    fn dot_product(self, halves: &[u8], low: &[i8], high: &[i8]) -> i32;
}

/// The kernel for any CPU.
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

/// The AVX2 kernel, five times as fast: compilers do not use AVX2's product of unsigned and signed bytes on
/// their own.
#[cfg(target_arch = "x86_64")]
impl Kernel for pulp::x86::V3 {
    #[inline(always)]
    fn dot_product(self, halves: &[u8], low: &[i8], high: &[i8]) -> i32 {
        const WIDTH: usize = 32;
        /// The number of blocks whose sums fit in 16 bits: 4 blocks · 2 halves · 2 products · 15 · 127 <
        /// 2^15.
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
    fn no_cosine_exceeds_its_bound() {
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
            assert!(slack < 0.5, "{dimension}: the bound is too loose: {slack}");
        }
    }
}
