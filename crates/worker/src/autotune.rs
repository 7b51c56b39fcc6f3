//! A short measurement at the first load of a model: whether second threads of cores help, and which batch
//! size is best.
//!
//! The machine may be busy at that moment, so this never chooses fewer threads than cores; only
//! [`super::threads`] does.

use std::time::Duration;

use lar_base::Instant;

use super::llama_cpp::{Context, DecodeError};
use lar_inference::protocol::{Compute, ThreadTuning, TuningResult};

/// The total time of the measurement, without the first read of the weights. If one prompt takes longer, the
/// configured values stay.
const BUDGET: Duration = Duration::from_secs(3);
/// The prompt tokens by which thread counts are compared: one tile of attention.
const PROMPT_TOKENS: usize = 64;
/// The single tokens that are timed; the fastest counts.
const SINGLE_TOKENS: usize = 6;
/// The batch sizes that are compared, if they fit.
const BATCHES: [usize; 3] = [128, 256, 512];
/// A smaller batch that is at most this fraction slower is better, because others wait less for it.
const SLOWER_MAX: f64 = 0.03;
/// The fraction by which a thread count must be faster than the previous best; less is noise.
const FASTER_MIN: f64 = 0.03;

/// Measures with sequence 0, which is empty before and after.
///
/// # Errors
/// The model cannot compute.
pub(super) fn tune(
    context: &mut Context<'_>,
    compute: &Compute,
    tuning: &ThreadTuning,
    vocabulary: u32,
) -> Result<TuningResult, DecodeError> {
    let mut tuner = Tuner { context, vocabulary, started: Instant::now() };
    // The first pass reads the weights and is not timed.
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
        // Each batch takes twice as long as the one before.
        if tuner.is_over() {
            break;
        }
        speeds.push((batch, batch as f64 / tuner.prompt(batch)?));
    }
    let fastest = speeds.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
    let worth = speeds.iter().find(|(_, speed)| *speed >= fastest * (1.0 - SLOWER_MAX));
    // Without the largest batch the comparison is incomplete.
    if let (Some((batch, _)), true) = (worth, speeds.len() == BATCHES.len()) {
        tuned.batch_tokens = u32::try_from(*batch).unwrap_or(compute.batch_tokens);
    }
    Ok(tuned)
}

/// Converts seconds to whole microseconds.
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

    /// Returns the seconds of a prefill of this many tokens.
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

    /// Returns the seconds of a single token.
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

    /// Returns an arbitrary token; the time does not depend on it.
    fn token(&self, at: usize) -> u32 {
        u32::try_from(at * 7919 + 1000).unwrap_or(0) % self.vocabulary.max(1)
    }
}
