//! Estimates how fast a model decodes on a machine.
//!
//! The estimate scales the speed of a measured model of similar size. Without one, it uses the memory
//! bandwidth. Decoding reads all active weights once per token, so the memory bandwidth limits large models.
//! Computation and the overhead per token limit small models, so their bytes per second say little about a
//! much larger model. This module measures nothing.

use lar_base::Bytes;

/// Reading speed in tokens per second, the minimum for a starter model.
pub const TOKENS_PER_SECOND_MIN: f64 = 8.0;
/// The maximum size ratio of two models that read their weights about equally fast.
///
/// Measured on two cores of a 2023 Xeon (decision 0041): a model of 0.49 GB reads 14.3 GB/s and one of 1.12
/// GB reads 14.8 GB/s (ratio 2.3). A model of 0.098 GB reads only 8.3 GB/s (ratios 5 and 11).
const SIMILAR_RATIO_MAX: f64 = 3.0;

/// A model with a measured decode speed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredModel {
    /// The bytes of weights that are read for each token.
    pub active: Bytes,
    /// Tokens per second of one answer.
    pub tokens_per_second: f64,
}

/// The decode speed of a machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecodeSpeed {
    /// The estimated bytes of weights that the machine reads per second while it decodes, from its memory
    /// bandwidth.
    pub weights_per_second: f64,
    /// The installed models whose decode speed was measured on this machine, in any order.
    pub measured: Vec<MeasuredModel>,
}

impl DecodeSpeed {
    /// Estimates the tokens per second of a model that reads `active` bytes of weights per token.
    ///
    /// The measured model that is nearest in size is the reference. If its size is similar, its bytes per
    /// second replace the estimate from the bandwidth. Otherwise it only bounds that estimate: a model larger
    /// than the reference generates at most as many tokens per second and reads at least as many bytes per
    /// second; a smaller model generates at least as many tokens and reads at most as many bytes.
    #[must_use]
    pub fn tokens_per_second(&self, active: Bytes) -> f64 {
        let estimate = self.weights_per_second / number(active);
        let ratio = |model: &MeasuredModel| {
            let ratio = number(model.active) / number(active);
            ratio.max(ratio.recip())
        };
        let nearest = self.measured.iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let Some(nearest) = nearest else { return estimate };
        let same_tokens = nearest.tokens_per_second;
        let same_bytes = same_tokens * number(nearest.active) / number(active);
        if ratio(nearest) <= SIMILAR_RATIO_MAX {
            return same_bytes;
        }
        estimate.max(same_bytes.min(same_tokens)).min(same_bytes.max(same_tokens))
    }
}

/// Returns the number of bytes as a divisor, at least 1.
fn number(bytes: Bytes) -> f64 {
    bytes.get().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Estimates the tokens per second of a model from the bandwidth and the sizes and speeds of measured
    /// models.
    fn speed(active_mb: u64, gb_per_second: f64, measured: &[(u64, f64)]) -> f64 {
        let bytes = |mb: u64| Bytes(mb * 1_000_000);
        let model =
            |&(mb, tokens_per_second): &(u64, f64)| MeasuredModel { active: bytes(mb), tokens_per_second };
        let measured = measured.iter().map(model).collect();
        let speed = DecodeSpeed { weights_per_second: gb_per_second * 1e9, measured };
        speed.tokens_per_second(bytes(active_mb))
    }

    #[test]
    fn without_a_measured_model_the_estimate_is_from_the_bandwidth() {
        assert_eq!(speed(1000, 14.0, &[]), 14.0);
    }

    #[test]
    fn a_measured_model_has_its_measured_speed() {
        assert_eq!(speed(1000, 100.0, &[(1000, 6.0), (100, 80.0)]), 6.0);
        assert_eq!(speed(1000, 1.0, &[(1000, 6.0), (100, 80.0)]), 6.0);
    }

    #[test]
    fn a_model_of_similar_size_replaces_the_bandwidth_estimate() {
        assert_eq!(speed(2000, 100.0, &[(1000, 10.0)]), 5.0, "slower than the bandwidth estimate");
        assert_eq!(speed(2000, 1.0, &[(1000, 10.0)]), 5.0, "faster than the bandwidth estimate");
        assert_eq!(speed(500, 100.0, &[(1000, 10.0)]), 20.0, "a smaller model");
    }

    #[test]
    fn a_much_smaller_model_only_bounds_a_larger_one() {
        // 8 GB and 80 tokens per second.
        let small = [(100, 80.0)];
        assert_eq!(speed(1000, 14.0, &small), 14.0, "the bandwidth estimate is within the bounds");
        assert_eq!(speed(1000, 4.0, &small), 8.0, "at least the bytes per second of the small model");
        assert_eq!(speed(1000, 200.0, &small), 80.0, "at most the tokens per second of the small model");
    }

    #[test]
    fn a_much_larger_model_only_bounds_a_smaller_one() {
        // 10 GB and 1 token per second.
        let large = [(10_000, 1.0)];
        assert_eq!(speed(1000, 7.0, &large), 7.0, "the bandwidth estimate is within the bounds");
        assert_eq!(speed(1000, 50.0, &large), 10.0, "at most the bytes per second of the large model");
        assert_eq!(speed(1000, 0.5, &large), 1.0, "at least the tokens per second of the large model");
    }

    #[test]
    fn the_model_nearest_in_size_is_the_reference() {
        assert_eq!(speed(2000, 14.0, &[(100, 80.0), (1000, 10.0), (20_000, 0.1)]), 5.0);
    }
}
