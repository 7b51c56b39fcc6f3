//! Memory strength: the decay of memories by the forgetting curve of FSRS-6.
//!
//! The formulas and the 21 weights are those of FSRS-6 as its authors publish them (open-spaced-repetition,
//! "The Algorithm", FSRS-6). The weights are the defaults of PyPI `fsrs` 6.3. The tests compare 2,000
//! histories with the results of that package, which `scripts/fsrs-reference.py` writes. The unit of time is
//! the day.
//!
//! [`Event`] defines which events count as reviews, and with which grade. Reading is not a review: a search
//! changes nothing.

use lar_base::Timestamp;
use lar_store::Strength;

/// FSRS-6's default weights, w0 to w20.
const W: [f64; 21] = [
    0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796, 1.4835, 0.0614,
    0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542,
];
/// The minimum stability, in days.
const STABILITY_MIN: f64 = 0.001;
/// The milliseconds of a day.
const DAY_MS: f64 = 86_400_000.0;

/// FSRS's grade of a review: how well the memory was recalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// Not recalled.
    Again,
    /// Recalled with effort.
    Hard,
    /// Recalled as expected.
    Good,
    /// Recalled immediately.
    Easy,
}

/// An event that counts as a review of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The user marked it as important: `Easy`, because the user recalled it unprompted.
    Promoted,
    /// The user marked it as less important: `Again`, so that it ranks lower but stays.
    Demoted,
    /// A caller reported that it was useful: `Good`.
    Used,
    /// An answer cited it: `Good`.
    Cited,
    /// A text repeated it: `Good`.
    Confirmed,
    /// The user marked it as wrong or outdated: `Again`.
    Wrong,
}

impl Event {
    /// Returns the event as written in a memory's history.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Event::Promoted => "promote",
            Event::Demoted => "demote",
            Event::Used => "use",
            Event::Cited => "cite",
            Event::Confirmed => "confirm",
            Event::Wrong => "wrong",
        }
    }

    /// Returns the grade of the review.
    #[must_use]
    pub const fn grade(self) -> Grade {
        match self {
            Event::Promoted => Grade::Easy,
            Event::Used | Event::Cited | Event::Confirmed => Grade::Good,
            Event::Demoted | Event::Wrong => Grade::Again,
        }
    }
}

/// Returns the strength of a memory saved at `now`. Saving counts as a first review with `Good`.
#[must_use]
pub fn new(now: Timestamp) -> Strength {
    first(Grade::Good, now)
}

/// Returns the probability, 0 to 1, of recall at `now`: R(t, S) = (1 + f·t/S)^(−w20), with f such that
/// R(S, S) = 0.9.
#[must_use]
pub fn retrievability(strength: &Strength, now: Timestamp) -> f64 {
    retrievability_after(days(strength.reviewed_at, now), strength.stability)
}

/// Returns the strength after a review with this grade at `now`.
#[must_use]
pub fn review(strength: &Strength, grade: Grade, now: Timestamp) -> Strength {
    let elapsed = days(strength.reviewed_at, now);
    let stability = if elapsed < 1.0 {
        same_day(strength.stability, grade)
    } else {
        let recalled = retrievability_after(elapsed, strength.stability);
        match grade {
            Grade::Again => after_forgetting(strength, recalled),
            _ => after_recall(strength, recalled, grade),
        }
    };
    Strength {
        stability: stability.max(STABILITY_MIN),
        difficulty: next_difficulty(strength.difficulty, grade),
        reviewed_at: now,
    }
}

/// S0(G) = w[G−1]; D0(G) = w4 − e^(w5·(G−1)) + 1.
fn first(grade: Grade, now: Timestamp) -> Strength {
    Strength {
        stability: W[grade as usize].max(STABILITY_MIN),
        difficulty: first_difficulty(grade).clamp(1.0, 10.0),
        reviewed_at: now,
    }
}

fn first_difficulty(grade: Grade) -> f64 {
    W[4] - (W[5] * number(grade)).exp() + 1.0
}

fn retrievability_after(days: f64, stability: f64) -> f64 {
    let factor = 0.9_f64.powf(-1.0 / W[20]) - 1.0;
    (1.0 + factor * days / stability).powf(-W[20])
}

/// S′ = S · e^(w17·(G−3+w18)) · S^(−w19), never less than S unless the grade is `Again`.
fn same_day(stability: f64, grade: Grade) -> f64 {
    let increase = (W[17] * (number(grade) - 2.0 + W[18])).exp() * stability.powf(-W[19]);
    let increase = if grade == Grade::Again { increase } else { increase.max(1.0) };
    stability * increase
}

/// S′ = S · (1 + e^w8 · (11−D) · S^(−w9) · (e^(w10·(1−R)) − 1) · w15 if hard · w16 if easy).
fn after_recall(strength: &Strength, recalled: f64, grade: Grade) -> f64 {
    let hard = if grade == Grade::Hard { W[15] } else { 1.0 };
    let easy = if grade == Grade::Easy { W[16] } else { 1.0 };
    let increase = W[8].exp()
        * (11.0 - strength.difficulty)
        * strength.stability.powf(-W[9])
        * ((W[10] * (1.0 - recalled)).exp() - 1.0)
        * hard
        * easy;
    strength.stability * (1.0 + increase)
}

/// S′ = min(w11 · D^(−w12) · ((S+1)^w13 − 1) · e^(w14·(1−R)), S / e^(w17·w18)).
fn after_forgetting(strength: &Strength, recalled: f64) -> f64 {
    let long = W[11]
        * strength.difficulty.powf(-W[12])
        * ((strength.stability + 1.0).powf(W[13]) - 1.0)
        * (W[14] * (1.0 - recalled)).exp();
    long.min(strength.stability / (W[17] * W[18]).exp())
}

/// D′ = w7·D0(Easy) + (1−w7)·(D + ΔD·(10−D)/9), ΔD = −w6·(G−3), within 1 to 10.
fn next_difficulty(difficulty: f64, grade: Grade) -> f64 {
    let change = -W[6] * (number(grade) - 2.0);
    let damped = difficulty + change * (10.0 - difficulty) / 9.0;
    let easiest = first_difficulty(Grade::Easy);
    (W[7] * easiest + (1.0 - W[7]) * damped).clamp(1.0, 10.0)
}

/// Returns the grade's number, starting at 0.
fn number(grade: Grade) -> f64 {
    f64::from(grade as u8)
}

/// Returns the days between two times, with fractions; 0 if `to` is before `from`.
fn days(from: Timestamp, to: Timestamp) -> f64 {
    ((to.as_millis() - from.as_millis()) as f64 / DAY_MS).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRADES: [Grade; 4] = [Grade::Again, Grade::Hard, Grade::Good, Grade::Easy];

    fn after(time: Timestamp, days: f64) -> Timestamp {
        Timestamp::from_millis(time.as_millis() + (days * DAY_MS) as i64)
    }

    /// Compares 2,000 histories with the reference from `scripts/fsrs-reference.py`, to a relative error of
    /// 1e-5.
    #[test]
    fn review_histories_match_the_fsrs_reference() {
        let reference = include_str!("strength/reference.txt");
        assert_eq!(reference.lines().count(), 2000);
        for (seed, line) in (0_u64..).zip(reference.lines()) {
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            };
            let mut now = Timestamp::from_millis(1_767_225_600_000);
            let mut strength = first(GRADES[(random() % 4) as usize], now);
            for _ in 0..random() % 8 + 1 {
                let days = random() % 401;
                now = after(now, if days % 5 == 0 { 1.0 / 24.0 } else { days as f64 });
                strength = review(&strength, GRADES[(random() % 4) as usize], now);
            }
            let later = retrievability(&strength, after(now, 30.0));
            let found = [strength.stability, strength.difficulty, later];
            let expected = line.split(' ').map(|number| number.parse::<f64>().unwrap());
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() <= expected * 1e-5, "{seed}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn retrievability_starts_at_one_and_only_falls() {
        let now = Timestamp::from_millis(0);
        let strength = new(now);
        let at = |days: f64| retrievability(&strength, after(now, days));
        assert_eq!(at(0.0), 1.0);
        assert!((at(strength.stability) - 0.9).abs() < 1e-9, "by the definition of stability");
        assert!(at(1.0) > at(10.0) && at(10.0) > at(10_000.0) && at(10_000.0) > 0.0);
        assert_eq!(retrievability(&strength, Timestamp::from_millis(-1)), 1.0, "the clock went back");
    }

    /// A thousand uses in a day must not keep a memory at the top forever.
    #[test]
    fn frequent_use_decays() {
        let mut now = Timestamp::from_millis(0);
        let mut strength = new(now);
        for _ in 0..1000 {
            now = after(now, 0.001);
            strength = review(&strength, Event::Used.grade(), now);
        }
        assert!(strength.stability < 10.0, "{strength:?}");
        assert!(retrievability(&strength, after(now, 365.0)) < 0.7);
    }
}
