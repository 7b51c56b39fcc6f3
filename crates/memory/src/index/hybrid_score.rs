//! The score of hybrid search.
//!
//! `score = (weight · keyword + (1 − weight) · similarity + time lift) · decay factor · age factor`. The keyword
//! score is `BM25 ⁄ (highest possible BM25 of the query)`. The similarity is the cosine on MiniLM's scale
//! ([`crate::similarity`]), or 0 if that is negative. Both are between 0 and 1 in any store, so scores are
//! comparable everywhere. The time lift is that of memories of a time that the query names. The factors for decay
//! and age have lower bounds.
//!
//! Rank fusion, which needs no weight, is worse with a weak embedder. [`super::keywords`] computes BM25,
//! [`super::scan`] the similarities, and [`crate::strength`] the retrievability.

use std::ops::Range;

use lar_base::Timestamp;
use lar_text::days::Day;

/// The weight of the keyword score: CACM is flat from 0.5 to 0.7 (best at 0.7), LongMemEval-S finds all of its
/// sessions at 0.5 and 0.6 (MiniLM; `benches/RESULTS.md`, "Memory search quality"). Smart ingest has a weight of
/// its own for its candidates.
pub(crate) const KEYWORD_WEIGHT: f32 = 0.6;
/// The largest share of the score that decay takes.
const DECAY_PENALTY_MAX: f32 = 0.1;
/// The largest share of the score that age takes.
const AGE_PENALTY_MAX: f32 = 0.03;
/// The time constant of the age penalty: after this many days it is 63 % of its maximum.
const AGE_DAYS: f32 = 90.0;
/// The lift of a memory of a time that the query names. It raises the turns found among the best ten of a set of
/// long dialogues from 0.683 to 0.700 (2026-11-30).
const TIME_LIFT: f32 = 0.1;
/// The milliseconds of a day.
const DAY_MS: f32 = 86_400_000.0;

/// Returns the weighted sum of a chunk's keyword score and similarity, 0 to 1, or the keyword score if there
/// is no vector. `weight` is that of the keyword score, 0 to 1.
#[inline(always)]
pub(super) fn combine(weight: f32, keyword_score: f32, similarity: Option<f32>) -> f32 {
    similarity
        .map_or(keyword_score, |similarity| weight * keyword_score + (1.0 - weight) * similarity.max(0.0))
}

/// Returns the score with the lift of a memory of these times, at most 1. A score of 0 stays 0: a time alone
/// finds nothing.
#[inline(always)]
pub(super) fn lift_by_time(score: f32, occurred_at: Timestamp, times: &[Range<Day>]) -> f32 {
    let day = Day::of_millis(occurred_at.as_millis());
    if score > 0.0 && times.iter().any(|time| time.contains(&day)) {
        (score + TIME_LIFT).min(1.0)
    } else {
        score
    }
}

/// Returns the age factor at `now` of a memory about an event at `occurred_at`, 0.97 to 1.
pub(super) fn recency(occurred_at: Timestamp, now: Timestamp) -> f32 {
    let age = (now.as_millis() - occurred_at.as_millis()).max(0) as f32 / DAY_MS;
    1.0 - AGE_PENALTY_MAX * (1.0 - (-age / AGE_DAYS).exp())
}

/// Returns the factor by which decay and age reduce a score, 0.87 to 1. `retrievability` is 0 to 1, and
/// `recency` is the age factor.
pub(crate) fn strength_factor(retrievability: f32, recency: f32) -> f32 {
    (1.0 - DECAY_PENALTY_MAX * (1.0 - retrievability)) * recency
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_and_similarity_are_weighted() {
        assert_eq!(combine(0.25, 1.0, Some(0.5)), 0.625);
        assert_eq!(combine(0.25, 1.0, Some(-0.5)), 0.25, "a negative similarity counts as none");
        assert_eq!(combine(0.25, 0.5, None), 0.5, "without a vector, only keywords count");
    }

    #[test]
    fn a_memory_of_a_named_time_is_lifted() {
        let times = [Day(10)..Day(12), Day(20)..Day(21)];
        let lift =
            |score, day: i64| lift_by_time(score, Timestamp::from_millis(day * 86_400_000 + 5), &times);
        assert_eq!([9, 10, 11, 12, 20].map(|day| lift(0.5, day)), [0.5, 0.6, 0.6, 0.5, 0.6]);
        assert_eq!(lift(0.95, 10), 1.0, "a score is at most 1");
        assert_eq!(lift(0.0, 10), 0.0, "a time alone finds nothing");
        assert_eq!(lift_by_time(0.5, Timestamp::from_millis(0), &[]), 0.5);
    }

    #[test]
    fn decay_and_age_take_at_most_a_bounded_share() {
        let now = Timestamp::from_millis(0);
        let before = |days: i64| Timestamp::from_millis(-days * 86_400_000);
        assert_eq!(strength_factor(1.0, recency(now, now)), 1.0);
        assert_eq!(recency(before(-1), now), 1.0, "an event in the future has no age");
        assert!(recency(before(1), now) > recency(before(90), now));
        let least = strength_factor(0.0, recency(before(100_000), now));
        assert!((least - 0.9 * 0.97).abs() < 1e-6, "{least}");
    }
}
