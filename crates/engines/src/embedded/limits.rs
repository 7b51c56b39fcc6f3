//! Limits on the memory that a worker can make the server use. A worker runs a model's code; one that a
//! hostile model file controls may send anything.

use lar_inference::protocol::{CREDIT, FRAME_BYTES_MAX, FromWorker};

/// Frames that may wait to be written to a worker. A small frame is sent without waiting: a working worker
/// reads frames during any computation, up to a queue of its own. A worker with this many more unread frames
/// has stopped reading.
pub(super) const OUTBOX_FRAMES_MAX: usize = 8_192;
/// KiB of callers' texts that may wait to be written; further texts wait for room.
pub(super) const OUTBOX_KIB_MAX: usize = 64 << 10;
/// Prompts larger than this many bytes wait for a permit.
pub const LARGE_PROMPT_BYTES: usize = 1 << 20;
/// Large prompts that a worker may process at the same time: it has 2 GiB, and a prompt may need about ten
/// times its size.
pub const LARGE_PROMPTS_MAX: usize = 4;
/// Events of an answer that may wait to be read: those covered by credit, and the few other events of a
/// stream.
pub(super) const EVENTS_MAX: usize = CREDIT as usize + 8;
/// Bytes of an answer per token, logprobs included. The longest tokens have about a hundred bytes, and up to
/// 20 candidates are reported with each.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Bytes of all other frames, which have a few numbers or an error message.
const SMALL_FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes of a vector: 32,768 numbers of 4 bytes.
const VECTOR_BYTES_MAX: usize = 128 << 10;

/// Returns the longest permitted body of a frame of this kind.
pub(super) const fn frame_bytes_max(frame: &FromWorker) -> usize {
    match frame {
        FromWorker::Tokens { .. } | FromWorker::Text { .. } => FRAME_BYTES_MAX,
        FromWorker::Vector { .. } => VECTOR_BYTES_MAX,
        // The indexes of a few thousand truncated texts; a schema of at most 256 KiB; logprobs.
        FromWorker::Embedded { .. } | FromWorker::Checked { .. } | FromWorker::Delta { .. } => {
            FRAME_BYTES_MAX / 16
        }
        _ => SMALL_FRAME_BYTES_MAX,
    }
}

/// The tokens and bytes that a worker may still send for one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    deltas: u64,
    bytes: u64,
}

impl Allowance {
    /// Allows an answer of `tokens_max` tokens, including the scored tokens of the prompt. 0 is no limit
    /// except the context, which is not known here.
    pub(super) fn new(tokens_max: u32) -> Self {
        let tokens = if tokens_max == 0 { u64::from(u32::MAX) } else { u64::from(tokens_max) };
        // Buffered text may arrive in a delta without tokens.
        let deltas = tokens + u64::from(CREDIT);
        Self { deltas, bytes: deltas.saturating_mul(TOKEN_BYTES_MAX as u64) }
    }

    /// Deducts one delta.
    ///
    /// # Errors
    /// The answer is longer than requested.
    pub(super) fn take(&mut self, tokens: u32, bytes: usize) -> Result<(), String> {
        let deltas = self.deltas.checked_sub(u64::from(tokens).max(1));
        let bytes = self.bytes.checked_sub(bytes as u64);
        let (Some(deltas), Some(bytes)) = (deltas, bytes) else {
            return Err("it sent a longer answer than requested".into());
        };
        *self = Self { deltas, bytes };
        Ok(())
    }
}

/// The prefill reports that a worker may still send: growing numbers, up to the number of prompt tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefillReports {
    /// Tokens of the prompt; `None` if no reports were requested.
    tokens: Option<usize>,
    /// The number in the last report.
    last: Option<usize>,
}

impl PrefillReports {
    /// Expects reports for a prompt of this many tokens; `None` expects no reports.
    pub(super) fn new(tokens: Option<usize>) -> Self {
        Self { tokens, last: None }
    }

    /// Checks the number in a report.
    ///
    /// # Errors
    /// No reports were requested, or this number cannot follow the last one.
    pub(super) fn take(&mut self, tokens: u32) -> Result<(), String> {
        let tokens = tokens as usize;
        let is_more = self.last.is_none_or(|last| last < tokens);
        if !is_more || self.tokens.is_none_or(|most| tokens > most) {
            return Err("it reported impossible prefill progress".into());
        }
        self.last = Some(tokens);
        Ok(())
    }
}

/// Returns the share of [`OUTBOX_KIB_MAX`] that a frame takes.
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
        assert!(
            Allowance::new(3).take(1, 1 << 20).is_err(),
            "one delta may not exceed the bytes of the whole answer"
        );
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
