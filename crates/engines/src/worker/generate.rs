//! Generation: sequences that share one batch.
//!
//! A step decodes one batch: the next token of every running sequence, and a slice of the prompts that are
//! still being read; [`super::pace`] says how large it may be. While one answer is written alone, tokens that
//! are likely to follow are computed along with it, and those that the samplers would have chosen are kept:
//! the answer is the same, sooner.
//!
//! A sequence keeps what it has read when its stream ends; [`super::cache`] says which one a prompt gets. A
//! prompt that begins as one which is being read waits for it and takes a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use lar_base::Instant;

use super::answer::Answer;
use super::cache::{Cache, Prompt, Seat};
use super::constraint::Grammars;
use super::draft::Drafter;
use super::llama_cpp::{Context, DecodeError, Interrupt, Model, Vocab};
use super::pace::{Luck, Pace};
use super::sampler::{Failure, Sampler, logprobs};
use super::sequence::{Part, Sequence, Source, Untold};
use super::step_threads::StepThreads;
use super::{Backend, Progress};
use crate::driver::{Candidate, FinishReason, Sampling, TokenLogprobs};
use crate::protocol::{CREDIT, Load, Tuned};

/// Tokens of a prompt whose probabilities are told, in one step: each takes as many numbers as the vocabulary has tokens.
const SCORED_TOKENS_MAX: usize = 32;

/// A model, its context and the sequences that are written.
pub(super) struct Generator<'model> {
    vocab: Vocab<'model>,
    /// Tokens that end an answer: looking for them takes a while.
    ends: Vec<u32>,
    context: Context<'model>,
    interrupt: Interrupt,
    /// Made for the first answer that is held to something.
    grammars: Option<Arc<Grammars>>,
    /// The sequences that no stream has, and what they know.
    cache: Cache<Vec<u8>>,
    /// Streams that have no sequence yet, by arrival: stream numbers only grow.
    arrived: BTreeMap<u64, Arrival<'model>>,
    /// By arrival.
    running: BTreeMap<u64, Sequence<'model>>,
    pace: Pace,
    /// Per sequence.
    context_tokens: usize,
    /// Whether a sequence can forget the end of what it read.
    forgets: bool,
    /// Whether next tokens are guessed.
    guesses: bool,
    /// What guesses where the text itself tells nothing.
    drafter: Option<Drafter<'model>>,
    threads: StepThreads,
}

struct Arrival<'model> {
    prompt: Prompt,
    sampling: Sampling,
    sampler: Sampler<'model>,
    credit: u32,
}

impl Backend for Generator<'_> {
    fn vocab(&self) -> Vocab<'_> {
        self.vocab
    }

    fn start(&mut self, stream: u64, prompt: Prompt, sampling: Sampling) -> Result<(), Progress> {
        let tokens = &prompt.tokens;
        if tokens.is_empty() {
            return Err(Progress::Failed("the prompt has no tokens".into()));
        }
        if tokens.len() >= self.context_tokens {
            let (length, context) = (tokens.len(), self.context_tokens);
            return Err(Progress::Failed(format!("the prompt has {length} tokens, the context {context}")));
        }
        if tokens.iter().any(|token| *token >= self.vocab.len()) {
            return Err(Progress::Failed("the prompt has a token that is not in the vocabulary".into()));
        }
        let (vocab, context_tokens) = (self.vocab, self.context_tokens);
        let held = sampling.constraint.is_some();
        let failed = |reason| if held { Progress::Unfit(reason) } else { Progress::Failed(reason) };
        let made = Sampler::new(vocab, &self.ends, &sampling, &mut self.grammars, context_tokens, tokens);
        let sampler = made.map_err(failed)?;
        self.arrived.insert(stream, Arrival { prompt, sampling, sampler, credit: CREDIT });
        Ok(())
    }

    fn credit(&mut self, stream: u64, tokens: u32) {
        let running = self.running.get_mut(&stream).map(|sequence| &mut sequence.credit);
        let credit = running.or_else(|| self.arrived.get_mut(&stream).map(|arrival| &mut arrival.credit));
        if let Some(credit) = credit {
            *credit = credit.saturating_add(tokens);
        }
    }

    fn cancel(&mut self, stream: u64) -> bool {
        self.arrived.remove(&stream).is_some() || self.end(stream)
    }

    fn active(&self) -> u32 {
        u32::try_from(self.running.len() + self.arrived.len()).unwrap_or(u32::MAX)
    }

    fn has_work(&self) -> bool {
        !self.arrived.is_empty() || self.running.values().any(Sequence::runnable)
    }

    fn step(&mut self, report: &mut dyn FnMut(u64, Progress)) {
        self.seat_arrivals(report);
        let answers = self.add_answers(report);
        let prompts = self.add_prompts(answers);
        if self.context.batch_len() == 0 {
            return;
        }
        let long = answers == 0 && self.forgets && self.pace.may_break_off();
        self.interrupt.allow(long);
        let threads = self.threads.next(answers, prompts);
        self.context.set_threads(threads, threads);
        let begun = Instant::now();
        let decoded = self.context.decode();
        self.interrupt.allow(false);
        match decoded {
            Ok(()) => {
                let took = begun.elapsed();
                // A step with another number of threads tells nothing of the next one.
                if !self.threads.is_trying(answers, prompts) {
                    self.pace.note(answers, prompts, took);
                }
                if let Some(tuned) = self.threads.note(answers, prompts, took, self.pace.single()) {
                    report(0, Progress::Tuned(tuned));
                }
            }
            Err(DecodeError::Interrupted) => {
                self.pace.note_broken_off();
                self.roll_back();
                return;
            }
            Err(error) => {
                let failed: Vec<u64> = self.in_step().collect();
                for stream in failed {
                    self.discard(stream);
                    report(stream, Progress::Failed(error.to_string()));
                }
                return;
            }
        }
        let computed: Vec<u64> = self.in_step().collect();
        for stream in computed {
            match self.advance(stream, report) {
                None => {}
                // What made no sense is not to be built on.
                Some(Err(failure)) => {
                    self.discard(stream);
                    report(stream, failure.progress());
                }
                Some(Ok(reason)) => {
                    let (guessed, right) =
                        self.running.get(&stream).map_or((0, 0), |sequence| sequence.guesses);
                    self.end(stream);
                    report(stream, Progress::Finished { reason, guessed, right });
                }
            }
        }
    }
}

impl<'model> Generator<'model> {
    pub(super) fn new(
        model: &'model Model,
        context: Context<'model>,
        interrupt: Interrupt,
        load: &Load,
        tuned: Option<Tuned>,
        drafter: Option<Drafter<'model>>,
    ) -> Self {
        let (sequences, context_tokens, cache_bytes, guesses) = match load {
            Load::Model { sequences, context_tokens, cache_bytes, compute, .. } => {
                (*sequences, *context_tokens, *cache_bytes, compute.speculate)
            }
            Load::Vocabulary { .. } | Load::Embedder { .. } | Load::Encoder(_) => (0, 0, 0, false),
        };
        let threads = StepThreads::new(load, tuned);
        let forgets = !model.is_recurrent();
        Self {
            vocab: model.vocab(),
            ends: model.vocab().tokens().filter(|token| model.vocab().ends(*token)).collect(),
            context,
            interrupt,
            grammars: None,
            cache: Cache::new(sequences, cache_bytes),
            arrived: BTreeMap::new(),
            running: BTreeMap::new(),
            pace: Pace::new(threads.batch_tokens()),
            context_tokens: context_tokens as usize,
            forgets,
            guesses: guesses && forgets,
            drafter,
            threads,
        }
    }

    fn in_step(&self) -> impl Iterator<Item = u64> {
        self.running.iter().filter(|(_, sequence)| sequence.part.is_some()).map(|(stream, _)| *stream)
    }

    /// Gives streams that arrived their sequences, but for those that wait for a prompt like theirs.
    fn seat_arrivals(&mut self, report: &mut dyn FnMut(u64, Progress)) {
        let streams: Vec<u64> = self.arrived.keys().copied().collect();
        for stream in streams {
            // What is known of a prompt has no probabilities any more.
            let arrival = self.arrived.get(&stream).filter(|arrival| !arrival.sampling.prompt_logprobs);
            let like = arrival.and_then(|arrival| self.like(&arrival.prompt));
            let copied = match like {
                Some(like) if !like.read => continue,
                Some(like) => self.copy(&like),
                None => None,
            };
            let Some(arrival) = self.arrived.remove(&stream) else { continue };
            let Some(seat) = self.cache.take(&arrival.prompt, copied) else {
                report(stream, Progress::Failed("every sequence is taken".into()));
                continue;
            };
            let (id, mut known) = self.seat(seat);
            let Arrival { prompt, sampling, sampler, credit } = arrival;
            let scored = sampling.prompt_logprobs.then(|| sampling.logprobs.unwrap_or(0) as usize);
            if scored.is_some() {
                self.context.forget(id, 0);
                known = 0;
            }
            let sequence = Sequence {
                id,
                prompt,
                known,
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
                    .filter_map(|mark| super::control(self.vocab, mark))
                    .collect(),
                scored,
                answer: Some(Answer::new(sampling.stop)),
                untold: Untold::new(sampling.grouped),
                credit,
                part: None,
            };
            self.running.insert(stream, sequence);
        }
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

    /// Puts the next token of every running answer into the batch; returns how many tokens that are.
    fn add_answers(&mut self, report: &mut dyn FnMut(u64, Progress)) -> usize {
        self.context.batch_clear();
        self.make_space(report);
        let alone = self.running.len() == 1 && self.arrived.is_empty();
        let mut writing: Vec<&mut Sequence> = self
            .running
            .values_mut()
            .filter(|sequence| sequence.next.is_some() && sequence.runnable())
            .collect();
        // llama.cpp computes neighbouring sequences together, and only in ascending order.
        writing.sort_unstable_by_key(|sequence| sequence.id);
        for sequence in writing {
            let Some(token) = sequence.next else { continue };
            let from = sequence.position;
            let output = self.context.batch_add(token, from, sequence.id, true);
            sequence.position += 1;
            sequence.prompt.tokens.push(token);
            let (guessed, by) = if alone && self.guesses {
                sequence.guess(&self.pace, self.context_tokens, &mut self.drafter)
            } else {
                (Vec::new(), Source::Text)
            };
            for (at, token) in (sequence.position..).zip(&guessed) {
                self.context.batch_add(*token, at, sequence.id, true);
            }
            sequence.part = Some(Part { from, output: Some(output), first: None, guessed, by });
        }
        self.context.batch_len()
    }

    /// Lets the oldest tokens go of answers that asked for it and have come to the end of their context.
    fn make_space(&mut self, report: &mut dyn FnMut(u64, Progress)) {
        let mut stuck = Vec::new();
        for (stream, sequence) in &mut self.running {
            let full = sequence.next.is_some() && sequence.position >= self.context_tokens;
            let Some(keep) = sequence.shift_keep.filter(|_| full) else { continue };
            let keep = keep.min(sequence.position / 2);
            let piece = keep..keep + (sequence.position - keep).div_ceil(2);
            if self.context.cut(sequence.id, piece.clone()) {
                sequence.position -= piece.len();
                sequence.prompt.tokens.drain(piece);
                sequence.shifted = true;
            } else {
                stuck.push(*stream);
            }
        }
        for stream in stuck {
            self.discard(stream);
            report(stream, Progress::Failed("this model's context cannot be shifted".into()));
        }
    }

    /// Adds as much of the prompts that are still being read as fits in this step's time, oldest first.
    fn add_prompts(&mut self, answers: usize) -> usize {
        let room = self.pace.prompt_tokens(answers);
        let mut taken = 0;
        let reads = |sequence: &&mut Sequence<'_>| sequence.next.is_none() && sequence.runnable();
        for sequence in self.running.values_mut().filter(reads) {
            let tokens = &sequence.prompt.tokens;
            let from = sequence.position;
            let mut end = tokens.len().min(from + room - taken);
            let scores = sequence.scored.is_some();
            if scores {
                end = end.min(from + SCORED_TOKENS_MAX);
            } else if self.pace.takes_rest(
                room,
                tokens.len() - from,
                tokens.len() - end,
                taken + end - from,
                answers,
            ) {
                end = tokens.len();
            }
            let (mut output, mut first) = (None, None);
            for (at, token) in (from..end).zip(&tokens[from..end]) {
                let last = at + 1 == tokens.len();
                let place = self.context.batch_add(*token, at, sequence.id, last || scores);
                output = last.then_some(place);
                first = first.or(scores.then_some(place));
            }
            taken += end - from;
            sequence.position = end;
            sequence.part = Some(Part { from, output, first, guessed: Vec::new(), by: Source::Text });
            if taken >= room {
                break;
            }
        }
        taken
    }

    /// Takes what a step computed into a stream's answer; tells how it ended, if it did.
    fn advance(
        &mut self,
        stream: u64,
        report: &mut dyn FnMut(u64, Progress),
    ) -> Option<Result<FinishReason, Failure>> {
        let sequence = self.running.get_mut(&stream)?;
        let Part { from, output, first, guessed, by } = sequence.part.take()?;
        if let (Some(top), Some(first)) = (sequence.scored, first) {
            let tokens = &sequence.prompt.tokens;
            // Nothing comes before the first token, so nothing says how likely it was.
            let start = tokens.first().filter(|_| from == 0).map(|token| unscored(self.vocab, *token));
            let following = (from..sequence.position).filter_map(|at| Some((at, *tokens.get(at + 1)?)));
            let scored = following
                .map(|(at, token)| logprobs(self.vocab, self.context.logits(first + at - from), token, top));
            let logprobs = start.into_iter().chain(scored).collect();
            sequence.credit = sequence.credit.saturating_sub(1);
            report(stream, Progress::Delta { text: String::new(), tokens: 0, logprobs });
        }
        let output = output?;
        if sequence.next.is_none() {
            let known = u32::try_from(sequence.known).unwrap_or(0);
            report(stream, Progress::Prefilled { known });
        }
        let (mut right, mut end) = (0, None);
        while end.is_none() {
            let choice = match sequence.sampler.choose(self.vocab, self.context.logits(output + right)) {
                Ok(choice) => choice,
                Err(failure) => return Some(Err(failure)),
            };
            let token = choice.token;
            end = sequence.take(choice, self.vocab, self.context_tokens, &mut |what| report(stream, what));
            if end.is_some() || guessed.get(right) != Some(&token) {
                break;
            }
            // It was computed already: what follows it is there too.
            right += 1;
            sequence.position += 1;
            sequence.prompt.tokens.push(token);
        }
        if !guessed.is_empty() {
            sequence.luck[by as usize].note(right, guessed.len());
            sequence.guesses.0 += u32::try_from(guessed.len()).unwrap_or(0);
            sequence.guesses.1 += u32::try_from(right).unwrap_or(0);
            let (id, position) = (sequence.id, sequence.position);
            if right < guessed.len() && !self.context.forget(id, position) {
                return Some(Err(Failure::Model("what was guessed cannot be forgotten".into())));
            }
        }
        end.map(Ok)
    }

    /// Makes every sequence of a step that was broken off what it was before.
    fn roll_back(&mut self) {
        for sequence in self.running.values_mut() {
            let Some(Part { from, .. }) = sequence.part.take() else { continue };
            sequence.position = from;
            if sequence.next.is_some() {
                sequence.prompt.tokens.truncate(from);
            }
            self.context.forget(sequence.id, from);
        }
    }

    /// Lets a stream's sequence go, without what a failed step may have left in it.
    fn discard(&mut self, stream: u64) {
        if let Some(sequence) = self.running.remove(&stream) {
            self.context.forget(sequence.id, 0);
            self.cache.give_back(sequence.id, Prompt::default());
        }
    }

    /// Lets a stream's sequence go, with what it has read; says whether it was there.
    fn end(&mut self, stream: u64) -> bool {
        if self.running.get(&stream).is_some_and(|sequence| sequence.shifted) {
            self.discard(stream);
            return true;
        }
        let Some(sequence) = self.running.remove(&stream) else { return false };
        let Sequence { id, mut prompt, position, .. } = sequence;
        prompt.tokens.truncate(position);
        self.cache.give_back(id, prompt);
        true
    }
}

/// A token of which no probability is known.
fn unscored(vocab: Vocab<'_>, token: u32) -> TokenLogprobs {
    let chosen = Candidate { id: token, bytes: vocab.bytes(token, true), logprob: 0.0 };
    TokenLogprobs { chosen, top: Vec::new() }
}

/// A running sequence that begins as a prompt does.
struct Like {
    id: i32,
    /// So many of the prompt's tokens.
    shared: usize,
    /// Whether it has read them.
    read: bool,
}
