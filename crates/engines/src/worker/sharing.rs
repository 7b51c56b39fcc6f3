//! Which stream gets a sequence where there are more streams than sequences: pure.
//!
//! Persons share the sequences, and the keys of one person do. A stream that waits takes a free sequence, or another stream is
//! paused for it:
//!
//! - at once one that cannot go on, since it has no credit;
//! - at once one of somebody who has at least two more sequences, once it has computed for [`RUN_MIN`] or, where the stream is
//!   new and its own caller has none, at any time;
//! - at once one that was never paused, of somebody who has other streams that wait, where the stream is new and its own
//!   caller has none;
//! - one of its own key, or of somebody who has more sequences, that has computed for [`SLICE`], once it has waited as long
//!   itself or is its caller's first.
//!
//! So one short answer after the other of several callers leaves everybody slices of their own.
//!
//! A stream whose state cannot be kept is read again when it goes on. So it is paused only where little of it was read, once at
//! most where streams take turns; or after it has computed for its slice since its prompt was read; where streams take turns,
//! that slice is as long as reading it again takes. What is paused has always got on, and at most half of the time goes into
//! reading again.
//!
//! Of those that wait, a stream of the person, then of the key, with the fewest sequences goes first, then the one that has
//! waited longest.

use std::cmp::Reverse;
use std::time::Duration;

use lar_base::Instant;

use crate::protocol::CallerNumbers;

/// Streams that take turns in a sequence have it for so long.
pub(super) const SLICE: Duration = Duration::from_secs(10);
/// A stream that has computed for so long is paused rather than one that just began. Persons and their keys may want sequences
/// from each other at the same moment: without this, a stream that continues would be paused again at once, time and again.
const RUN_MIN: Duration = Duration::from_secs(2);
/// So many tokens are read again rather than kept, where they cannot be.
const READ_AGAIN_MAX: usize = 256;

/// A stream that would compute if it had a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) stream: u64,
    pub(super) caller: CallerNumbers,
    /// Since when it waits.
    pub(super) since: Instant,
    /// Whether it never had a sequence.
    pub(super) is_new: bool,
}

/// A stream that has a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runner {
    pub(super) stream: u64,
    pub(super) caller: CallerNumbers,
    /// Whether it has credit for what it does next.
    pub(super) is_runnable: bool,
    /// Whether it may be paused at all.
    pub(super) may_be_paused: bool,
    /// When it got the sequence, or its prompt was read after that.
    pub(super) since: Instant,
    /// Whether it once had to give its sequence to another.
    pub(super) was_paused: bool,
    /// Whether its prompt is read.
    pub(super) is_read: bool,
    /// Tokens in its sequence.
    pub(super) tokens: usize,
    /// How long it takes to compute its tokens again.
    pub(super) read_again: Duration,
    /// Whether host memory has room for its state.
    pub(super) can_be_saved: bool,
    /// Whether its state cannot be computed from its tokens again.
    pub(super) must_be_saved: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The stream that gets a sequence.
    pub(super) starts: u64,
    /// The stream that gives it up; none where one is free.
    pub(super) pauses: Option<u64>,
}

/// Chooses the next stream that gets a sequence, if any does now. `callers` are those of all streams that wait, also of
/// those that would not compute.
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
            // Twice only for good reason: a slow machine would not get to the end of a prompt in any turn.
            let may_lose_little = runner.tokens <= READ_AGAIN_MAX && (at_once || !runner.was_paused);
            let is_little = may_lose_little || (runner.is_read && computed >= slice);
            let costs_little = runner.can_be_saved || (!runner.must_be_saved && is_little);
            runner.may_be_paused && (at_once || in_turn) && costs_little
        };
        // Best is one that stands still, then one that has computed for a while, then one that costs little, then one of the
        // caller with most, then the one that has run longest.
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
