//! One short measurement when a model is first loaded: whether second threads of cores help, and how many tokens a batch is
//! worth.
//!
//! The machine may be busy at that moment, so nothing here takes cores away: fewer threads than cores are chosen by
//! [`super::threads`] only.

use std::time::Duration;

use lar_base::Instant;

use super::llama_cpp::{Context, DecodeError};
use crate::protocol::{Compute, ThreadTuning, TuningResult};

/// What it may take in all, beyond reading the weights once. Where one prompt takes longer than that, what was
/// configured stays.
const BUDGET: Duration = Duration::from_secs(3);
/// Tokens of a prompt that threads are compared by: one tile of attention.
const PROMPT_TOKENS: usize = 64;
/// Tokens that are computed one by one; the quickest counts.
const SINGLE_TOKENS: usize = 6;
/// Batches that are compared, where they fit.
const BATCHES: [usize; 3] = [128, 256, 512];
/// A smaller batch that is at most this part slower is better: others wait less for it.
const SLOWER_MAX: f64 = 0.03;
/// A choice must be faster by this part to be preferred to the one before it: less is noise.
const FASTER_MIN: f64 = 0.03;

/// Measures with sequence 0, which is empty before and after.
///
/// # Errors
/// When the model cannot compute.
pub(super) fn tune(
    context: &mut Context<'_>,
    compute: &Compute,
    tuning: &ThreadTuning,
    vocabulary: u32,
) -> Result<TuningResult, DecodeError> {
    let mut tuner = Tuner { context, vocabulary, started: Instant::now() };
    // Reads the weights, and is not counted.
    tuner.prompt(PROMPT_TOKENS / 4)?;
    tuner.started = Instant::now();
    let mut tuned = TuningResult {
        threads: tuning.cores,
        threads_batch: tuning.cores,
        batch_tokens: compute.batch_tokens,
        token_micros: None,
        settled: false,
    };
    let mut best = [f64::INFINITY; 2];
    for count in tuning.counts.iter().filter(|count| **count >= tuning.cores) {
        if tuner.is_over() {
            break;
        }
        tuner.context.set_threads(*count, *count);
        let prompt = tuner.prompt(PROMPT_TOKENS)?;
        let single = tuner.singles()?;
        if single < best[0] * (1.0 - FASTER_MIN) {
            (best[0], tuned.threads) = (single, *count);
        }
        if prompt < best[1] * (1.0 - FASTER_MIN) {
            (best[1], tuned.threads_batch) = (prompt, *count);
        }
    }
    if best[0].is_finite() {
        tuned.token_micros = Some(micros(best[0]));
    }
    tuner.context.set_threads(tuned.threads, tuned.threads_batch);
    let mut speeds: Vec<(usize, f64)> = Vec::new();
    for batch in BATCHES.into_iter().filter(|batch| *batch <= compute.batch_tokens as usize) {
        // The next one takes twice as long as the last.
        if tuner.is_over() {
            break;
        }
        speeds.push((batch, batch as f64 / tuner.prompt(batch)?));
    }
    let fastest = speeds.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
    let worth = speeds.iter().find(|(_, speed)| *speed >= fastest * (1.0 - SLOWER_MAX));
    // What was not compared to the largest says nothing.
    if let (Some((batch, _)), true) = (worth, speeds.len() == BATCHES.len()) {
        tuned.batch_tokens = u32::try_from(*batch).unwrap_or(compute.batch_tokens);
    }
    Ok(tuned)
}

/// Seconds as whole microseconds.
pub(super) fn micros(seconds: f64) -> u32 {
    (seconds * 1e6).clamp(1.0, f64::from(u32::MAX)) as u32
}

struct Tuner<'a, 'model> {
    context: &'a mut Context<'model>,
    vocabulary: u32,
    started: Instant,
}

impl Tuner<'_, '_> {
    fn is_over(&self) -> bool {
        self.started.elapsed() > BUDGET / 2
    }

    /// Seconds that a prompt of so many tokens takes.
    fn prompt(&mut self, tokens: usize) -> Result<f64, DecodeError> {
        self.context.batch_clear();
        for at in 0..tokens {
            let token = self.token(at);
            self.context.batch_add(token, at, 0, at + 1 == tokens);
        }
        let started = Instant::now();
        let decoded = self.context.decode();
        let took = started.elapsed().as_secs_f64();
        self.context.forget(0, 0);
        decoded.map(|()| took)
    }

    /// Seconds that one token takes when nothing else is computed.
    fn singles(&mut self) -> Result<f64, DecodeError> {
        let mut times = Vec::with_capacity(SINGLE_TOKENS);
        let mut decoded = Ok(());
        for at in 0..SINGLE_TOKENS {
            self.context.batch_clear();
            let token = self.token(at);
            self.context.batch_add(token, at, 0, true);
            let started = Instant::now();
            decoded = decoded.and(self.context.decode());
            times.push(started.elapsed().as_secs_f64());
        }
        self.context.forget(0, 0);
        decoded.map(|()| times.into_iter().fold(f64::INFINITY, f64::min))
    }

    /// Any token: what it is makes no difference to the time.
    fn token(&self, at: usize) -> u32 {
        u32::try_from(at * 7919 + 1000).unwrap_or(0) % self.vocabulary.max(1)
    }
}
