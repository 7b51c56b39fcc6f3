//! Decides which stream gets a sequence if there are more streams than sequences. Pure.
//!
//! Users share the sequences, and the keys of one user share theirs. A waiting stream gets a free sequence,
//! or one of these streams is paused for it:
//!
//! - A stream that cannot run, because it has no credit. It is paused immediately.
//! - A stream of a caller with at least two more sequences than the waiting stream's caller. It is paused
//!   after it has run for [`RUN_MIN`]; or immediately, if the waiting stream is new and its caller has no
//!   sequence.
//! - A stream that was never paused, of a caller with other waiting streams. It is paused immediately, but
//!   only if the waiting stream is new and its caller has no sequence.
//! - A stream of the same key, or of a caller with more sequences, after it has run for [`SLICE`]. The
//!   waiting stream must have waited for as long, or be new with a caller that has no sequence.
//!
//! A series of short answers for several callers therefore leaves everybody else their slices.
//!
//! If there is no memory to save the state of a stream, its tokens are computed again when it resumes. Such a
//! stream is paused only in two cases. It has few tokens, and if streams take turns it was never paused
//! before. Or its prefill is complete and it has run for its slice since then. If streams take turns, that
//! slice is at least as long as its tokens take to compute again. Every paused stream has therefore made
//! progress, and at most half of the time goes into repeated computation.
//!
//! The waiting stream of the user with the fewest sequences goes first. Between streams of one user it is the
//! one of the key with the fewest, and then the one that has waited longest.

use std::cmp::Reverse;
use std::time::Duration;

use lar_base::Instant;

use lar_inference::protocol::CallerNumbers;

/// How long streams that take turns have a sequence each.
pub(super) const SLICE: Duration = Duration::from_secs(10);
/// A stream that has run this long is paused before one that just started. Two users, or keys, may need a
/// sequence from each other at the same time. Without this minimum, a resumed stream would be paused again
/// immediately, over and over.
const RUN_MIN: Duration = Duration::from_secs(2);
/// The largest number of tokens that count as few: they are computed again if their state cannot be saved.
const READ_AGAIN_MAX: usize = 256;

/// A waiting stream that would compute if it had a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) stream: u64,
    pub(super) caller: CallerNumbers,
    /// Since when it waits.
    pub(super) since: Instant,
    /// Whether it has never had a sequence.
    pub(super) is_new: bool,
}

/// A stream that has a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runner {
    pub(super) stream: u64,
    pub(super) caller: CallerNumbers,
    /// Whether it has credit for its next step.
    pub(super) is_runnable: bool,
    /// Whether another stream may take its sequence: not while it reports logprobs of its prompt, and not
    /// with a full context.
    pub(super) may_be_paused: bool,
    /// When it got the sequence, or when its prefill ended if that was later.
    pub(super) since: Instant,
    /// Whether it was ever paused.
    pub(super) was_paused: bool,
    /// Whether its prefill is complete.
    pub(super) is_read: bool,
    /// The number of tokens in its sequence.
    pub(super) tokens: usize,
    /// How long it takes to compute its tokens again.
    pub(super) read_again: Duration,
    /// Whether host memory has room for its state.
    pub(super) can_be_saved: bool,
    /// Whether its state cannot be computed from its tokens.
    pub(super) must_be_saved: bool,
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The stream that gets a sequence.
    pub(super) starts: u64,
    /// The stream that is paused for it; `None` if a sequence is free.
    pub(super) pauses: Option<u64>,
}

/// Chooses the next stream that gets a sequence now, if any. `callers` are the callers of all waiting
/// streams, including streams that would not compute.
pub(super) fn choose(
    waiting: &[Waiter],
    callers: &[CallerNumbers],
    running: &[Runner],
    has_free: bool,
    now: Instant,
) -> Option<Assignment> {
    let of_person = |person: u64| running.iter().filter(|other| other.caller.person == person).count();
    let of_key = |caller: CallerNumbers| running.iter().filter(|other| other.caller == caller).count();
    let sequences = |caller: CallerNumbers| (of_person(caller.person), of_key(caller));
    let mut order: Vec<&Waiter> = waiting.iter().collect();
    order.sort_by_key(|waiter| (sequences(waiter.caller), waiter.since, waiter.stream));
    if has_free {
        return order.first().map(|waiter| Assignment { starts: waiter.stream, pauses: None });
    }
    order.into_iter().find_map(|waiter| {
        let may_pause = |runner: &&Runner| {
            let is_same_person = runner.caller.person == waiter.caller.person;
            let (own, theirs, their_waiting) = match is_same_person {
                true => {
                    let waiting = callers.iter().filter(|other| **other == runner.caller);
                    (of_key(waiter.caller), of_key(runner.caller), waiting.count())
                }
                false => {
                    let person = runner.caller.person;
                    let waiting = callers.iter().filter(|other| other.person == person);
                    (of_person(waiter.caller.person), of_person(person), waiting.count())
                }
            };
            let is_newcomer = waiter.is_new && own == 0;
            let has_waited = is_newcomer || now.since(waiter.since) >= SLICE;
            let computed = now.since(runner.since);
            let has_more = theirs >= own + 2 && (is_newcomer || computed >= RUN_MIN);
            let shares = is_newcomer && their_waiting > 0 && !runner.was_paused;
            let at_once = !runner.is_runnable || has_more || shares;
            let in_turn = has_waited && computed >= SLICE && (runner.caller == waiter.caller || theirs > own);
            let slice = if at_once { SLICE } else { SLICE.max(runner.read_again) };
            // Few tokens are computed again only once: otherwise a slow machine would never finish a prompt
            // in any turn.
            let may_lose_little = runner.tokens <= READ_AGAIN_MAX && (at_once || !runner.was_paused);
            let is_little = may_lose_little || (runner.is_read && computed >= slice);
            let costs_little = runner.can_be_saved || (!runner.must_be_saved && is_little);
            runner.may_be_paused && (at_once || in_turn) && costs_little
        };
        // The order of preference: a stream that cannot run, one that has run for a while, one that loses few
        // tokens, one of the caller with the most sequences, and the one that has run longest.
        let best = running.iter().filter(may_pause).max_by_key(|runner| {
            let lost = if runner.can_be_saved { 0 } else { runner.tokens };
            let ran = runner.is_read.then(|| now.since(runner.since));
            let has_computed = now.since(runner.since) >= RUN_MIN;
            (!runner.is_runnable, has_computed, Reverse(lost), sequences(runner.caller), ran, runner.stream)
        })?;
        Some(Assignment { starts: waiter.stream, pauses: Some(best.stream) })
    })
}

#[cfg(test)]
mod tests;
