//! What a worker may make the server keep. A worker runs a model's code; one that a hostile file has taken over
//! may send anything.

use crate::protocol::{CREDIT, FRAME_BYTES_MAX, FromWorker};

/// Frames that wait to be written. Small ones are sent without waiting: a worker reads all that comes, whatever it
/// computes, so that one that has so many before it reads nothing any more.
pub(super) const OUTBOX_FRAMES_MAX: usize = 8_192;
/// KiB of callers' texts that wait to be written; who has more waits.
pub(super) const OUTBOX_KIB_MAX: usize = 64 << 10;
/// Prompts of more bytes than this take turns.
pub const LARGE_PROMPT_BYTES: usize = 1 << 20;
/// So many of them are with a worker at once: it has 2 GiB, and may need some ten times their bytes.
pub const LARGE_PROMPTS_MAX: usize = 4;
/// Events of an answer that wait to be taken: those that there is credit for, and the few others of a stream.
pub(super) const EVENTS_MAX: usize = CREDIT as usize + 8;
/// Bytes of an answer for each of its tokens, log probabilities included. The longest tokens have some hundred
/// bytes, and 20 candidates are told of beside each.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Frames of other kinds have a few numbers, or say in words what went wrong.
const SMALL_FRAME_BYTES_MAX: usize = 64 << 10;
/// A vector: 32,768 numbers of 4 bytes.
const VECTOR_BYTES_MAX: usize = 128 << 10;

/// How long a frame of this kind may be.
pub(super) const fn frame_bytes_max(frame: &FromWorker) -> usize {
    match frame {
        FromWorker::Tokens { .. } | FromWorker::Text { .. } => FRAME_BYTES_MAX,
        FromWorker::Vector { .. } => VECTOR_BYTES_MAX,
        // The texts that were cut, of some thousand; a schema, of 256 KiB at most; log probabilities.
        FromWorker::Embedded { .. } | FromWorker::Checked { .. } | FromWorker::Delta { .. } => {
            FRAME_BYTES_MAX / 16
        }
        _ => SMALL_FRAME_BYTES_MAX,
    }
}

/// What a worker may still send of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    deltas: u64,
    bytes: u64,
}

impl Allowance {
    /// For an answer of at most so many tokens, those of a prompt that is scored among them; 0 is no limit but the
    /// context's, which is not known here.
    pub(super) fn new(tokens_max: u32) -> Self {
        let tokens = if tokens_max == 0 { u64::from(u32::MAX) } else { u64::from(tokens_max) };
        // What was held back may come without a token of its own.
        let deltas = tokens + u64::from(CREDIT);
        Self { deltas, bytes: deltas.saturating_mul(TOKEN_BYTES_MAX as u64) }
    }

    /// Takes a delta's share.
    ///
    /// # Errors
    /// When the answer is longer than was asked for.
    pub(super) fn take(&mut self, tokens: u32, bytes: usize) -> Result<(), String> {
        let deltas = self.deltas.checked_sub(u64::from(tokens).max(1));
        let bytes = self.bytes.checked_sub(bytes as u64);
        let (Some(deltas), Some(bytes)) = (deltas, bytes) else {
            return Err("it sent a longer answer than was asked for".into());
        };
        *self = Self { deltas, bytes };
        Ok(())
    }
}

/// What a worker may still report of how much of a prompt it has read: numbers that grow, up to the prompt's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefillReports {
    /// Tokens of the prompt; none where no reports were asked for.
    tokens: Option<usize>,
    /// The number of the last report.
    last: Option<usize>,
}

impl PrefillReports {
    /// For a prompt of so many tokens, or for one whose reading is not reported.
    pub(super) fn new(tokens: Option<usize>) -> Self {
        Self { tokens, last: None }
    }

    /// Takes a report's number.
    ///
    /// # Errors
    /// When no reports were asked for, or the number cannot follow.
    pub(super) fn take(&mut self, tokens: u32) -> Result<(), String> {
        let tokens = tokens as usize;
        let is_more = self.last.is_none_or(|last| last < tokens);
        if !is_more || self.tokens.is_none_or(|most| tokens > most) {
            return Err("it reported prefill that it cannot have done".into());
        }
        self.last = Some(tokens);
        Ok(())
    }
}

/// The share of [`OUTBOX_KIB_MAX`] that a frame takes.
pub(super) fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10).min(OUTBOX_KIB_MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_reach_the_requested_length_and_no_more() {
        let mut allowance = Allowance::new(3);
        for _ in 0..3 + CREDIT {
            assert_eq!(allowance.take(1, 100), Ok(()));
        }
        assert!(allowance.take(0, 100).is_err());
        assert!(Allowance::new(3).take(1, 1 << 20).is_err(), "one delta is as long as all may be");
        assert!(Allowance::new(3).take(4 + CREDIT, 1).is_err());
    }

    #[test]
    fn prefill_reports_must_be_requested_grow_and_stay_within_the_prompt() {
        let mut reports = PrefillReports::new(Some(3));
        let taken = [0, 0, 2, 1, 3, 4, 3].map(|tokens| reports.take(tokens).is_ok());
        assert_eq!(taken, [true, false, true, false, true, false, false]);
        assert!(PrefillReports::new(None).take(0).is_err());
    }
}
