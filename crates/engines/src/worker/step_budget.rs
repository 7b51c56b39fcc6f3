//! How much a step computes: pure bookkeeping of what steps took, and what follows for the next.
//!
//! Two promises meet here. A prompt that arrives adds at most [`ADDED_MAX`] (or as much as a token takes
//! anyway) to the time between the tokens of others; and guessed tokens are computed along only where the
//! measured cost of a longer step is less than what they are likely to save.

use std::time::Duration;

/// What a step should take in which only prompts are read: long enough that its fixed cost is small, short
/// enough that a request which arrives meanwhile does not wait long.
const STEP_TARGET: Duration = Duration::from_millis(500);
/// The same after a step was broken off, so that whoever sends and cancels holds nobody up.
const STEP_TARGET_WHOLE: Duration = Duration::from_millis(150);
/// What a prompt may add to a step in which answers wait for their next token.
const ADDED_MAX: Duration = Duration::from_millis(90);
/// Prompts are read in multiples of this: llama.cpp's attention computes tiles of 64 tokens.
const TILE: usize = 64;
/// Shorter pieces of prompts are not measured by.
const MEASURED_MIN: usize = TILE / 2;
/// The rest of a prompt is added to a step when it is at most this part of it.
const REST_SHARE: usize = 3;
/// A short prompt, of a tile at most, is read whole when that takes no longer than so many steps would. In pieces each would
/// take a tile of its own.
const SHORT_STEPS: usize = 3;
/// Prompt tokens a second before anything was measured.
const FIRST_PROMPT_SPEED: f64 = 90.0;
/// What a further token adds to a step of one, in parts of what that takes, before it was measured.
const FIRST_ADDED_SHARE: f64 = 1.0 / 3.0;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;
/// Sizes of steps whose times are remembered, in tokens: as many as a worker may have sequences (`engines.concurrency`), and none.
const SIZES: usize = 257;
/// After so many steps of answers and prompts comes one of answers only, to see what those take by now.
const MIXED_MAX: u32 = 16;
/// Guessed tokens in a step at most.
pub(super) const DRAFT_TOKENS_MAX: usize = 12;

/// What steps took.
#[derive(Debug)]
pub(super) struct StepBudget {
    /// Tokens in one batch at most.
    batch_tokens: usize,
    /// Prompt tokens that are read in a second in steps that only read prompts.
    prompt_speed: f64,
    /// Seconds that a prompt token adds to a step that others share.
    prompt_added: f64,
    /// Seconds of a step without prompts, by its tokens.
    decode: [Option<f64>; SIZES],
    /// Steps of answers and prompts since the last of answers only.
    mixed: u32,
    /// Whether the last step was broken off.
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

    /// Notes what a step took that computed so many tokens of answers and of prompts.
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
            // What a short piece takes says little of long ones.
            (0, ..MEASURED_MIN) => {}
            (0, _) => self.prompt_speed = blend(self.prompt_speed, prompts as f64 / took),
            _ => {
                self.mixed += 1;
                let added = (took - self.answers(answers)).max(0.0) / prompts as f64;
                self.prompt_added = blend(self.prompt_added, added).max(1e-6);
            }
        }
    }

    /// Seconds of one token of one answer, once measured.
    pub(super) fn single_token_seconds(&self) -> Option<f64> {
        self.decode[1]
    }

    pub(super) fn record_interruption(&mut self) {
        self.was_interrupted = true;
    }

    /// Whether the next step may be broken off: one of two may, so that there is progress.
    pub(super) fn may_be_interrupted(&self) -> bool {
        !self.was_interrupted
    }

    /// Tokens of prompts for a step that computes so many tokens of answers.
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

    /// Whether the next step computes answers only although prompts are unread, which then counts as done. What a step takes beyond what its answers took
    /// when they were measured last counts as the prompts': where answers have become slower since, prompts would get less and
    /// less, and where they have become faster, more than they may add; no step with both would show it.
    pub(super) fn take_measuring_step(&mut self) -> bool {
        let is_due = self.mixed >= MIXED_MAX;
        if is_due {
            self.mixed = 0;
        }
        is_due
    }

    /// What reading so many tokens of prompts takes where nothing else is computed.
    pub(super) fn time_of_prompt(&self, tokens: usize) -> Duration {
        Duration::from_secs_f64(tokens as f64 / self.prompt_speed.max(1e-3))
    }

    /// Whether the `rest` that would be left of a prompt, of which `unread` tokens are still to be read, is read at once rather
    /// than in a step of its own; the step has `step` tokens of prompts without it.
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

    /// How many of the next tokens are worth guessing when each is right with this probability, takes so many
    /// seconds to guess, and nothing else is computed: as many as make tokens come fastest.
    pub(super) fn draft_len(&self, acceptance: f64, each: f64, most: usize) -> usize {
        let acceptance = acceptance.clamp(0.0, 0.99);
        // Of n guesses those before the first wrong one are kept, and one more token is chosen after them.
        let kept = |drafted: usize| (1.0 - acceptance.powi(drafted as i32 + 1)) / (1.0 - acceptance);
        let rate = |drafted: usize| kept(drafted) / (self.answers(1 + drafted) + each * drafted as f64);
        let most = most.min(DRAFT_TOKENS_MAX);
        (0..=most).max_by(|a, b| rate(*a).total_cmp(&rate(*b)).then(b.cmp(a))).unwrap_or(0)
    }

    /// Seconds of a step that computes so many tokens of answers: measured, or on the line between the
    /// nearest sizes that were.
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

/// How often guesses of one answer were right.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptanceRate(f64);

impl AcceptanceRate {
    /// Before any guess.
    const FIRST: f64 = 0.7;
    /// Weight of the newest guess.
    const NEWEST: f64 = 0.15;
    /// How fast an answer that is not guessed at is thought well of again.
    const RECOVERS: f64 = 0.01;

    pub(super) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// The probability that a guess is right.
    pub(super) fn probability(self) -> f64 {
        self.0
    }

    /// So many guesses were right before one was wrong, or before all were used.
    pub(super) fn record(&mut self, accepted: usize, drafted: usize) {
        for _ in 0..accepted {
            self.0 += Self::NEWEST * (1.0 - self.0);
        }
        if accepted < drafted {
            self.0 -= Self::NEWEST * self.0;
        }
    }

    /// There was something to guess by, and it was not worth it.
    pub(super) fn record_skipped(&mut self) {
        self.0 += Self::RECOVERS * (Self::FIRST - self.0);
    }
}

/// The tokens that followed when an answer's last tokens stood in its prompt or in it before: the longest
/// and then the latest such place decides (prompt lookup decoding; its idea is Apoorv Saxena's, 2023).
pub(super) fn look_up_draft(text: &[u32], most: usize) -> &[u32] {
    /// Fewer equal tokens say little of what follows.
    const EQUAL_MIN: usize = 3;
    /// More need not be compared.
    const EQUAL_MAX: usize = 16;
    /// How far back it looks; a comparison takes about a nanosecond.
    const LOOKED_BACK: usize = 16 << 10;
    let Some(last) = text.last() else { return &[] };
    let from = text.len().saturating_sub(LOOKED_BACK);
    let (mut best, mut length) = (None, EQUAL_MIN - 1);
    for end in (from..text.len() - 1).rev() {
        if text[end] != *last {
            continue;
        }
        let equal = text[..=end].iter().rev().zip(text.iter().rev()).take(EQUAL_MAX);
        let equal = equal.take_while(|(a, b)| a == b).count();
        if equal > length {
            (best, length) = (Some(end + 1), equal);
            if equal == EQUAL_MAX {
                break;
            }
        }
    }
    best.map_or(&[], |at| &text[at..text.len().min(at + most)])
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
        assert!(budget.prompt_tokens(0) < 10, "what may not be broken off is short");
        assert!(budget.takes_rest(192, 256, 64, 192, 0) && !budget.takes_rest(192, 256, 65, 192, 0));
        assert!(!budget.takes_rest(9, 20, 11, 9, 0));
    }

    #[test]
    fn short_prompts_are_read_whole() {
        let budget = StepBudget::new(512);
        assert!(budget.takes_rest(64, 45, 26, 64, 0), "the second of two beside nothing else");
        assert!(budget.takes_rest(22, 45, 23, 22, 8), "beside answers, in no more than three steps' time");
        assert!(!budget.takes_rest(14, 45, 31, 14, 8), "on a slow machine answers go on");
        assert!(!budget.takes_rest(22, 65, 43, 22, 8), "what is longer than a tile is no short prompt");
        assert!(!budget.takes_rest(500, 45, 26, 500, 1), "a batch has an end");
    }

    #[test]
    fn a_prompt_adds_at_most_its_share_to_a_step() {
        let mut budget = StepBudget::new(512);
        budget.record(1, 0, millis(10));
        for _ in 0..30 {
            budget.record(1, 30, millis(100));
        }
        assert!((29..=31).contains(&budget.prompt_tokens(1)), "{}", budget.prompt_tokens(1));
        // Where a token takes long anyway it may take as long again.
        for _ in 0..30 {
            budget.record(1, 0, millis(300));
        }
        assert!((95..=101).contains(&budget.prompt_tokens(1)), "{}", budget.prompt_tokens(1));
    }

    /// Tokens of a prompt in each of 400 steps beside so many answers, where a step takes so many milliseconds and so many more
    /// for each token of the prompt.
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
        // Other programs take most of the machine from one step to the next, or answers were never measured.
        let slower = [(Some(10), 300, 60), (Some(10), 500, 20), (None, 300, 60)];
        for (answers, (before, step, each)) in
            [1, 40, 256].into_iter().flat_map(|n| slower.map(|case| (n, case)))
        {
            let mut budget = StepBudget::new(512);
            if let Some(before) = before {
                budget.record(answers, 0, millis(before));
            }
            let read: usize = read_beside(answers, &mut budget, step, each)[200..].iter().sum();
            // As many as take as long as a token does.
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
        assert!(budget.draft_len(0.9, 0.0, 8) >= 6, "nearly free and nearly sure");
        assert!(budget.draft_len(0.9, 0.02, 8) >= 2, "by a model that is five times as fast");
        assert_eq!(budget.draft_len(0.9, 0.1, 8), 0, "by one that is no faster");
        let mut dear = StepBudget::new(512);
        dear.record(1, 0, millis(10));
        dear.record(5, 0, millis(45));
        assert_eq!(dear.draft_len(0.5, 0.0, 8), 0, "what costs as much as it may save");
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
        assert!(rate.probability() > 0.5, "it is tried again after a while");
    }

    #[test]
    fn tokens_that_followed_before_are_drafted() {
        assert_eq!(look_up_draft(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 2), [4, 5]);
        assert_eq!(look_up_draft(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 9), [4, 5, 9, 1, 2, 3]);
        // The longer match wins over the later one.
        assert_eq!(look_up_draft(&[8, 1, 2, 3, 7, 5, 1, 2, 3, 4, 8, 1, 2, 3], 1), [7]);
        assert_eq!(look_up_draft(&[2, 3, 4, 2, 3], 4), [] as [u32; 0], "two equal tokens say little");
        assert_eq!(look_up_draft(&[], 4), [] as [u32; 0]);
        assert_eq!(look_up_draft(&[7], 4), [] as [u32; 0]);
        assert_eq!(look_up_draft(&[7; 6], 4), [7], "a run goes on, as far as it is known");
    }
}
