//! Decides how many tokens a step computes. Pure bookkeeping of the time that earlier steps took.
//!
//! It makes two promises. A new prompt adds at most [`ADDED_MAX`] (or as long as a token takes anyway) to the
//! time between other streams' tokens. And draft tokens are computed only if the measured cost of the longer
//! step is less than the time that they will probably save.

use std::time::Duration;

/// The target time of a step that only prefills. Its fixed cost is then small, and a request that arrives
/// during it does not wait long.
const STEP_TARGET: Duration = Duration::from_millis(500);
/// The same after an interrupted step, so that a caller who sends and cancels requests delays nobody.
const STEP_TARGET_WHOLE: Duration = Duration::from_millis(150);
/// The time that prefill may add to a step with decoding streams.
const ADDED_MAX: Duration = Duration::from_millis(90);
/// Prefill uses multiples of this: llama.cpp computes attention in tiles of 64 tokens.
const TILE: usize = 64;
/// Shorter chunks are not used as measurements.
const MEASURED_MIN: usize = TILE / 2;
/// The rest of a prompt joins a step if it is at most this fraction of the step.
const REST_SHARE: usize = 3;
/// A prompt of at most one tile is read whole if that takes no longer than this many steps. Each of its
/// chunks would cost a whole tile.
const SHORT_STEPS: usize = 3;
/// The assumed prefill speed before any measurement, in tokens per second.
const FIRST_PROMPT_SPEED: f64 = 90.0;
/// The assumed cost of one more token in a step of one token, as a fraction of that step.
const FIRST_ADDED_SHARE: f64 = 1.0 / 3.0;
/// The weight of the newest measurement.
const NEWEST: f64 = 0.3;
/// The step sizes whose times are stored, in tokens: from 0 to the most sequences of a worker
/// (`engines.concurrency`).
const SIZES: usize = 257;
/// The number of mixed steps after which a step only decodes, to measure how long decoding takes now.
const MIXED_MAX: u32 = 16;
/// The most draft tokens in a step.
pub(super) const DRAFT_TOKENS_MAX: usize = 12;

/// The measured times of steps.
#[derive(Debug)]
pub(super) struct StepBudget {
    /// The most tokens in one batch.
    batch_tokens: usize,
    /// The prefill speed of steps that only prefill, in tokens per second.
    prompt_speed: f64,
    /// The seconds that a prompt token adds to a step with decoding streams.
    prompt_added: f64,
    /// The seconds of a step without prefill, by its number of tokens.
    decode: [Option<f64>; SIZES],
    /// Steps with both decoding and prefill since the last step that only decoded.
    mixed: u32,
    /// Whether the last step was interrupted.
    was_interrupted: bool,
}

impl StepBudget {
    pub(super) fn new(batch_tokens: usize) -> Self {
        Self {
            batch_tokens,
            prompt_speed: FIRST_PROMPT_SPEED,
            prompt_added: 1.0 / FIRST_PROMPT_SPEED,
            decode: [None; SIZES],
            mixed: 0,
            was_interrupted: false,
        }
    }

    /// Records the time of a step with this many decoded and prompt tokens.
    pub(super) fn record(&mut self, answers: usize, prompts: usize, took: Duration) {
        self.was_interrupted = false;
        let took = took.as_secs_f64().max(1e-6);
        let blend = |known: f64, new: f64| known + NEWEST * (new - known);
        match (answers, prompts) {
            (_, 0) => {
                self.mixed = 0;
                if let Some(known) = self.decode.get_mut(answers) {
                    *known = Some(known.map_or(took, |known| blend(known, took)));
                }
            }
            // The time of a short chunk does not predict that of long ones.
            (0, ..MEASURED_MIN) => {}
            (0, _) => self.prompt_speed = blend(self.prompt_speed, prompts as f64 / took),
            _ => {
                self.mixed += 1;
                let added = (took - self.answers(answers)).max(0.0) / prompts as f64;
                self.prompt_added = blend(self.prompt_added, added).max(1e-6);
            }
        }
    }

    /// Returns the seconds of a step with a single token, once measured.
    pub(super) fn single_token_seconds(&self) -> Option<f64> {
        self.decode[1]
    }

    pub(super) fn record_interruption(&mut self) {
        self.was_interrupted = true;
    }

    /// Returns whether the next step may be interrupted: at most every other step, so that there is progress.
    pub(super) fn may_be_interrupted(&self) -> bool {
        !self.was_interrupted
    }

    /// Returns the number of prompt tokens for a step with this many decoded tokens.
    pub(super) fn prompt_tokens(&self, answers: usize) -> usize {
        let most = self.batch_tokens.saturating_sub(answers);
        if answers > 0 {
            let target = ADDED_MAX.as_secs_f64().max(self.answers(answers));
            return ((target / self.prompt_added) as usize).clamp(1, most.max(1));
        }
        let target = if self.was_interrupted { STEP_TARGET_WHOLE } else { STEP_TARGET };
        let tokens = (self.prompt_speed * target.as_secs_f64()) as usize;
        let whole = if self.was_interrupted { tokens } else { (tokens / TILE * TILE).max(TILE) };
        whole.clamp(1, most.max(1))
    }

    /// Returns whether the next step must only decode although prompts are unread, and assumes that it does.
    /// The time of prefill is the time of the step minus the last measured time of decoding. If decoding has
    /// become slower since then, prompts would get less and less; if it has become faster, they would take
    /// more than they may. Mixed steps alone would not reveal this.
    pub(super) fn take_measuring_step(&mut self) -> bool {
        let is_due = self.mixed >= MIXED_MAX;
        if is_due {
            self.mixed = 0;
        }
        is_due
    }

    /// Estimates the time that a prefill of this many tokens takes alone.
    pub(super) fn time_of_prompt(&self, tokens: usize) -> Duration {
        Duration::from_secs_f64(tokens as f64 / self.prompt_speed.max(1e-3))
    }

    /// Returns whether the `rest` of a prompt with `unread` tokens joins this step instead of a later one.
    /// Without the rest, the step has `step` prompt tokens.
    pub(super) fn takes_rest(
        &self,
        room: usize,
        unread: usize,
        rest: usize,
        step: usize,
        answers: usize,
    ) -> bool {
        let is_little = answers == 0 && rest <= room / REST_SHARE;
        let is_short = unread <= TILE.min(room * SHORT_STEPS) && (answers > 0 || !self.was_interrupted);
        (is_little || is_short) && answers + step + rest <= self.batch_tokens
    }

    /// Returns the number of draft tokens that gives the most tokens per second. `acceptance` is the
    /// probability that one is accepted, and `each` is the seconds to draft one. Nothing else is computed.
    pub(super) fn draft_len(&self, acceptance: f64, each: f64, most: usize) -> usize {
        let acceptance = acceptance.clamp(0.0, 0.99);
        // The draft tokens before the first rejected one are accepted, and one more token is sampled after
        // them.
        let kept = |drafted: usize| (1.0 - acceptance.powi(drafted as i32 + 1)) / (1.0 - acceptance);
        let rate = |drafted: usize| kept(drafted) / (self.answers(1 + drafted) + each * drafted as f64);
        let most = most.min(DRAFT_TOKENS_MAX);
        (0..=most).max_by(|a, b| rate(*a).total_cmp(&rate(*b)).then(b.cmp(a))).unwrap_or(0)
    }

    /// Returns the seconds of a step with this many decoded tokens: measured, or interpolated between the
    /// nearest measured sizes.
    fn answers(&self, tokens: usize) -> f64 {
        let measured = |size: &usize| self.decode.get(*size).copied().flatten().map(|time| (*size, time));
        let below = (1..=tokens.min(SIZES - 1)).rev().find_map(|size| measured(&size));
        let above = (tokens + 1..SIZES).find_map(|size| measured(&size));
        match (below, above) {
            (Some((size, time)), _) if size == tokens => time,
            (Some((low, from)), Some((high, to))) => {
                from + (to - from).max(0.0) * (tokens - low) as f64 / (high - low) as f64
            }
            (Some((size, time)), None) => {
                let single_token_seconds = self.decode[1].unwrap_or(time / size as f64);
                let slope = if size > 1 {
                    (time - single_token_seconds).max(0.0) / (size - 1) as f64
                } else {
                    time * FIRST_ADDED_SHARE
                };
                time + slope * (tokens - size) as f64
            }
            (None, Some((_, time))) => time,
            (None, None) => 0.0,
        }
    }
}

/// How often draft tokens of one answer are accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptanceRate(f64);

impl AcceptanceRate {
    /// The assumed rate before the first draft.
    const FIRST: f64 = 0.7;
    /// The weight of the newest draft token.
    const NEWEST: f64 = 0.15;
    /// How fast the rate returns to the assumed one while nothing is drafted.
    const RECOVERS: f64 = 0.01;

    pub(super) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Returns the probability that a draft token is accepted.
    pub(super) fn probability(self) -> f64 {
        self.0
    }

    /// Records a draft of which the first `accepted` tokens were accepted.
    pub(super) fn record(&mut self, accepted: usize, drafted: usize) {
        for _ in 0..accepted {
            self.0 += Self::NEWEST * (1.0 - self.0);
        }
        if accepted < drafted {
            self.0 -= Self::NEWEST * self.0;
        }
    }

    /// Records that a draft was available but not worth computing.
    pub(super) fn record_skipped(&mut self) {
        self.0 += Self::RECOVERS * (Self::FIRST - self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn prompts_are_read_in_tiles_for_half_a_second() {
        let mut budget = StepBudget::new(512);
        assert_eq!(budget.prompt_tokens(0), 64, "the first step is short on any machine");
        for _ in 0..20 {
            budget.record(0, 200, millis(500));
        }
        assert_eq!(budget.prompt_tokens(0), 192);
        for _ in 0..50 {
            budget.record(0, 64, millis(4000));
        }
        assert_eq!(budget.prompt_tokens(0), 64, "a slow machine reads a tile at least");
        budget.record_interruption();
        assert!(!budget.may_be_interrupted());
        assert!(budget.prompt_tokens(0) < 10, "a step that may not be interrupted is short");
        assert!(budget.takes_rest(192, 256, 64, 192, 0) && !budget.takes_rest(192, 256, 65, 192, 0));
        assert!(!budget.takes_rest(9, 20, 11, 9, 0));
    }

    #[test]
    fn short_prompts_are_read_whole() {
        let budget = StepBudget::new(512);
        assert!(budget.takes_rest(64, 45, 26, 64, 0), "the second of two prompts, without decoding");
        assert!(budget.takes_rest(22, 45, 23, 22, 8), "with decoding, in at most the time of three steps");
        assert!(!budget.takes_rest(14, 45, 31, 14, 8), "on a slow machine decoding goes on");
        assert!(!budget.takes_rest(22, 65, 43, 22, 8), "a prompt longer than a tile is not short");
        assert!(!budget.takes_rest(500, 45, 26, 500, 1), "the batch is full");
    }

    #[test]
    fn a_prompt_adds_at_most_its_share_to_a_step() {
        let mut budget = StepBudget::new(512);
        budget.record(1, 0, millis(10));
        for _ in 0..30 {
            budget.record(1, 30, millis(100));
        }
        assert!((29..=31).contains(&budget.prompt_tokens(1)), "{}", budget.prompt_tokens(1));
        // If a token takes long anyway, prefill may double that time.
        for _ in 0..30 {
            budget.record(1, 0, millis(300));
        }
        assert!((95..=101).contains(&budget.prompt_tokens(1)), "{}", budget.prompt_tokens(1));
    }

    /// Returns the prompt tokens in each of 400 steps with this many decoded tokens. A step takes `step`
    /// milliseconds, plus `each` for every prompt token.
    fn read_beside(answers: usize, budget: &mut StepBudget, step: u64, each: u64) -> Vec<usize> {
        let step = |_| {
            let prompts = if budget.take_measuring_step() { 0 } else { budget.prompt_tokens(answers) };
            budget.record(answers, prompts, millis(step + each * prompts as u64));
            prompts
        };
        (0..400).map(step).collect()
    }

    #[test]
    fn slower_decoding_leaves_prompts_their_share() {
        // Other programs suddenly take most of the machine, or decoding was never measured.
        let slower = [(Some(10), 300, 60), (Some(10), 500, 20), (None, 300, 60)];
        for (answers, (before, step, each)) in
            [1, 40, 256].into_iter().flat_map(|n| slower.map(|case| (n, case)))
        {
            let mut budget = StepBudget::new(512);
            if let Some(before) = before {
                budget.record(answers, 0, millis(before));
            }
            let read: usize = read_beside(answers, &mut budget, step, each)[200..].iter().sum();
            // The tokens that take as long as one decoded token.
            let fair = 200 * step / each;
            assert!(read as u64 * 10 >= fair * 7, "{answers}, {step} + {each} ms: {read} of {fair}");
        }
    }

    #[test]
    fn faster_decoding_keeps_its_speed_beside_prompts() {
        let mut budget = StepBudget::new(512);
        budget.record(1, 0, millis(500));
        let last = read_beside(1, &mut budget, 10, 2)[399];
        assert!((35..=50).contains(&last), "{last}");
    }

    #[test]
    fn tokens_are_drafted_only_when_profitable() {
        let mut budget = StepBudget::new(512);
        budget.record(1, 0, millis(100));
        budget.record(5, 0, millis(120));
        assert_eq!(budget.draft_len(0.0, 0.0, 8), 0);
        assert!(budget.draft_len(0.9, 0.0, 8) >= 6, "nearly free and nearly certain");
        assert!(budget.draft_len(0.9, 0.02, 8) >= 2, "with a draft model that is five times as fast");
        assert_eq!(budget.draft_len(0.9, 0.1, 8), 0, "with a draft model that is no faster");
        let mut dear = StepBudget::new(512);
        dear.record(1, 0, millis(10));
        dear.record(5, 0, millis(45));
        assert_eq!(dear.draft_len(0.5, 0.0, 8), 0, "drafts that cost as much as they may save");
    }

    #[test]
    fn the_acceptance_rate_follows_outcomes() {
        let mut rate = AcceptanceRate::new();
        for _ in 0..20 {
            rate.record(4, 4);
        }
        assert!(rate.probability() > 0.95);
        for _ in 0..40 {
            rate.record(0, 4);
        }
        assert!(rate.probability() < 0.05);
        for _ in 0..200 {
            rate.record_skipped();
        }
        assert!(rate.probability() > 0.5, "drafting is tried again after a while");
    }
}
