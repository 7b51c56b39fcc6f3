//! How fast models decode on a machine: scaled from a measured model of similar size, else estimated from how fast memory is read.
//!
//! Decoding reads all active weights once for each token, so large models are bound by the bandwidth of memory. Small ones are bound
//! by computing and by the overhead of each token: their bytes per second say little about a much larger model. Nothing is measured
//! here.

use lar_base::Bytes;

/// Up to this ratio of their sizes, two models read their weights about equally fast. On two cores of a 2023 Xeon (decision 0041)
/// 0.49 GB were read at 14.3 GB a second and 1.12 GB at 14.8, a ratio of 2.3; 0.098 GB at only 8.3, a ratio of 5 and of 11.
const SIMILAR_RATIO_MAX: f64 = 3.0;

/// A model whose decoding was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredModel {
    /// Bytes of weights that are read for one token.
    pub active: Bytes,
    /// Tokens a second of one answer.
    pub tokens_per_second: f64,
}

/// What is known of a machine's speed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecodeSpeed {
    /// Bytes of weights that the machine probably reads in a second while it decodes, from the bandwidth of its memory.
    pub weights_per_second: f64,
    /// The models that were measured on it.
    pub measured: Vec<MeasuredModel>,
}

impl DecodeSpeed {
    /// Tokens a second of a model of which `active` is read for each token.
    ///
    /// The measured model nearest in size decides. Where it is similar, its bytes per second are taken, whether they are more or
    /// less than the bandwidth promises. Where it is not, it only bounds the estimate: a larger model writes at most as many
    /// tokens a second and reads at least as many bytes a second; a smaller one the other way round.
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

/// At least 1, to divide by.
fn number(bytes: Bytes) -> f64 {
    bytes.get().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens a second of a model, given the bandwidth and the sizes and speeds of measured models.
    fn speed(active_mb: u64, gb_per_second: f64, measured: &[(u64, f64)]) -> f64 {
        let bytes = |mb: u64| Bytes(mb * 1_000_000);
        let model =
            |&(mb, tokens_per_second): &(u64, f64)| MeasuredModel { active: bytes(mb), tokens_per_second };
        let measured = measured.iter().map(model).collect();
        let speed = DecodeSpeed { weights_per_second: gb_per_second * 1e9, measured };
        speed.tokens_per_second(bytes(active_mb))
    }

    #[test]
    fn without_a_measured_model_the_bandwidth_decides() {
        assert_eq!(speed(1000, 14.0, &[]), 14.0);
    }

    #[test]
    fn a_measured_model_decides_its_own_speed() {
        assert_eq!(speed(1000, 100.0, &[(1000, 6.0), (100, 80.0)]), 6.0);
        assert_eq!(speed(1000, 1.0, &[(1000, 6.0), (100, 80.0)]), 6.0);
    }

    #[test]
    fn a_model_of_similar_size_decides_in_both_directions() {
        assert_eq!(speed(2000, 100.0, &[(1000, 10.0)]), 5.0, "slower than the bandwidth promises");
        assert_eq!(speed(2000, 1.0, &[(1000, 10.0)]), 5.0, "faster");
        assert_eq!(speed(500, 100.0, &[(1000, 10.0)]), 20.0, "a smaller model");
    }

    #[test]
    fn a_much_smaller_model_only_bounds_a_larger_one() {
        // 8 GB a second and 80 tokens a second.
        let small = [(100, 80.0)];
        assert_eq!(speed(1000, 14.0, &small), 14.0, "the bandwidth decides");
        assert_eq!(speed(1000, 4.0, &small), 8.0, "as many bytes a second were seen");
        assert_eq!(speed(1000, 200.0, &small), 80.0, "no more tokens a second than the small one");
    }

    #[test]
    fn a_much_larger_model_only_bounds_a_smaller_one() {
        // 10 GB a second and 1 token a second.
        let large = [(10_000, 1.0)];
        assert_eq!(speed(1000, 7.0, &large), 7.0, "the bandwidth decides");
        assert_eq!(speed(1000, 50.0, &large), 10.0, "no more bytes a second than the large one");
        assert_eq!(speed(1000, 0.5, &large), 1.0, "as many tokens a second were seen");
    }

    #[test]
    fn the_nearest_in_size_decides() {
        assert_eq!(speed(2000, 14.0, &[(100, 80.0), (1000, 10.0), (20_000, 0.1)]), 5.0);
    }
}
