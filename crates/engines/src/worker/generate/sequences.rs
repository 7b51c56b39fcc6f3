//! Which stream has which sequence, and which one waits. There may be more streams than sequences; [`sharing`] chooses who
//! is paused for whom.
//!
//! What a paused stream has read is kept in host memory if that has room ([`Cache::hold`]), and read again otherwise.
//!
//! [`Cache::hold`]: crate::worker::cache::Cache::hold

use lar_base::Instant;

use super::{Generator, Sequence};
use crate::driver::Sampling;
use crate::protocol::CallerNumbers;
use crate::worker::Progress;
use crate::worker::answer::Answer;
use crate::worker::cache::{Prompt, Seat};
use crate::worker::pace::Luck;
use crate::worker::sampler::Sampler;
use crate::worker::sequence::Untold;
use crate::worker::sharing::{self, Choice, Runner, Waiter};

/// A stream that has no sequence.
pub(super) enum Waiting<'model> {
    New(Box<Arrival<'model>>),
    Paused(Box<Paused<'model>>),
}

/// A stream that never had one.
pub(super) struct Arrival<'model> {
    pub(super) caller: CallerNumbers,
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
    fn caller(&self) -> CallerNumbers {
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
            // Continuing an answer takes credit; reading a prompt does not.
            Waiting::Paused(paused) => paused.sequence.produced == 0 || paused.sequence.credit > 0,
        }
    }
}

impl<'model> Generator<'model> {
    /// Whether a stream that waits would get a sequence now.
    pub(super) fn can_start_waiting(&self) -> bool {
        self.choose().is_some()
    }

    /// Gives streams that wait the sequences that are theirs.
    pub(super) fn start_waiting(&mut self, report: &mut dyn FnMut(u64, Progress)) {
        while let Some(Choice { starts, pauses }) = self.choose() {
            if let Some(stream) = pauses {
                report(stream, self.pause(stream).map_or_else(Progress::Failed, |()| Progress::Paused));
            }
            match self.waiting.remove(&starts) {
                Some(Waiting::New(arrival)) => self.start_arrival(starts, *arrival, report),
                Some(Waiting::Paused(paused)) => self.resume(starts, *paused, report),
                None => {}
            }
        }
    }

    fn choose(&self) -> Option<Choice> {
        if self.waiting.is_empty() {
            return None;
        }
        let waiters =
            self.waiting.iter().filter(|(_, waiting)| waiting.runnable() && !self.waits_for_like(waiting));
        let waiters: Vec<Waiter> = waiters
            .map(|(stream, waiting)| Waiter {
                stream: *stream,
                caller: waiting.caller(),
                since: waiting.since(),
                is_new: matches!(waiting, Waiting::New(_)),
            })
            .collect();
        if waiters.is_empty() {
            return None;
        }
        let callers: Vec<CallerNumbers> = self.waiting.values().map(Waiting::caller).collect();
        let has_free = self.cache.has_free();
        // What they hold takes a while to measure.
        let running = |(stream, sequence): (&u64, &Sequence<'_>)| Runner {
            stream: *stream,
            caller: sequence.caller,
            is_runnable: sequence.runnable(),
            may_be_paused: sequence.may_be_paused(self.context_tokens),
            since: sequence.since,
            was_paused: sequence.was_paused,
            is_read: sequence.next.is_some(),
            tokens: sequence.position,
            read_again: self.pace.time_of_prompt(sequence.position),
            can_be_kept: has_free || self.cache.can_hold(self.context.state_size(sequence.id) as u64),
            must_be_kept: sequence.shifted,
        };
        let running: Vec<Runner> = self.running.iter().map(running).collect();
        sharing::choose(&waiters, &callers, &running, has_free, Instant::now())
    }

    /// Whether a new stream waits until a running one has read what its prompt begins with, too.
    fn waits_for_like(&self, waiting: &Waiting<'_>) -> bool {
        match waiting {
            Waiting::New(arrival) => self.like_of(arrival).is_some_and(|like| !like.read),
            Waiting::Paused(_) => false,
        }
    }

    /// As [`Self::like`]. What is known of a prompt whose tokens are to be scored has no probabilities any more.
    fn like_of(&self, arrival: &Arrival<'_>) -> Option<Like> {
        if arrival.sampling.prompt_logprobs { None } else { self.like(&arrival.prompt) }
    }

    fn start_arrival(
        &mut self,
        stream: u64,
        arrival: Arrival<'model>,
        report: &mut dyn FnMut(u64, Progress),
    ) {
        let copied = self.like_of(&arrival).filter(|like| like.read).and_then(|like| self.copy(&like));
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
        let reports = sampling.reports_prefill;
        let mut sequence = Sequence {
            id,
            caller,
            since: Instant::now(),
            was_paused: false,
            prompt,
            known: Some(known),
            reported: None,
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
        report(stream, Progress::Started);
        if reports {
            sequence.report_position(&mut |what| report(stream, what));
        }
        self.running.insert(stream, sequence);
    }

    /// Takes a stream's sequence away for a while. An error is the end of the stream: what it had read is lost and cannot be
    /// read again.
    fn pause(&mut self, stream: u64) -> Result<(), String> {
        let Some(mut sequence) = self.running.remove(&stream) else { return Ok(()) };
        let kept = self.keep(sequence.id);
        let is_lost = kept.is_none() && sequence.shifted;
        let holds = if kept.is_some() || sequence.shifted {
            Prompt::default()
        } else {
            let tokens = sequence.prompt.tokens[..sequence.position].to_vec();
            Prompt { tokens, owner: sequence.prompt.owner }
        };
        self.cache.give_back(sequence.id, holds);
        if is_lost {
            return Err("the state of its shifted context could not be copied".into());
        }
        // The token that was chosen last is read first when the stream goes on, as the end of its prompt.
        sequence.prompt.tokens.extend(sequence.next.take());
        sequence.scored = None;
        sequence.was_paused = true;
        let paused = Paused { sequence, kept, since: Instant::now() };
        self.waiting.insert(stream, Waiting::Paused(Box::new(paused)));
        Ok(())
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
    fn resume(&mut self, stream: u64, paused: Paused<'model>, report: &mut dyn FnMut(u64, Progress)) {
        let Paused { mut sequence, kept, since } = paused;
        let held = kept.as_ref().map_or(0, |kept| kept.bytes);
        let read = sequence.position;
        let Some(seat) = self.cache.take(&sequence.prompt, kept.map(|kept| (read, kept.state))) else {
            // There is one whenever this is called; without it, what it had read is read again.
            self.cache.release(held);
            let paused = Paused { sequence, kept: None, since };
            self.waiting.insert(stream, Waiting::Paused(Box::new(paused)));
            return;
        };
        let (id, known) = self.seat(seat);
        self.cache.release(held);
        (sequence.id, sequence.position, sequence.since) = (id, known, Instant::now());
        report(stream, Progress::Started);
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
            Like { id: other.id, shared, read: other.position >= shared, goes_on: other.runnable() }
        });
        // One that stands still may never read it.
        let likes = likes.filter(|like| like.read || like.goes_on);
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
    /// Whether it may be paused: not while the tokens of its prompt are scored, which are told once, nor where its last token
    /// finds the context full and others have yet to make room.
    fn may_be_paused(&self, context_tokens: usize) -> bool {
        (self.scored.is_none() || self.next.is_some()) && self.position < context_tokens
    }
}

/// A running sequence that begins as a prompt does.
struct Like {
    id: i32,
    /// So many of the prompt's tokens.
    shared: usize,
    /// Whether it has read them.
    read: bool,
    /// Whether it has credit to.
    goes_on: bool,
}
