//! The calibration of a judge: from which score on it may be believed.
//!
//! The model judges pairs with known relations, and pairs of which the newer text replaces another one. The
//! threshold is the least score from which on at least [`PRECISION_MIN`] of the pairs are replacements. A
//! threshold that is picked on the pairs which it is measured with looks better than it is. So each half of the
//! pairs is measured with the threshold of the other half, and the judge is fit if that is precise enough.
//!
//! A good share of few pairs may be luck. So a lower bound of the precision must be good enough as well
//! ([`precision_bound`]).

use std::sync::LazyLock;

use serde::Deserialize;

/// The least precision of a judge that may replace memories.
pub(super) const PRECISION_MIN: f64 = 0.97;
/// The least number of pairs that a fit judge accepts. Fewer prove no precision.
const ACCEPTED_MIN: usize = 30;
/// The least lower bound of the precision of a fit judge.
const BOUND_MIN: f64 = 0.90;
/// The 95 % quantile of the standard normal distribution, for a bound on one side.
const Z_95: f64 = 1.644_853_626_951_472_2;

const SETS: [&str; 2] =
    [include_str!("../../calibration/designer.jsonl"), include_str!("../../calibration/workshop.jsonl")];

/// A pair of texts with a known relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CalibrationPair {
    /// The text that was saved first.
    pub(crate) older: String,
    /// The text that was saved later.
    pub(crate) newer: String,
    /// Whether the newer text makes the older one outdated.
    pub(crate) replaces: bool,
}

#[derive(Deserialize)]
struct Line {
    first: String,
    second: String,
    want: String,
}

/// Returns the pairs, in an order in which replacements are spread evenly.
pub(crate) fn pairs() -> &'static [CalibrationPair] {
    static PAIRS: LazyLock<Vec<CalibrationPair>> = LazyLock::new(|| {
        let lines = SETS.iter().flat_map(|set| set.lines());
        let lines = lines.filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let labeled = lines.filter(|line| line.want != "reject").map(|line| CalibrationPair {
            replaces: line.want == "replaces",
            older: line.first,
            newer: line.second,
        });
        let (replacing, others): (Vec<_>, Vec<_>) = labeled.partition(|pair| pair.replaces);
        // A change of something else: the newer text of one replacement after the older text of another.
        let shifted = replacing.iter().cycle().skip(1);
        let mismatched = replacing.iter().zip(shifted).map(|(pair, other)| CalibrationPair {
            older: pair.older.clone(),
            newer: other.newer.clone(),
            replaces: false,
        });
        let mismatched: Vec<_> = mismatched.collect();
        spread(vec![replacing, others, mismatched])
    });
    &PAIRS
}

/// Merges lists so that each is spread evenly.
fn spread<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let placed = lists.into_iter().flat_map(|list| {
        let length = list.len() as f64;
        list.into_iter().enumerate().map(move |(at, item)| ((at as f64 + 0.5) / length, item))
    });
    let mut placed: Vec<(f64, T)> = placed.collect();
    placed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    placed.into_iter().map(|(_, item)| item).collect()
}

/// The score of a pair, `None` if the answer claims no replacement, and whether the pair is one.
pub(super) type Scored = (Option<f32>, bool);

/// The result of a calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fitness {
    /// The pairs that the judge accepts, with the threshold of the other half.
    pub(super) accepted: usize,
    /// The replacements among them.
    pub(super) correct: usize,
    /// The threshold on all pairs; `None` if the judge is not fit.
    pub(super) threshold: Option<f32>,
}

/// Measures a judge by the scores of all pairs.
pub(super) fn measure(scored: &[Scored]) -> Fitness {
    let half = |odd: usize| -> Vec<Scored> {
        scored.iter().enumerate().filter(|(at, _)| at % 2 == odd).map(|(_, scored)| *scored).collect()
    };
    let halves = [half(0), half(1)];
    let (mut accepted, mut correct) = (0, 0);
    for (measured, other) in [(&halves[0], &halves[1]), (&halves[1], &halves[0])] {
        let Some(threshold) = threshold(other) else { continue };
        let believed = measured.iter().filter(|(score, _)| is_accepted(*score, threshold));
        accepted += believed.clone().count();
        correct += believed.filter(|(_, replaces)| *replaces).count();
    }
    let is_fit = is_precise(accepted, correct);
    Fitness { accepted, correct, threshold: threshold(scored).filter(|_| is_fit) }
}

/// Returns whether a replacement with this score is believed. An answer that claims none accepts nothing.
pub(super) fn is_accepted(score: Option<f32>, threshold: f32) -> bool {
    score.is_some_and(|score| score >= threshold)
}

/// Returns whether enough of the accepted pairs are replacements.
fn is_precise(accepted: usize, correct: usize) -> bool {
    accepted >= ACCEPTED_MIN
        && correct as f64 >= PRECISION_MIN * accepted as f64
        && precision_bound(accepted, correct) >= BOUND_MIN
}

/// Returns the lower bound of the precision that `correct` of `accepted` pairs show, with a confidence of 95 % on one
/// side: the lower end of Wilson's score interval.
///
/// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
/// American Statistical Association 22 (1927), pages 209 to 212. A bound on one side takes the 95 % quantile, where the
/// interval takes that of 97.5 %.
fn precision_bound(accepted: usize, correct: usize) -> f64 {
    if accepted == 0 {
        return 0.0;
    }
    let (n, share) = (accepted as f64, correct as f64 / accepted as f64);
    let square = Z_95 * Z_95;
    let spread = Z_95 * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
    (share + square / (2.0 * n) - spread) / (1.0 + square / n)
}

/// Returns whether a judge cannot become fit any more, after a part of all pairs.
pub(super) fn is_hopeless(scored: &[Scored], all: usize) -> bool {
    // After half of the pairs, a judge that would accept nearly none of them is given up.
    if scored.len() * 2 < all {
        return false;
    }
    let best = threshold(scored);
    let accepted =
        best.map_or(0, |least| scored.iter().filter(|(score, _)| is_accepted(*score, least)).count());
    accepted * all < ACCEPTED_MIN / 2 * scored.len()
}

/// Returns the least score from which on the pairs are replacements with enough precision.
fn threshold(scored: &[Scored]) -> Option<f32> {
    let claims = scored.iter().filter_map(|(score, replaces)| score.zip(Some(*replaces)));
    let mut sorted: Vec<(f32, bool)> = claims.collect();
    sorted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let (mut correct, mut least) = (0, None);
    for (at, (score, replaces)) in sorted.iter().enumerate() {
        correct += usize::from(*replaces);
        // Equal scores are accepted together.
        let is_last_of_equal = sorted.get(at + 1).is_none_or(|(next, _)| next < score);
        if is_last_of_equal && correct as f64 >= PRECISION_MIN * (at + 1) as f64 {
            least = Some(*score);
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::question;

    #[test]
    fn the_pairs_are_balanced_and_spread() {
        let pairs = pairs();
        let replacements = pairs.iter().filter(|pair| pair.replaces).count();
        assert!(pairs.len() >= 300 && replacements >= 80, "{} {replacements}", pairs.len());
        let first_half = pairs[..pairs.len() / 2].iter().filter(|pair| pair.replaces).count();
        assert!(first_half.abs_diff(replacements / 2) <= 1, "{first_half} of {replacements}");
    }

    #[test]
    fn a_model_reads_each_pair_whole() {
        for pair in pairs() {
            assert!(question::prompt(&pair.older, &pair.newer).is_some(), "{pair:?}");
        }
    }

    #[test]
    fn a_judge_is_fit_if_it_is_precise_on_pairs_that_did_not_choose_its_threshold() {
        let exact: Vec<Scored> =
            (0..200).map(|at| if at % 5 < 2 { (Some(3.0), true) } else { (Some(1.0), false) }).collect();
        let fitness = measure(&exact);
        assert_eq!((fitness.accepted, fitness.correct, fitness.threshold), (80, 80, Some(3.0)));
        let blind: Vec<Scored> = (0..200).map(|at| (Some((at * 7 % 13) as f32), at % 3 == 0)).collect();
        assert_eq!(measure(&blind).threshold, None);
        // It is sure of a few only, which proves nothing.
        let timid: Vec<Scored> = (0..200)
            .map(|at| if at % 19 == 0 { (Some(3.0), true) } else { (Some(0.0), at % 4 < 2) })
            .collect();
        let fitness = measure(&timid);
        assert_eq!((fitness.accepted, fitness.correct, fitness.threshold), (11, 11, None));
        assert_eq!(measure(&[]).threshold, None);
    }

    #[test]
    fn an_answer_that_claims_no_replacement_accepts_nothing() {
        // Each pair is a replacement, and the judge does not claim half of them.
        let silent: Vec<Scored> = (0..200).map(|at| ((at % 4 < 2).then_some(1.0), true)).collect();
        let fitness = measure(&silent);
        assert_eq!((fitness.accepted, fitness.correct, fitness.threshold), (100, 100, Some(1.0)));
        let mute: Vec<Scored> = (0..200).map(|_| (None, true)).collect();
        assert_eq!(measure(&mute), Fitness { accepted: 0, correct: 0, threshold: None });
        assert!(is_hopeless(&mute, 200));
        let accepted = [Some(2.0), Some(1.9), None].map(|score| is_accepted(score, 2.0));
        assert_eq!(accepted, [true, false, false]);
        assert!(!is_accepted(None, f32::MIN), "whatever the threshold is");
    }

    #[test]
    fn the_bound_is_that_of_wilson() {
        let bound = |accepted, correct| (precision_bound(accepted, correct) * 1e4).round() / 1e4;
        let bounds = [(30, 30), (34, 33), (67, 65), (100, 97), (10, 5), (10, 0)];
        let expected = [0.9173, 0.8784, 0.9137, 0.9273, 0.2693, 0.0];
        assert_eq!(bounds.map(|(accepted, correct)| bound(accepted, correct)), expected);
        assert_eq!(precision_bound(0, 0), 0.0);
    }

    #[test]
    fn a_precision_that_may_be_luck_is_not_enough() {
        assert!(is_precise(30, 30) && is_precise(67, 65) && is_precise(100, 97));
        assert!(!is_precise(29, 29), "too few");
        assert!(!is_precise(200, 193), "a good bound, and a precision of 0.965");
        // A precision of 0.971, of which at least 0.878 is certain.
        assert!(!is_precise(34, 33));
        let half = |right: usize, last: bool| -> Vec<Scored> {
            let claims = std::iter::repeat_n((Some(2.0), true), right);
            claims.chain([(Some(1.0), last)]).collect()
        };
        // The first half accepts all of its pairs, and the second one not its last pair, which is wrong.
        let halves = half(17, true).into_iter().zip(half(16, false).into_iter().chain([(None, false)]));
        let lucky: Vec<Scored> = halves.flat_map(|(first, second)| [first, second]).collect();
        assert_eq!(measure(&lucky), Fitness { accepted: 34, correct: 33, threshold: None });
    }

    #[test]
    fn a_hopeless_judge_is_given_up_after_half_of_the_pairs() {
        let blind: Vec<Scored> = (0..100).map(|at| (Some(0.0), at % 2 == 0)).collect();
        assert!(!is_hopeless(&blind[..40], 100));
        assert!(is_hopeless(&blind, 100) && is_hopeless(&blind[..60], 100));
        let exact: Vec<Scored> =
            (0..100).map(|at| (Some(if at % 2 == 0 { 2.0 } else { 1.0 }), at % 2 == 0)).collect();
        assert!(!is_hopeless(&exact, 100));
    }
}
