//! The thread counts of a worker's steps, and when the server is told about changes.

use std::time::Duration;

use lar_base::Instant;

use super::autotune::micros;
use super::threads::{DECODING, PREFILL, Threads};
use lar_inference::protocol::{Load, TuningResult};

/// The number of single-token steps before their time is first reported.
const FIRST_REPORT_STEPS: u32 = 48;
/// The number of single-token steps between two reports of their time.
const REPORT_EVERY_STEPS: u32 = 1024;
/// A changed time is reported if it differs by this fraction.
const CHANGED: f64 = 0.15;

/// The thread counts for steps that decode and for steps that prefill.
pub(super) struct StepThreads {
    decoding: Threads,
    prefill: Threads,
    /// The last report to the server.
    reported: TuningResult,
    /// Single-token steps since then.
    singles: u32,
    is_fixed: bool,
}

impl StepThreads {
    pub(super) fn new(load: &Load, tuned: Option<TuningResult>) -> Self {
        let now = Instant::now();
        let (compute, tuning) = match load {
            Load::Model { compute, tuning, .. } => (compute, tuning.as_ref()),
            Load::Embedder { compute, .. } => (compute, None),
            Load::Vocabulary { .. } | Load::Encoder(_) => return Self::fixed(TuningResult::default(), now),
        };
        let reported = tuned.or_else(|| tuning.and_then(|tuning| tuning.known)).unwrap_or(TuningResult {
            threads: compute.threads,
            threads_batch: compute.threads_batch,
            batch_tokens: compute.batch_tokens,
            ..TuningResult::default()
        });
        match tuning {
            None => Self::fixed(reported, now),
            Some(tuning) => {
                let decoding = Threads::new(&tuning.counts, tuning.cores, reported.threads, DECODING, now);
                let prefill =
                    Threads::new(&tuning.counts, tuning.cores, reported.threads_batch, PREFILL, now);
                let settled = !decoding.is_unsettled(now) && !prefill.is_unsettled(now);
                Self {
                    decoding,
                    prefill,
                    reported: TuningResult { settled, ..reported },
                    singles: 0,
                    is_fixed: false,
                }
            }
        }
    }

    fn fixed(reported: TuningResult, now: Instant) -> Self {
        Self {
            decoding: Threads::fixed(reported.threads, now),
            prefill: Threads::fixed(reported.threads_batch, now),
            reported,
            singles: 0,
            is_fixed: true,
        }
    }

    /// Returns the most tokens in one batch.
    pub(super) fn batch_tokens(&self) -> usize {
        self.reported.batch_tokens as usize
    }

    /// Returns the thread count for a step with this many decoded and prompt tokens. Steps with both are not
    /// compared with others.
    pub(super) fn next(&mut self, answers: usize, prompts: usize) -> u32 {
        match (answers, prompts) {
            (_, 0) => self.decoding.next(answers),
            (0, _) => self.prefill.next(prompts),
            _ => self.prefill.count(),
        }
    }

    /// Returns whether the step tries another thread count.
    pub(super) fn is_trying(&self, answers: usize, prompts: usize) -> bool {
        match (answers, prompts) {
            (_, 0) => self.decoding.is_trying(),
            (0, _) => self.prefill.is_trying(),
            _ => false,
        }
    }

    /// Records the time of a step; `single` is the time of a single-token step, if known. Returns what the
    /// server should know.
    pub(super) fn record(
        &mut self,
        answers: usize,
        prompts: usize,
        took: Duration,
        single: Option<f64>,
    ) -> Option<TuningResult> {
        let now = Instant::now();
        let changed = match (answers, prompts) {
            (_, 0) => self.decoding.record(took, now),
            (0, _) => self.prefill.record(took, now),
            _ => false,
        };
        self.singles += u32::from((answers, prompts) == (1, 0));
        let settled = !self.decoding.is_unsettled(now) && !self.prefill.is_unsettled(now);
        let token_micros = single.filter(|_| self.singles >= FIRST_REPORT_STEPS).map(micros);
        let is_news = match (token_micros, self.reported.token_micros) {
            (Some(_), None) => true,
            (Some(new), Some(old)) if self.singles >= REPORT_EVERY_STEPS => {
                f64::from(new.abs_diff(old)) > f64::from(old) * CHANGED
            }
            _ => false,
        };
        if self.is_fixed && !is_news || !changed && !is_news && settled == self.reported.settled {
            return None;
        }
        self.singles = 0;
        self.reported = TuningResult {
            threads: self.decoding.count(),
            threads_batch: self.prefill.count(),
            token_micros: token_micros.or(self.reported.token_micros),
            settled,
            ..self.reported
        };
        Some(self.reported)
    }
}
