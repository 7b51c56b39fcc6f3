//! Estimates how fast a model decodes on a machine.
//!
//! A model reads all active weights once per token, which takes a time that grows with their size. Each token
//! also has an overhead that does not depend on the size much, such as the synchronization of threads. The
//! estimate is this line, time over size, through the measured models. Without a measured model, it follows
//! from the rate at which the machine is expected to read weights. A model with more active weights never has
//! a higher estimate. This module measures nothing.

use lar_base::Bytes;

/// Reading speed in tokens per second, the minimum for a starter model.
pub const TOKENS_PER_SECOND_MIN: f64 = 8.0;
/// The largest overhead of a token, in seconds.
///
/// Measured with SmolLM2-135M on two cores of a 2023 Xeon (decision 0041): a token takes 11.8 ms, of which 7
/// ms are for the weights at that machine's 14 GB/s.
const OVERHEAD_MAX: f64 = 0.005;
/// The largest share of the overhead in the time of a token. It keeps the estimates for larger models low if
/// the machine's rate was overestimated and the measured model is very fast.
const OVERHEAD_SHARE_MAX: f64 = 0.5;

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
    /// The bytes of weights that the machine is expected to read per second while it decodes, before any
    /// model was measured.
    pub weights_per_second: f64,
    /// The installed models whose decode speed was measured on this machine, in any order.
    pub measured: Vec<MeasuredModel>,
}

impl DecodeSpeed {
    /// Estimates the tokens per second of a model that reads `active` bytes of weights per token. The
    /// estimate never rises with `active`.
    ///
    /// Between two measured models, the time per token lies on the line between them, or on the line of the
    /// smaller one if that is faster: the larger one may be slow because it fills the memory.
    #[must_use]
    pub fn tokens_per_second(&self, active: Bytes) -> f64 {
        let size = number(active);
        let points = self.points();
        let above = points.partition_point(|point| point.size <= size);
        let smaller = above.checked_sub(1).map(|index| points[index]);
        let seconds = match (smaller, points.get(above)) {
            (None, None) => size / self.weights_per_second,
            (None, Some(larger)) => self.seconds_beside(larger, size),
            (Some(smaller), None) => self.seconds_beside(&smaller, size),
            (Some(smaller), Some(larger)) => {
                let part = (size - smaller.size) / (larger.size - smaller.size);
                let between = smaller.seconds + part * (larger.seconds - smaller.seconds);
                between.min(self.seconds_beside(&smaller, size))
            }
        };
        seconds.recip()
    }

    /// Returns the sizes and times of the measured models by rising size, with one point for each size. Of
    /// contradicting measurements the faster one counts, since a busy machine only makes a model slower: a
    /// smaller model takes at most the time of a larger one.
    fn points(&self) -> Vec<Point> {
        let point = |model: &MeasuredModel| Point {
            size: number(model.active),
            seconds: model.tokens_per_second.recip(),
        };
        let mut falling: Vec<Point> = self.measured.iter().map(point).collect();
        falling.sort_by(|a, b| b.size.total_cmp(&a.size).then(b.seconds.total_cmp(&a.seconds)));
        let mut points: Vec<Point> = Vec::with_capacity(falling.len());
        for mut point in falling {
            let larger = points.last().copied();
            point.seconds = larger.map_or(point.seconds, |larger| point.seconds.min(larger.seconds));
            if larger.is_some_and(|larger| larger.size == point.size) {
                points.pop();
            }
            points.push(point);
        }
        points.reverse();
        points
    }

    /// Estimates the seconds per token of a model with `size` bytes from one measured model.
    ///
    /// A part of the measured time is overhead: what the machine's expected rate does not explain, within
    /// limits. The rest is the time for the weights, which is proportional to the size.
    fn seconds_beside(&self, measured: &Point, size: f64) -> f64 {
        let unexplained = measured.seconds - measured.size / self.weights_per_second;
        let overhead = unexplained.min(OVERHEAD_MAX).min(measured.seconds * OVERHEAD_SHARE_MAX).max(0.0);
        overhead + (measured.seconds - overhead) * size / measured.size
    }
}

/// The time per token of a measured model.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// The bytes of weights that are read for each token, at least 1.
    size: f64,
    /// The seconds per token.
    seconds: f64,
}

/// Returns the number of bytes as a divisor, at least 1.
fn number(bytes: Bytes) -> f64 {
    bytes.get().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Estimates the tokens per second of a model from the machine's rate and the sizes and speeds of
    /// measured models.
    fn speed(active_mb: u64, gb_per_second: f64, measured: &[(u64, f64)]) -> f64 {
        let bytes = |mb: u64| Bytes(mb * 1_000_000);
        let model =
            |&(mb, tokens_per_second): &(u64, f64)| MeasuredModel { active: bytes(mb), tokens_per_second };
        let measured = measured.iter().map(model).collect();
        let speed = DecodeSpeed { weights_per_second: gb_per_second * 1e9, measured };
        speed.tokens_per_second(bytes(active_mb))
    }

    #[test]
    fn without_a_measured_model_the_machines_rate_is_the_estimate() {
        assert_eq!(speed(1000, 14.0, &[]), 14.0);
    }

    #[test]
    fn a_measured_model_has_its_measured_speed() {
        assert_about(speed(1000, 100.0, &[(1000, 6.0), (100, 80.0)]), 6.0, "slower than expected");
        assert_about(speed(1000, 1.0, &[(1000, 6.0), (100, 80.0)]), 6.0, "faster than expected");
    }

    #[test]
    fn a_measured_model_replaces_the_machines_expected_rate() {
        assert_about(speed(2000, 10.0, &[(1000, 10.0)]), 5.0, "as expected");
        assert_about(speed(2000, 1.0, &[(1000, 10.0)]), 5.0, "faster than expected");
        // 100 ms for the measured model, of which 5 ms count as overhead.
        assert_about(speed(2000, 100.0, &[(1000, 10.0)]), 1000.0 / 195.0, "slower than expected");
        assert_about(speed(500, 100.0, &[(1000, 10.0)]), 1000.0 / 52.5, "a smaller model");
        assert_about(speed(20_000, 1.0, &[(1000, 10.0)]), 0.5, "a much larger model");
    }

    #[test]
    fn the_overhead_of_a_small_model_is_not_scaled_to_a_larger_one() {
        // 12.5 ms, of which 7.1 ms are for the weights at 14 GB/s.
        let small = [(100, 80.0)];
        assert_about(speed(1000, 14.0, &small), 1000.0 / (5.0 + 75.0), "5 ms of overhead at most");
        assert_about(speed(1000, 10.0, &small), 1000.0 / (2.5 + 100.0), "2.5 ms of overhead");
        assert_about(speed(1000, 4.0, &small), 8.0, "no overhead");
        // 2 ms, as on a GPU.
        assert_about(speed(1000, 1000.0, &[(100, 500.0)]), 1000.0 / 11.0, "half of the time at most");
    }

    #[test]
    fn two_measured_models_determine_those_between_them() {
        // The Xeon of decision 0041; the model between them was measured at 29 tokens per second.
        let ends = [(98, 85.0), (1117, 13.0)];
        let estimate = speed(491, 13.9, &ends);
        assert!((25.0..30.0).contains(&estimate), "{estimate}");
    }

    #[test]
    fn a_model_that_fills_the_memory_does_not_slow_down_smaller_ones() {
        assert_about(speed(2000, 10.0, &[(1000, 10.0), (20_000, 0.1)]), 5.0, "");
        assert_about(speed(20_000, 10.0, &[(1000, 10.0), (20_000, 0.1)]), 0.1, "the model itself");
    }

    #[test]
    fn of_contradicting_measurements_the_faster_one_counts() {
        let smaller_was_busy = [(1000, 4.0), (2000, 5.0)];
        assert_about(speed(1000, 10.0, &smaller_was_busy), 5.0, "as fast as the larger one");
        assert_about(speed(1000, 10.0, &[(1000, 4.0), (1000, 8.0)]), 8.0, "two of one size");
    }

    #[test]
    fn estimates_never_rise_with_the_size() {
        let measured: [&[(u64, f64)]; 6] = [
            &[],
            &[(1117, 14.3)],
            &[(98, 150.0)],
            &[(98, 150.0), (1117, 18.0)],
            &[(98, 60.0), (491, 90.0), (1117, 10.0), (9000, 0.2)],
            &[(2100, 9.0), (9000, 12.0)],
        ];
        for gb_per_second in [3.0, 14.0, 48.0, 400.0] {
            for models in measured {
                let estimate = |step: u64| speed(step * 10, gb_per_second, models);
                let estimates: Vec<f64> = (1..2000).map(estimate).collect();
                assert!(estimates.is_sorted_by(|a, b| a >= b), "{gb_per_second} GB/s, {models:?}");
                assert!(estimates.iter().all(|estimate| estimate.is_finite() && *estimate > 0.0));
            }
        }
    }

    fn assert_about(speed: f64, expected: f64, case: &str) {
        assert!((speed - expected).abs() < 1e-6, "{speed}, expected {expected}: {case}");
    }
}
