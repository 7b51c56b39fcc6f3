//! Which stream has which sequence, and which one waits. There may be more streams than sequences; [`sharing`] chooses who
//! is paused for whom.
//!
//! What a paused stream has read is kept in host memory if that has room ([`PrefixCache::reserve`]), and read again otherwise.
//!
//! [`PrefixCache::reserve`]: crate::worker::cache::PrefixCache::reserve

use lar_base::Instant;

use super::{Generator, Sequence};
use crate::driver::Sampling;
use crate::protocol::CallerNumbers;
use crate::worker::Progress;
use crate::worker::cache::{PromptTokens, SlotGrant};
use crate::worker::detokenizer::Detokenizer;
use crate::worker::sampler::Sampler;
use crate::worker::sequence::PendingDelta;
use crate::worker::sharing::{self, Assignment, Runner, Waiter};
use crate::worker::step_budget::AcceptanceRate;

/// A stream that has no sequence.
pub(super) enum WaitingStream<'model> {
    New(Box<NewStream<'model>>),
    Paused(Box<PausedStream<'model>>),
}

/// A stream that never had one.
pub(super) struct NewStream<'model> {
    pub(super) caller: CallerNumbers,
    pub(super) prompt: PromptTokens,
    pub(super) sampling: Sampling,
    pub(super) sampler: Sampler<'model>,
    pub(super) credit: u32,
    pub(super) since: Instant,
}

/// A stream that had to give its sequence to another.
pub(super) struct PausedStream<'model> {
    sequence: Sequence<'model>,
    /// What it had read, where host memory had room for it.
    saved: Option<SavedState>,
    since: Instant,
}

/// The state of a sequence, and the bytes that it was given of the cache's host memory.
struct SavedState {
    state: Vec<u8>,
    bytes: u64,
}

impl WaitingStream<'_> {
    fn caller(&self) -> CallerNumbers {
        match self {
            WaitingStream::New(new_stream) => new_stream.caller,
            WaitingStream::Paused(paused) => paused.sequence.caller,
        }
    }

    fn since(&self) -> Instant {
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

    /// Whether it would compute if it had a sequence.
    fn runnable(&self) -> bool {
        match self {
            WaitingStream::New(_) => true,
            // Continuing an answer takes credit; reading a prompt does not.
            WaitingStream::Paused(paused) => paused.sequence.produced == 0 || paused.sequence.credit > 0,
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
        while let Some(Assignment { starts, pauses }) = self.choose() {
            if let Some(stream) = pauses {
                report(stream, self.pause(stream).map_or_else(Progress::Failed, |()| Progress::Paused));
            }
            match self.waiting.remove(&starts) {
                Some(WaitingStream::New(new_stream)) => self.start_new_stream(starts, *new_stream, report),
                Some(WaitingStream::Paused(paused)) => self.resume(starts, *paused, report),
                None => {}
            }
        }
    }

    fn choose(&self) -> Option<Assignment> {
        if self.waiting.is_empty() {
            return None;
        }
        let waiters =
            self.waiting.iter().filter(|(_, waiting)| waiting.runnable() && !self.waits_for_prefix(waiting));
        let waiters: Vec<Waiter> = waiters
            .map(|(stream, waiting)| Waiter {
                stream: *stream,
                caller: waiting.caller(),
                since: waiting.since(),
                is_new: matches!(waiting, WaitingStream::New(_)),
            })
            .collect();
        if waiters.is_empty() {
            return None;
        }
        let callers: Vec<CallerNumbers> = self.waiting.values().map(WaitingStream::caller).collect();
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
            read_again: self.budget.time_of_prompt(sequence.position),
            can_be_saved: has_free || self.cache.can_reserve(self.context.state_size(sequence.id) as u64),
            must_be_saved: sequence.shifted,
        };
        let running: Vec<Runner> = self.running.iter().map(running).collect();
        sharing::choose(&waiters, &callers, &running, has_free, Instant::now())
    }

    /// Whether a new stream waits until a running one has read what its prompt begins with, too.
    fn waits_for_prefix(&self, waiting: &WaitingStream<'_>) -> bool {
        match waiting {
            WaitingStream::New(new_stream) => {
                self.prefix_match_for(new_stream).is_some_and(|prefix_match| !prefix_match.read)
            }
            WaitingStream::Paused(_) => false,
        }
    }

    /// As [`Self::prefix_match`]. What is known of a prompt whose tokens are to be scored has no probabilities any more.
    fn prefix_match_for(&self, new_stream: &NewStream<'_>) -> Option<PrefixMatch> {
        if new_stream.sampling.prompt_logprobs { None } else { self.prefix_match(&new_stream.prompt) }
    }

    fn start_new_stream(
        &mut self,
        stream: u64,
        new_stream: NewStream<'model>,
        report: &mut dyn FnMut(u64, Progress),
    ) {
        let copied = self
            .prefix_match_for(&new_stream)
            .filter(|prefix_match| prefix_match.read)
            .and_then(|prefix_match| self.copy(&prefix_match));
        let Some(grant) = self.cache.take(&new_stream.prompt, copied) else {
            self.waiting.insert(stream, WaitingStream::New(Box::new(new_stream)));
            return;
        };
        let (id, mut cached_tokens) = self.prepare_slot(grant);
        let NewStream { caller, prompt, sampling, sampler, credit, .. } = new_stream;
        let scored = sampling.prompt_logprobs.then(|| sampling.logprobs.unwrap_or(0) as usize);
        if scored.is_some() {
            self.context.forget(id, 0);
            cached_tokens = 0;
        }
        let reports = sampling.reports_prefill;
        let mut sequence = Sequence {
            id,
            caller,
            since: Instant::now(),
            was_paused: false,
            prompt,
            cached_tokens: Some(cached_tokens),
            reported: None,
            position: cached_tokens,
            next: None,
            produced: 0,
            tokens_max: sampling.tokens_max,
            shift_keep: sampling.shift_keep.map(|keep| keep as usize),
            shifted: false,
            sampler,
            acceptance: [AcceptanceRate::new(); 2],
            draft_counts: (0, 0),
            preserved: sampling
                .preserved
                .iter()
                .filter_map(|mark| crate::worker::control_token(self.vocab, mark))
                .collect(),
            scored,
            detokenizer: Some(Detokenizer::new(sampling.stop)),
            pending: PendingDelta::new(sampling.grouped),
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
        let saved = self.save_state(sequence.id);
        let is_lost = saved.is_none() && sequence.shifted;
        let holds = if saved.is_some() || sequence.shifted {
            PromptTokens::default()
        } else {
            let tokens = sequence.prompt.tokens[..sequence.position].to_vec();
            PromptTokens { tokens, owner: sequence.prompt.owner }
        };
        self.cache.give_back(sequence.id, holds);
        if is_lost {
            return Err("the state of its shifted context could not be copied".into());
        }
        // The token that was chosen last is read first when the stream goes on, as the end of its prompt.
        sequence.prompt.tokens.extend(sequence.next.take());
        sequence.scored = None;
        sequence.was_paused = true;
        let paused = PausedStream { sequence, saved, since: Instant::now() };
        self.waiting.insert(stream, WaitingStream::Paused(Box::new(paused)));
        Ok(())
    }

    /// A copy of what a sequence holds, where host memory has room for it.
    fn save_state(&mut self, id: i32) -> Option<SavedState> {
        let bytes = self.context.state_size(id) as u64;
        if !self.cache.reserve(bytes) {
            return None;
        }
        let state = self.context.state(id);
        if state.is_none() {
            self.cache.release(bytes);
        }
        Some(SavedState { state: state?, bytes })
    }

    /// Lets a paused stream go on where it was.
    fn resume(&mut self, stream: u64, paused: PausedStream<'model>, report: &mut dyn FnMut(u64, Progress)) {
        let PausedStream { mut sequence, saved, since } = paused;
        let reserved = saved.as_ref().map_or(0, |saved| saved.bytes);
        let read = sequence.position;
        let Some(grant) = self.cache.take(&sequence.prompt, saved.map(|saved| (read, saved.state))) else {
            // There is one whenever this is called; without it, what it had read is read again.
            self.cache.release(reserved);
            let paused = PausedStream { sequence, saved: None, since };
            self.waiting.insert(stream, WaitingStream::Paused(Box::new(paused)));
            return;
        };
        let (id, cached_tokens) = self.prepare_slot(grant);
        self.cache.release(reserved);
        (sequence.id, sequence.position, sequence.since) = (id, cached_tokens, Instant::now());
        report(stream, Progress::Started);
        self.running.insert(stream, sequence);
    }

    /// Forgets a stream that has no sequence; says whether there was one.
    pub(super) fn drop_waiting(&mut self, stream: u64) -> bool {
        let waiting = self.waiting.remove(&stream);
        if let Some(WaitingStream::Paused(paused)) = &waiting {
            self.cache.release(paused.saved.as_ref().map_or(0, |saved| saved.bytes));
        }
        waiting.is_some()
    }

    /// The running sequence that knows or will know most of a prompt, when no free one knows nearly as much.
    fn prefix_match(&self, prompt: &PromptTokens) -> Option<PrefixMatch> {
        let matches = self.running.values().filter(|other| !other.shifted).map(|other| {
            let shared = other.prompt.shared_with(prompt);
            PrefixMatch { id: other.id, shared, read: other.position >= shared, goes_on: other.runnable() }
        });
        // One that stands still may never read it.
        let matches = matches.filter(|prefix_match| prefix_match.read || prefix_match.goes_on);
        matches
            .max_by_key(|prefix_match| (prefix_match.shared, prefix_match.read))
            .filter(|prefix_match| self.forgets && self.cache.is_worth_copying(prompt, prefix_match.shared))
    }

    /// A copy of what a running sequence knows, as far as host memory for such is allowed.
    fn copy(&mut self, prefix_match: &PrefixMatch) -> Option<(usize, Vec<u8>)> {
        let bytes = self.context.state_size(prefix_match.id) as u64;
        if !self.cache.make_room(bytes) {
            return None;
        }
        Some((prefix_match.shared, self.context.state(prefix_match.id)?))
    }

    /// Makes a sequence hold what is known of a prompt and nothing else; returns how much that is.
    fn prepare_slot(&mut self, grant: SlotGrant<Vec<u8>>) -> (i32, usize) {
        let SlotGrant { id, cached_tokens, evicted, restore } = grant;
        if let Some(holds) = evicted {
            let bytes = self.context.state_size(id) as u64;
            // Room is made before the copy, so that both never exceed the limit together.
            if self.cache.make_room(bytes)
                && let Some(state) = self.context.state(id)
            {
                self.cache.store_state(holds, state, bytes);
            }
        }
        let is_restored = match restore {
            None => true,
            Some(state) => self.context.forget(id, 0) && self.context.restore(&state, id),
        };
        // Models with a recurrent state cannot forget a part of what they read.
        if is_restored && self.context.forget(id, cached_tokens) {
            return (id, cached_tokens);
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
struct PrefixMatch {
    id: i32,
    /// So many of the prompt's tokens.
    shared: usize,
    /// Whether it has read them.
    read: bool,
    /// Whether it has credit to.
    goes_on: bool,
}
