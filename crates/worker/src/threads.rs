//! Chooses how many threads compute a step. It starts with the physical cores and keeps measuring during real
//! work.
//!
//! Pure bookkeeping. From time to time a trial alternates a few steps between the current thread count and
//! another one, and compares their mean times. Both thus run beside the same other programs. Moving away from
//! the physical cores takes several won trials in a row over [`AWAY_TIME`], so that one busy moment decides
//! nothing. Moving back takes two. Trials become rare while they keep losing, and stay frequent while fewer
//! threads than cores compute.

use std::time::Duration;

use lar_base::Instant;

/// The steps of each thread count in a trial.
const TRIAL_STEPS: usize = 4;
/// The fraction by which another thread count must be faster to win a trial.
const FASTER_MIN: f64 = 0.05;
/// Trials to win in a row to move towards the number of physical cores.
const WINS_BACK: u32 = 2;
/// Trials to win in a row to move away from it.
const WINS_AWAY: u32 = 4;
/// The least time over which these must be won.
const AWAY_TIME: Duration = Duration::from_secs(20);
/// A lower thread count than the cores that lasted this long is kept for the next start.
const SETTLED_TIME: Duration = Duration::from_secs(300);

/// The number of steps between trials.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    /// While fewer threads than cores compute, and between the trials of a winning series.
    pub(super) short: u32,
    /// With the physical cores at first: trials take at most half a percent of the time.
    pub(super) first: u32,
    /// After many lost trials.
    pub(super) longest: u32,
}

/// The pauses of steps that decode, which come by the hundred.
pub(super) const DECODING: Pauses = Pauses { short: 48, first: 768, longest: 12_288 };
/// The pauses of steps that prefill, which are fewer.
pub(super) const PREFILL: Pauses = Pauses { short: 8, first: 96, longest: 1536 };

/// The choice for one kind of step.
#[derive(Debug)]
pub(super) struct Threads {
    /// The thread counts to choose from, ascending.
    counts: Vec<u32>,
    /// The index of the current one.
    at: usize,
    /// The index of the number of physical cores.
    full: usize,
    since: Instant,
    pauses: Pauses,
    pause: u32,
    steps: u32,
    trial: Option<Trial>,
    series: Option<Series>,
    /// Whether the last trial tried more threads; the next one tries fewer.
    tried_more: bool,
}

#[derive(Debug)]
struct Trial {
    other: usize,
    /// Only steps of one size are compared.
    size: Option<usize>,
    /// The seconds of steps with the current count and with the other.
    times: [Vec<f64>; 2],
}

/// The trials that one thread count won in a row.
#[derive(Debug)]
struct Series {
    other: usize,
    wins: u32,
    since: Instant,
}

impl Threads {
    /// Chooses from `counts`. Starts with `cores`, or with `first` if an earlier start settled on it.
    pub(super) fn new(counts: &[u32], cores: u32, first: u32, pauses: Pauses, now: Instant) -> Self {
        let mut counts = counts.to_vec();
        counts.extend([cores.max(1), first.max(1)]);
        counts.sort_unstable();
        counts.dedup();
        let index = |count: u32| counts.iter().position(|known| *known == count.max(1)).unwrap_or(0);
        let (at, full) = (index(first), index(cores));
        let pause = if at < full { pauses.short } else { pauses.first };
        Self {
            counts,
            at,
            full,
            since: now,
            pauses,
            pause,
            steps: 0,
            trial: None,
            series: None,
            tried_more: false,
        }
    }

    /// Makes a choice that always uses this thread count.
    pub(super) fn fixed(count: u32, now: Instant) -> Self {
        Self::new(&[], count, count, DECODING, now)
    }

    /// Returns the current thread count, apart from trials.
    pub(super) fn count(&self) -> u32 {
        self.counts.get(self.at).copied().unwrap_or(1)
    }

    /// Returns whether fewer threads than cores compute, and not yet for long enough to be kept for the next
    /// start.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        self.at < self.full && now.since(self.since) < SETTLED_TIME
    }

    /// Returns the thread count for the next step, which computes `size` tokens.
    pub(super) fn next(&mut self, size: usize) -> u32 {
        let Some(trial) = &mut self.trial else { return self.count() };
        if *trial.size.get_or_insert(size) != size {
            // The work changed, so the measured times cannot be compared.
            self.trial = None;
            self.steps = self.pause / 2;
            return self.count();
        }
        let index = if trial.is_others_turn() { trial.other } else { self.at };
        self.counts.get(index).copied().unwrap_or(1)
    }

    /// Records the time of the step that [`Threads::next`] chose for. Returns whether the choice changed.
    pub(super) fn record(&mut self, took: Duration, now: Instant) -> bool {
        let Some(trial) = &mut self.trial else {
            self.steps += 1;
            if self.steps >= self.pause {
                self.begin_trial();
            }
            return false;
        };
        let turn = usize::from(trial.is_others_turn());
        trial.times[turn].push(took.as_secs_f64());
        if trial.times.iter().any(|times| times.len() < TRIAL_STEPS) {
            return false;
        }
        let [present, other] = [&trial.times[0], &trial.times[1]].map(|times| times.iter().sum::<f64>());
        let (index, won) = (trial.other, other < present * (1.0 - FASTER_MIN));
        self.trial = None;
        self.steps = 0;
        self.judge(index, won, now)
    }

    /// Returns whether the next or last step tries another thread count.
    pub(super) fn is_trying(&self) -> bool {
        self.trial.as_ref().is_some_and(Trial::is_others_turn)
    }

    fn begin_trial(&mut self) {
        let more = (self.at + 1 < self.counts.len()).then_some(self.at + 1);
        let fewer = self.at.checked_sub(1);
        let turn = if self.tried_more { fewer.or(more) } else { more.or(fewer) };
        // A series that has begun is finished first.
        let other = self.series.as_ref().map_or(turn, |series| Some(series.other));
        self.steps = 0;
        self.tried_more = other.is_some_and(|other| other > self.at);
        self.trial = other.map(|other| Trial { other, size: None, times: [Vec::new(), Vec::new()] });
    }

    fn judge(&mut self, other: usize, won: bool, now: Instant) -> bool {
        if !won {
            self.series = None;
            let longest = if self.at < self.full { self.pauses.short * 4 } else { self.pauses.longest };
            self.pause = (self.pause.max(self.pauses.short) * 2).min(longest);
            return false;
        }
        self.pause = self.pauses.short;
        let series = self.series.get_or_insert(Series { other, wins: 0, since: now });
        series.wins += 1;
        let away = other.abs_diff(self.full) > self.at.abs_diff(self.full);
        let (wins, time) = if away { (WINS_AWAY, AWAY_TIME) } else { (WINS_BACK, Duration::ZERO) };
        if series.wins < wins || now.since(series.since) < time {
            return false;
        }
        (self.at, self.since, self.series) = (other, now, None);
        self.pause = if self.at < self.full { self.pauses.short } else { self.pauses.first };
        true
    }
}

impl Trial {
    fn is_others_turn(&self) -> bool {
        self.times[1].len() < self.times[0].len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Simulates steps whose time depends on the thread count.
    struct Machine {
        threads: Threads,
        now: Instant,
    }

    impl Machine {
        fn new(counts: &[u32], cores: u32, first: u32) -> Self {
            let now = Instant::now();
            Self { threads: Threads::new(counts, cores, first, DECODING, now), now }
        }

        /// Decodes for this time; `millis` returns how long a step takes with a thread count. Returns the
        /// fraction of steps in trials.
        fn decode(&mut self, time: Duration, millis: impl Fn(u32) -> f64) -> f64 {
            let (end, mut tried, mut steps) = (self.now.after(time), 0, 0);
            while self.now < end {
                let count = self.threads.next(1);
                let took = Duration::from_secs_f64(millis(count) / 1e3);
                self.now = self.now.after(took);
                tried += u32::from(self.threads.is_trying());
                steps += 1;
                self.threads.record(took, self.now);
            }
            f64::from(tried) / f64::from(steps)
        }
    }

    fn quiet(threads: u32) -> f64 {
        12.0 / f64::from(threads)
    }

    /// Two programs spin on two cores: threads that wait for each other lose more than they gain.
    fn busy(threads: u32) -> f64 {
        if threads == 1 { 24.0 } else { 30.0 }
    }

    #[test]
    fn a_short_load_does_not_reduce_the_thread_count() {
        let mut machine = Machine::new(&[2, 1], 2, 2);
        machine.decode(Duration::from_secs(5), quiet);
        machine.decode(Duration::from_secs(15), busy);
        assert_eq!(machine.threads.count(), 2);
    }

    #[test]
    fn lasting_load_reduces_the_thread_count_until_it_ends() {
        let mut machine = Machine::new(&[2, 1], 2, 2);
        machine.decode(Duration::from_secs(120), busy);
        assert_eq!(machine.threads.count(), 1);
        assert!(machine.threads.is_unsettled(machine.now));
        machine.decode(Duration::from_secs(4), quiet);
        assert_eq!(machine.threads.count(), 2, "within four seconds of decoding");
        assert!(!machine.threads.is_unsettled(machine.now));
    }

    #[test]
    fn losing_trials_cost_less_than_a_percent() {
        let mut machine = Machine::new(&[2, 1], 2, 2);
        let share = machine.decode(Duration::from_secs(60), quiet);
        assert!(share < 0.005, "{share}");
        assert_eq!(machine.threads.count(), 2);
    }

    #[test]
    fn a_lower_thread_count_that_stays_faster_is_adopted() {
        // Memory is too slow for more than four threads.
        let memory_bound = |threads: u32| 40.0 / f64::from(threads.min(4)) + f64::from(threads);
        let mut machine = Machine::new(&[16, 8, 4, 2], 8, 8);
        machine.decode(Duration::from_secs(500), memory_bound);
        assert_eq!(machine.threads.count(), 4);
        assert!(!machine.threads.is_unsettled(machine.now), "unchanged for five minutes");
        let again = Machine::new(&[16, 8, 4, 2], 8, 4);
        assert_eq!(again.threads.count(), 4, "the next start uses it");
    }

    #[test]
    fn a_fixed_thread_count_never_changes() {
        let now = Instant::now();
        let mut machine = Machine { threads: Threads::fixed(3, now), now };
        machine.decode(Duration::from_secs(60), busy);
        assert_eq!(machine.threads.count(), 3);
    }

    proptest! {
        #[test]
        fn the_chosen_count_is_always_one_of_the_candidates(
            counts in proptest::collection::vec(1u32..64, 1..5),
            steps in proptest::collection::vec((1usize..4, 1u64..100), 1..3000),
        ) {
            let now = Instant::now();
            let pauses = Pauses { short: 1, first: 1, longest: 4 };
            let mut threads = Threads::new(&counts, counts[0], counts[0], pauses, now);
            let mut at = now;
            for (size, millis) in steps {
                prop_assert!(counts.contains(&threads.next(size)));
                at = at.after(Duration::from_millis(millis));
                threads.record(Duration::from_millis(millis), at);
            }
            prop_assert!(counts.contains(&threads.count()));
        }
    }
}
