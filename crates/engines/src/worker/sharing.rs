//! Which stream gets a sequence where there are more streams than sequences: pure.
//!
//! A stream that waits takes a free sequence, or another stream is paused for it:
//!
//! - at once one that cannot go on, since it has no credit;
//! - at once one of a caller who has at least two more sequences than its own caller, or, where its own caller has none and
//!   the stream is new, of one who has several streams;
//! - one of its own caller, or of one who has more sequences than its own, that has computed for [`SLICE`] since its prompt was
//!   read, once it has waited as long itself.
//!
//! A stream whose state cannot be kept is read again when it goes on. So it is paused only where little of it was read, or,
//! at once, after its slice: what is paused has always got on.
//!
//! Of those that wait, a stream of the caller with the fewest sequences goes first, then the one that has waited longest.

use std::cmp::Reverse;
use std::time::Duration;

use lar_base::Instant;

/// Streams that take turns in a sequence have it for so long.
pub(super) const SLICE: Duration = Duration::from_secs(10);
/// So many tokens are read again rather than kept, where they cannot be.
const READ_AGAIN_MAX: usize = 256;

/// A stream that would compute if it had a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) stream: u64,
    pub(super) caller: u64,
    /// Since when it waits.
    pub(super) since: Instant,
    /// Whether it never had a sequence.
    pub(super) is_new: bool,
}

/// A stream that has a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runner {
    pub(super) stream: u64,
    pub(super) caller: u64,
    /// Whether it has credit for what it does next.
    pub(super) is_runnable: bool,
    /// Whether it may be paused at all.
    pub(super) may_be_paused: bool,
    /// When its prompt was read; none while that is under way.
    pub(super) ready_since: Option<Instant>,
    /// Tokens in its sequence.
    pub(super) tokens: usize,
    /// Whether host memory has room for its state.
    pub(super) can_be_kept: bool,
    /// Whether its state cannot be computed from its tokens again.
    pub(super) must_be_kept: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    /// The stream that gets a sequence.
    pub(super) starts: u64,
    /// The stream that gives it up; none where one is free.
    pub(super) pauses: Option<u64>,
}

/// Chooses the next stream that gets a sequence, if any does now. `callers` are those of all streams that wait, also of
/// those that would not compute.
pub(super) fn choose(
    waiting: &[Waiter],
    callers: &[u64],
    running: &[Runner],
    has_free: bool,
    now: Instant,
) -> Option<Choice> {
    let sequences = |caller: u64| running.iter().filter(|other| other.caller == caller).count();
    let mut order: Vec<&Waiter> = waiting.iter().collect();
    order.sort_by_key(|waiter| (sequences(waiter.caller), waiter.since, waiter.stream));
    if has_free {
        return order.first().map(|waiter| Choice { starts: waiter.stream, pauses: None });
    }
    let streams = |caller: u64| sequences(caller) + callers.iter().filter(|other| **other == caller).count();
    order.into_iter().find_map(|waiter| {
        let own = sequences(waiter.caller);
        let is_newcomer = waiter.is_new && own == 0;
        let has_waited = is_newcomer || now.since(waiter.since) >= SLICE;
        let may_pause = |runner: &&Runner| {
            let theirs = sequences(runner.caller);
            let had_its_slice = runner.ready_since.is_some_and(|since| now.since(since) >= SLICE);
            let at_once =
                !runner.is_runnable || theirs >= own + 2 || (is_newcomer && streams(runner.caller) > 1);
            let in_turn = has_waited && had_its_slice && (runner.caller == waiter.caller || theirs > own);
            let costs_little = runner.can_be_kept
                || (!runner.must_be_kept && (runner.tokens <= READ_AGAIN_MAX || (at_once && had_its_slice)));
            runner.may_be_paused && (at_once || in_turn) && costs_little
        };
        // Best is one that stands still, then one that costs little, then one of the caller with most, then the one that has
        // run longest.
        let best = running.iter().filter(may_pause).max_by_key(|runner| {
            let lost = if runner.can_be_kept { 0 } else { runner.tokens };
            let ran = runner.ready_since.map(|since| now.since(since));
            (!runner.is_runnable, Reverse(lost), sequences(runner.caller), ran, runner.stream)
        })?;
        Some(Choice { starts: waiter.stream, pauses: Some(best.stream) })
    })
}

#[cfg(test)]
mod tests;
