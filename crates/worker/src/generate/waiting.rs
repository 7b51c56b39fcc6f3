//! Streams without a sequence: new ones, and those that lost their sequence to another stream.

use lar_base::Instant;
use lar_inference::Sampling;
use lar_inference::protocol::CallerNumbers;

use crate::prefix_cache::PromptTokens;
use crate::sampler::Sampler;
use crate::sequence::Sequence;

/// A stream without a sequence.
pub(super) enum WaitingStream<'model> {
    New(Box<NewStream<'model>>),
    Paused(Box<PausedStream<'model>>),
}

/// A stream that has never had a sequence.
pub(super) struct NewStream<'model> {
    pub(super) caller: CallerNumbers,
    pub(super) prompt: PromptTokens,
    pub(super) sampling: Sampling,
    pub(super) sampler: Sampler<'model>,
    pub(super) credit: u32,
    pub(super) since: Instant,
}

/// A stream that lost its sequence to another.
pub(super) struct PausedStream<'model> {
    pub(super) sequence: Sequence<'model>,
    /// The state of its sequence, if host memory had room for it.
    pub(super) saved: Option<SavedState>,
    /// When it lost its sequence.
    pub(super) since: Instant,
}

/// The state of a sequence, and the host memory that is reserved for it.
pub(super) struct SavedState {
    pub(super) state: Vec<u8>,
    pub(super) bytes: u64,
}

impl WaitingStream<'_> {
    pub(super) fn caller(&self) -> CallerNumbers {
        match self {
            WaitingStream::New(new_stream) => new_stream.caller,
            WaitingStream::Paused(paused) => paused.sequence.caller,
        }
    }

    pub(super) fn since(&self) -> Instant {
        match self {
            WaitingStream::New(new_stream) => new_stream.since,
            WaitingStream::Paused(paused) => paused.since,
        }
    }

    pub(super) fn credit_mut(&mut self) -> &mut u32 {
        match self {
            WaitingStream::New(new_stream) => &mut new_stream.credit,
            WaitingStream::Paused(paused) => &mut paused.sequence.credit,
        }
    }

    /// Returns whether the stream would compute if it had a sequence.
    pub(super) fn runnable(&self) -> bool {
        match self {
            WaitingStream::New(_) => true,
            // Continuing an answer takes credit; prefill does not.
            WaitingStream::Paused(paused) => paused.sequence.produced == 0 || paused.sequence.credit > 0,
        }
    }
}
