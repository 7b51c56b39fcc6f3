//! Assigns sequences to streams. There may be more streams than sequences; [`sequence_sharing`] chooses which stream
//! is paused for which.
//!
//! The state of a paused stream stays in host memory if that has room ([`PrefixCache::reserve`]). Otherwise
//! its tokens are computed again.
//!
//! [`PrefixCache::reserve`]: crate::prefix_cache::PrefixCache::reserve

use lar_base::Instant;

use super::Generator;
use super::waiting::{NewStream, PausedStream, SavedState, WaitingStream};
use crate::backend::Progress;
use crate::detokenizer::Detokenizer;
use crate::prefix_cache::{PromptTokens, SlotGrant};
use crate::sequence::{PendingDelta, Sequence};
use crate::sequence_sharing;
use crate::sequence_sharing::{Assignment, Runner, Waiter};
use crate::step_budget::AcceptanceRate;
use lar_inference::protocol::CallerNumbers;

impl<'model> Generator<'model> {
    /// Returns whether a waiting stream would get a sequence now.
    pub(super) fn can_start_waiting(&self) -> bool {
        self.choose().is_some()
    }

    /// Gives waiting streams the sequences that are due to them.
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
        // Computed only if needed, because measuring states takes time.
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
        sequence_sharing::choose(&waiters, &callers, &running, has_free, Instant::now())
    }

    /// Returns whether a new stream waits until a running one has read the common start of their prompts.
    fn waits_for_prefix(&self, waiting: &WaitingStream<'_>) -> bool {
        match waiting {
            WaitingStream::New(new_stream) => {
                self.prefix_match_for(new_stream).is_some_and(|prefix_match| !prefix_match.read)
            }
            WaitingStream::Paused(_) => false,
        }
    }

    /// Returns [`Self::prefix_match`], but `None` for a prompt whose logprobs are requested: cached tokens
    /// have none.
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
            preserved: sampling.preserved.iter().filter_map(|mark| self.vocab.control_token(mark)).collect(),
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

    /// Takes a stream's sequence away for a while. An error ends the stream: its state is lost and cannot be
    /// computed again.
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
        // The last chosen token is not in the context yet. It becomes the end of the prompt to read.
        sequence.prompt.tokens.extend(sequence.next.take());
        sequence.scored = None;
        sequence.was_paused = true;
        let paused = PausedStream { sequence, saved, since: Instant::now() };
        self.waiting.insert(stream, WaitingStream::Paused(Box::new(paused)));
        Ok(())
    }

    /// Copies the state of a sequence to host memory if there is room.
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

    /// Continues a paused stream where it stopped.
    fn resume(&mut self, stream: u64, paused: PausedStream<'model>, report: &mut dyn FnMut(u64, Progress)) {
        let PausedStream { mut sequence, saved, since } = paused;
        let reserved = saved.as_ref().map_or(0, |saved| saved.bytes);
        let read = sequence.position;
        let Some(grant) = self.cache.take(&sequence.prompt, saved.map(|saved| (read, saved.state))) else {
            // A free sequence always exists here. If not, the saved state is dropped and its tokens are
            // computed again.
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

    /// Drops a stream that has no sequence. Returns whether there was one.
    pub(super) fn drop_waiting(&mut self, stream: u64) -> bool {
        let waiting = self.waiting.remove(&stream);
        if let Some(WaitingStream::Paused(paused)) = &waiting {
            self.cache.release(paused.saved.as_ref().map_or(0, |saved| saved.bytes));
        }
        waiting.is_some()
    }

    /// Finds the running sequence with the longest common prefix, unless a free one has nearly as much.
    fn prefix_match(&self, prompt: &PromptTokens) -> Option<PrefixMatch> {
        let matches = self.running.values().filter(|other| !other.shifted).map(|other| {
            let shared = other.prompt.shared_with(prompt);
            PrefixMatch { id: other.id, shared, read: other.position >= shared, goes_on: other.runnable() }
        });
        // A sequence that does not run may never read the prefix.
        let matches = matches.filter(|prefix_match| prefix_match.read || prefix_match.goes_on);
        matches
            .max_by_key(|prefix_match| (prefix_match.shared, prefix_match.read))
            .filter(|prefix_match| self.forgets && self.cache.is_worth_copying(prompt, prefix_match.shared))
    }

    /// Copies the state of a running sequence, if host memory has room for it.
    fn copy(&mut self, prefix_match: &PrefixMatch) -> Option<(usize, Vec<u8>)> {
        let bytes = self.context.state_size(prefix_match.id) as u64;
        if !self.cache.make_room(bytes) {
            return None;
        }
        Some((prefix_match.shared, self.context.state(prefix_match.id)?))
    }

    /// Prepares the granted sequence so that it has only the cached prefix of the prompt. Returns its id and
    /// the length of the prefix.
    fn prepare_slot(&mut self, grant: SlotGrant<Vec<u8>>) -> (i32, usize) {
        let SlotGrant { id, cached_tokens, evicted, restore } = grant;
        if let Some(holds) = evicted {
            let bytes = self.context.state_size(id) as u64;
            // Room is made before the copy, so that both together never exceed the limit.
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
        // Models with a recurrent state cannot remove a part of the text.
        if is_restored && self.context.forget(id, cached_tokens) {
            return (id, cached_tokens);
        }
        self.context.forget(id, 0);
        (id, 0)
    }
}

impl Sequence<'_> {
    /// Returns whether the sequence may be paused. It may not while logprobs of its prompt are computed,
    /// which are reported only once. It may not when its context is full and must be shifted first.
    fn may_be_paused(&self, context_tokens: usize) -> bool {
        (self.scored.is_none() || self.next.is_some()) && self.position < context_tokens
    }
}

/// A running sequence that starts like a prompt.
struct PrefixMatch {
    id: i32,
    /// The number of common tokens.
    shared: usize,
    /// Whether the sequence has read them.
    read: bool,
    /// Whether the sequence can run.
    goes_on: bool,
}
