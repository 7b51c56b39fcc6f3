//! Vectors quantized to a byte per dimension, and their dot products.
//!
//! A vector is scaled to length 1 and stored as signed bytes with its own scale, in a quarter of the memory
//! of f32. On MiniLM's vectors the ten nearest are found with a recall of 0.996 compared with f32 (0.972 with
//! one common scale).

/// The size of a vector's scale.
const SCALE_BYTES: usize = 4;
/// The largest absolute value of a byte.
const BYTE_MAX: f32 = 127.0;

/// A quantized vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantized {
    /// The factor from a byte to a component of the vector.
    pub(crate) scale: f32,
    /// One byte for each dimension.
    pub(crate) bytes: Vec<i8>,
}

impl Quantized {
    /// Scales a vector to length 1 and rounds it.
    ///
    /// A zero vector, or one with NaN or infinite components, becomes all zeros and so is similar to nothing.
    #[must_use]
    pub(crate) fn of(vector: &[f32]) -> Self {
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        if !(length.is_normal() && largest.is_finite()) {
            return Self { scale: 0.0, bytes: vec![0; vector.len()] };
        }
        let bytes = vector.iter().map(|value| (value / largest * BYTE_MAX).round() as i8).collect();
        Self { scale: largest / BYTE_MAX / length, bytes }
    }

    /// Appends the vector in its stored form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.scale.to_le_bytes());
        out.extend(self.bytes.iter().map(|byte| byte.cast_unsigned()));
    }
}

/// Encodes a vector for storage: its scale, then a byte per dimension of the vector scaled to length 1.
#[must_use]
pub fn encode_vector(vector: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Quantized::of(vector).encode(&mut bytes);
    bytes
}

/// Decodes the stored vectors of one chunk. An incomplete vector at the end is ignored.
pub(crate) fn decode(bytes: &[u8], dimension: usize) -> impl Iterator<Item = (f32, &[u8])> {
    bytes.chunks_exact(SCALE_BYTES + dimension).map(|vector| {
        let (scale, bytes) = vector.split_at(SCALE_BYTES);
        (f32::from_le_bytes(scale.try_into().unwrap_or_default()), bytes)
    })
}

/// Returns whether stored vectors are complete and have valid scales, as vectors of length 1 do.
pub(crate) fn are_valid(bytes: &[u8], dimension: usize) -> bool {
    bytes.len().is_multiple_of(SCALE_BYTES + dimension)
        && decode(bytes, dimension).all(|(scale, _)| (0.0..=1.0).contains(&scale))
}

/// Returns the dot product of two byte vectors, exact up to 130,000 dimensions.
///
/// Wrapping addition lets compilers use vector instructions; within that limit it never wraps.
#[inline(always)]
pub(crate) fn dot_product(a: &[i8], b: &[i8]) -> i32 {
    let products = a.iter().zip(b).map(|(a, b)| i32::from(*a).wrapping_mul(i32::from(*b)));
    products.fold(0, i32::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantized_dot_products_match_the_vectors() {
        let a: Vec<f32> = (0..384).map(|at| (at as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..384).map(|at| (at as f32 * 0.11).cos()).collect();
        let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        let exact = a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>() / length(&a) / length(&b);
        let (a, b) = (Quantized::of(&a), Quantized::of(&b));
        let rounded = dot_product(&a.bytes, &b.bytes) as f32 * a.scale * b.scale;
        assert!((exact - rounded).abs() < 0.002, "{exact} {rounded}");
        let mut stored = Vec::new();
        a.encode(&mut stored);
        b.encode(&mut stored);
        let read: Vec<(f32, usize)> =
            decode(&stored, 384).map(|(scale, bytes)| (scale, bytes.len())).collect();
        assert_eq!(read, [(a.scale, 384), (b.scale, 384)]);
    }

    #[test]
    fn degenerate_vectors_quantize_to_zero() {
        for vector in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 0.0]] {
            assert_eq!(Quantized::of(&vector), Quantized { scale: 0.0, bytes: vec![0, 0] });
        }
    }
}
