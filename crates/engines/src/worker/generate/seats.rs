//! Which stream has which sequence, and who waits.
//!
//! There may be more streams than sequences. A stream that has none pauses another, without its answer being lost:
//!
//! - at once one that cannot go on, since nobody reads its answer;
//! - at once one of a caller who has at least two more sequences than its own caller;
//! - one of its own caller, or of another who has no fewer, that has computed for [`SLICE`], once it has waited as long
//!   itself; only if the state of the other can be kept, so that streams do not read the same prompts over and over.
//!
//! What a paused stream has read is kept in host memory if that has room ([`Cache::hold`]), and read again otherwise.

use std::time::Duration;

use lar_base::Instant;

use super::{Generator, Sequence};
use crate::driver::Sampling;
use crate::worker::answer::Answer;
use crate::worker::cache::{Prompt, Seat};
use crate::worker::pace::Luck;
use crate::worker::sampler::Sampler;
use crate::worker::sequence::Untold;

/// Streams that take turns in one sequence get it for so long.
const SLICE: Duration = Duration::from_secs(10);

/// A stream that has no sequence.
pub(super) enum Waiting<'model> {
    New(Box<Arrival<'model>>),
    Paused(Box<Paused<'model>>),
}

/// A stream that never had one.
pub(super) struct Arrival<'model> {
    pub(super) caller: u64,
    pub(super) prompt: Prompt,
    pub(super) sampling: Sampling,
    pub(super) sampler: Sampler<'model>,
    pub(super) credit: u32,
    pub(super) since: Instant,
}

/// A stream that had to give its sequence to another.
pub(super) struct Paused<'model> {
    sequence: Sequence<'model>,
    /// What it had read, where host memory had room for it.
    kept: Option<Kept>,
    since: Instant,
}

/// The state of a sequence, and the bytes that it was given of the cache's host memory.
struct Kept {
    state: Vec<u8>,
    bytes: u64,
}

impl Waiting<'_> {
    fn caller(&self) -> u64 {
        match self {
            Waiting::New(arrival) => arrival.caller,
            Waiting::Paused(paused) => paused.sequence.caller,
        }
    }

    fn since(&self) -> Instant {
        match self {
            Waiting::New(arrival) => arrival.since,
            Waiting::Paused(paused) => paused.since,
        }
    }

    pub(super) fn credit_mut(&mut self) -> &mut u32 {
        match self {
            Waiting::New(arrival) => &mut arrival.credit,
            Waiting::Paused(paused) => &mut paused.sequence.credit,
        }
    }

    /// Whether it would compute if it had a sequence.
    fn runnable(&self) -> bool {
        match self {
            Waiting::New(_) => true,
            // Its answer was begun, or else its prompt is read without credit.
            Waiting::Paused(paused) => paused.sequence.produced == 0 || paused.sequence.credit > 0,
        }
    }
}

/// How a stream that waits gets a sequence.
enum Way {
    Free,
    /// This stream is paused for it.
    Pause(u64),
}

impl<'model> Generator<'model> {
    /// Whether a stream that waits would get a sequence now.
    pub(super) fn can_seat(&self) -> bool {
        self.waiting.values().any(|waiting| self.way_for(waiting).is_some())
    }

    fn way_for(&self, waiting: &Waiting<'_>) -> Option<Way> {
        if !waiting.runnable() {
            return None;
        }
        if self.cache.has_free() {
            return Some(Way::Free);
        }
        let of = |caller: u64| self.running.values().filter(|sequence| sequence.caller == caller).count();
        let (caller, now) = (waiting.caller(), Instant::now());
        let own = of(caller);
        let has_waited = now.since(waiting.since()) >= SLICE;
        let others = self.running.iter().filter(|(_, sequence)| sequence.can_pause());
        let may_pause = |sequence: &Sequence<'_>| {
            let theirs = of(sequence.caller);
            let had_its_slice = now.since(sequence.since) >= SLICE && sequence.next.is_some();
            let takes_turns = sequence.caller == caller || theirs >= own.max(1);
            let is_kept = || self.cache.can_hold(self.context.state_size(sequence.id) as u64);
            let is_at_once = !sequence.runnable() || theirs >= own + 2;
            let is_kept_if_needed = !sequence.shifted || is_kept();
            (is_at_once && is_kept_if_needed) || (takes_turns && has_waited && had_its_slice && is_kept())
        };
        let best = others.filter(|(_, sequence)| may_pause(sequence));
        // Of those the one that does not run, then of the caller with most, then the one that has run longest.
        best.max_by_key(|(stream, sequence)| {
            (!sequence.runnable(), of(sequence.caller), now.since(sequence.since), **stream)
        })
        .map(|(stream, _)| Way::Pause(*stream))
    }

    /// Gives streams that wait their sequences, oldest first, but for those that wait for a prompt like theirs.
    pub(super) fn seat_waiting(&mut self) {
        let streams: Vec<u64> = self.waiting.keys().copied().collect();
        for stream in streams {
            let Some(waiting) = self.waiting.get(&stream) else { continue };
            let Some(way) = self.way_for(waiting) else { continue };
            // What is known of a prompt whose tokens are to be scored has no probabilities any more.
            let like = match waiting {
                Waiting::New(arrival) if !arrival.sampling.prompt_logprobs => self.like(&arrival.prompt),
                Waiting::New(_) | Waiting::Paused(_) => None,
            };
            let copied = match like {
                Some(like) if !like.read => continue,
                Some(like) => self.copy(&like),
                None => None,
            };
            if let Way::Pause(other) = way {
                self.pause(other);
            }
            match self.waiting.remove(&stream) {
                Some(Waiting::New(arrival)) => self.seat_arrival(stream, *arrival, copied),
                Some(Waiting::Paused(paused)) => self.resume(stream, *paused),
                None => {}
            }
        }
    }

    fn seat_arrival(&mut self, stream: u64, arrival: Arrival<'model>, copied: Option<(usize, Vec<u8>)>) {
        let Some(seat) = self.cache.take(&arrival.prompt, copied) else {
            self.waiting.insert(stream, Waiting::New(Box::new(arrival)));
            return;
        };
        let (id, mut known) = self.seat(seat);
        let Arrival { caller, prompt, sampling, sampler, credit, .. } = arrival;
        let scored = sampling.prompt_logprobs.then(|| sampling.logprobs.unwrap_or(0) as usize);
        if scored.is_some() {
            self.context.forget(id, 0);
            known = 0;
        }
        let sequence = Sequence {
            id,
            caller,
            since: Instant::now(),
            prompt,
            known: Some(known),
            position: known,
            next: None,
            produced: 0,
            tokens_max: sampling.tokens_max,
            shift_keep: sampling.shift_keep.map(|keep| keep as usize),
            shifted: false,
            sampler,
            luck: [Luck::new(); 2],
            guesses: (0, 0),
            preserved: sampling
                .preserved
                .iter()
                .filter_map(|mark| crate::worker::control(self.vocab, mark))
                .collect(),
            scored,
            answer: Some(Answer::new(sampling.stop)),
            untold: Untold::new(sampling.grouped),
            credit,
            part: None,
        };
        self.running.insert(stream, sequence);
    }

    /// Takes a stream's sequence away for a while.
    fn pause(&mut self, stream: u64) {
        let Some(mut sequence) = self.running.remove(&stream) else { return };
        let kept = self.keep(sequence.id);
        let holds = if kept.is_some() {
            Prompt::default()
        } else {
            let tokens = sequence.prompt.tokens[..sequence.position].to_vec();
            Prompt { tokens, owner: sequence.prompt.owner }
        };
        self.cache.give_back(sequence.id, holds);
        // The token that was chosen last is read first when the stream goes on, as the end of its prompt.
        sequence.prompt.tokens.extend(sequence.next.take());
        sequence.scored = None;
        let paused = Paused { sequence, kept, since: Instant::now() };
        self.waiting.insert(stream, Waiting::Paused(Box::new(paused)));
    }

    /// A copy of what a sequence holds, where host memory has room for it.
    fn keep(&mut self, id: i32) -> Option<Kept> {
        let bytes = self.context.state_size(id) as u64;
        if !self.cache.hold(bytes) {
            return None;
        }
        let state = self.context.state(id);
        if state.is_none() {
            self.cache.release(bytes);
        }
        Some(Kept { state: state?, bytes })
    }

    /// Lets a paused stream go on where it was.
    fn resume(&mut self, stream: u64, paused: Paused<'model>) {
        let Paused { mut sequence, kept, since } = paused;
        self.cache.release(kept.as_ref().map_or(0, |kept| kept.bytes));
        let read = sequence.position;
        let Some(seat) = self.cache.take(&sequence.prompt, kept.map(|kept| (read, kept.state))) else {
            // There is one whenever this is called; without it, what it had read is read again.
            let paused = Paused { sequence, kept: None, since };
            self.waiting.insert(stream, Waiting::Paused(Box::new(paused)));
            return;
        };
        let (id, known) = self.seat(seat);
        (sequence.id, sequence.position, sequence.since) = (id, known, Instant::now());
        self.running.insert(stream, sequence);
    }

    /// Forgets a stream that has no sequence; says whether there was one.
    pub(super) fn leave(&mut self, stream: u64) -> bool {
        let waiting = self.waiting.remove(&stream);
        if let Some(Waiting::Paused(paused)) = &waiting {
            self.cache.release(paused.kept.as_ref().map_or(0, |kept| kept.bytes));
        }
        waiting.is_some()
    }

    /// The running sequence that knows or will know most of a prompt, when no free one knows nearly as much.
    fn like(&self, prompt: &Prompt) -> Option<Like> {
        let likes = self.running.values().filter(|other| !other.shifted).map(|other| {
            let shared = other.prompt.shared_with(prompt);
            Like { id: other.id, shared, read: other.position >= shared }
        });
        likes
            .max_by_key(|like| (like.shared, like.read))
            .filter(|like| self.forgets && self.cache.is_worth_copying(prompt, like.shared))
    }

    /// A copy of what a running sequence knows, as far as host memory for such is allowed.
    fn copy(&mut self, like: &Like) -> Option<(usize, Vec<u8>)> {
        let bytes = self.context.state_size(like.id) as u64;
        if !self.cache.make_room(bytes) {
            return None;
        }
        Some((like.shared, self.context.state(like.id)?))
    }

    /// Makes a sequence hold what is known of a prompt and nothing else; returns how much that is.
    fn seat(&mut self, seat: Seat<Vec<u8>>) -> (i32, usize) {
        let Seat { id, known, leaving, restore } = seat;
        if let Some(holds) = leaving {
            let bytes = self.context.state_size(id) as u64;
            // Room is made before the copy, so that both never exceed the limit together.
            if self.cache.make_room(bytes)
                && let Some(state) = self.context.state(id)
            {
                self.cache.shelve(holds, state, bytes);
            }
        }
        let held = match restore {
            None => true,
            Some(state) => self.context.forget(id, 0) && self.context.restore(&state, id),
        };
        // Models with a recurrent state cannot forget a part of what they read.
        if held && self.context.forget(id, known) {
            return (id, known);
        }
        self.context.forget(id, 0);
        (id, 0)
    }
}

impl Sequence<'_> {
    /// Whether it can be paused: not while the tokens of its prompt are scored, which are told once.
    fn can_pause(&self) -> bool {
        self.scored.is_none() || self.next.is_some()
    }
}

/// A running sequence that begins as a prompt does.
struct Like {
    id: i32,
    /// So many of the prompt's tokens.
    shared: usize,
    /// Whether it has read them.
    read: bool,
}
