//! Generation: sequences that share one batch.
//!
//! A step decodes one batch: the next token of every running sequence, and a chunk of the prompts in prefill.
//! [`super::step_budget`] limits its size. While only one sequence runs, a step also computes draft tokens
//! (speculative decoding). The draft tokens that the samplers would have chosen are accepted: the answer is
//! the same, but faster.
//!
//! A sequence keeps its KV cache when its stream ends. [`sequences`] decides which sequence a stream gets,
//! and which stream is paused if there are more streams than sequences.

mod sequences;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use lar_base::Instant;

use super::backend::{Backend, Progress, StreamRequest};
use super::draft::Drafter;
use super::grammars::Grammars;
use super::llama_cpp::{Context, DecodeError, Interrupt, Model, Vocab};
use super::prefill_order::{PrefillOrder, UnreadPrompt};
use super::prefix_cache::{PrefixCache, PromptTokens};
use super::sampler::{Failure, Sampler, logprobs};
use super::sequence::{DraftSource, Sequence, StepPart};
use super::step_budget::StepBudget;
use super::step_threads::StepThreads;
use lar_inference::protocol::{CREDIT, Load, TuningResult};
use lar_inference::{Candidate, FinishReason, TokenLogprobs};
use waiting::{NewStream, WaitingStream};

/// The most prompt tokens with logprobs in one step: each needs as many numbers as the vocabulary has tokens.
const SCORED_TOKENS_MAX: usize = 32;

/// A model, its context and its running sequences.
pub(super) struct Generator<'model> {
    vocab: Vocab<'model>,
    /// The tokens that end an answer. Cached, because finding them takes time.
    ends: Vec<u32>,
    context: Context<'model>,
    interrupt: Interrupt,
    /// Made for the first constrained answer.
    grammars: Option<Arc<Grammars>>,
    /// The sequences that no stream has, with their cached prefixes.
    cache: PrefixCache<Vec<u8>>,
    /// Streams without a sequence: new ones and paused ones. In order of arrival, because stream numbers only
    /// grow.
    waiting: BTreeMap<u64, WaitingStream<'model>>,
    /// In order of arrival.
    running: BTreeMap<u64, Sequence<'model>>,
    budget: StepBudget,
    /// The order of prefill.
    order: PrefillOrder,
    /// Tokens per sequence.
    context_tokens: usize,
    /// Whether the end of a sequence can be removed.
    forgets: bool,
    /// Whether to decode speculatively.
    speculates: bool,
    /// The draft model, for when the text itself yields no draft.
    drafter: Option<Drafter<'model>>,
    threads: StepThreads,
}

impl Backend for Generator<'_> {
    fn vocab(&self) -> Vocab<'_> {
        self.vocab
    }

    fn start(&mut self, stream: u64, request: StreamRequest) -> Result<(), Progress> {
        let StreamRequest { caller, prompt, sampling } = request;
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
        let is_constrained = sampling.constraint.is_some();
        let failed = |reason| {
            if is_constrained { Progress::ConstraintFailed(reason) } else { Progress::Failed(reason) }
        };
        let made = Sampler::new(vocab, &self.ends, &sampling, &mut self.grammars, context_tokens, tokens);
        let sampler = made.map_err(failed)?;
        let arrival = NewStream { caller, prompt, sampling, sampler, credit: CREDIT, since: Instant::now() };
        self.waiting.insert(stream, WaitingStream::New(Box::new(arrival)));
        Ok(())
    }

    fn credit(&mut self, stream: u64, tokens: u32) {
        let running = self.running.get_mut(&stream).map(|sequence| &mut sequence.credit);
        let credit = running.or_else(|| self.waiting.get_mut(&stream).map(WaitingStream::credit_mut));
        if let Some(credit) = credit {
            *credit = credit.saturating_add(tokens);
        }
    }

    fn cancel(&mut self, stream: u64) -> bool {
        self.drop_waiting(stream) || self.end(stream)
    }

    fn active(&self) -> u32 {
        u32::try_from(self.running.len() + self.waiting.len()).unwrap_or(u32::MAX)
    }

    fn has_work(&self) -> bool {
        self.running.values().any(Sequence::runnable) || self.can_start_waiting()
    }

    fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn step(&mut self, report: &mut dyn FnMut(u64, Progress)) {
        self.start_waiting(report);
        let answers = self.add_answers(report);
        let prompts = self.add_prompts(answers);
        if self.context.batch_len() == 0 {
            return;
        }
        let long = answers == 0 && self.forgets && self.budget.may_be_interrupted();
        self.interrupt.allow(long);
        let threads = self.threads.next(answers, prompts);
        self.context.set_threads(threads, threads);
        let started = Instant::now();
        let decoded = self.context.decode();
        self.interrupt.allow(false);
        match decoded {
            Ok(()) => {
                let took = started.elapsed();
                // A step with another number of threads does not predict the next one.
                if !self.threads.is_trying(answers, prompts) {
                    self.budget.record(answers, prompts, took);
                }
                if let Some(tuned) =
                    self.threads.record(answers, prompts, took, self.budget.single_token_seconds())
                {
                    report(0, Progress::TuningResult(tuned));
                }
            }
            Err(DecodeError::Interrupted) => {
                self.budget.record_interruption();
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
                // The content of a failed step must not be reused.
                Some(Err(failure)) => {
                    self.discard(stream);
                    report(stream, failure.progress());
                }
                Some(Ok(reason)) => {
                    let (drafted, accepted) =
                        self.running.get(&stream).map_or((0, 0), |sequence| sequence.draft_counts);
                    self.end(stream);
                    report(stream, Progress::Finished { reason, drafted, accepted });
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
        tuned: Option<TuningResult>,
        drafter: Option<Drafter<'model>>,
    ) -> Self {
        let (sequences, context_tokens, cache_bytes, speculates) = match load {
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
            cache: PrefixCache::new(sequences, cache_bytes),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            budget: StepBudget::new(threads.batch_tokens()),
            order: PrefillOrder::default(),
            context_tokens: context_tokens as usize,
            forgets,
            speculates: speculates && forgets,
            drafter,
            threads,
        }
    }

    fn in_step(&self) -> impl Iterator<Item = u64> {
        self.running.iter().filter(|(_, sequence)| sequence.part.is_some()).map(|(stream, _)| *stream)
    }

    /// Adds the next token of every decoding sequence to the batch. Returns the number of tokens.
    fn add_answers(&mut self, report: &mut dyn FnMut(u64, Progress)) -> usize {
        self.context.batch_clear();
        self.make_space(report);
        let alone = self.running.len() == 1;
        let mut writing: Vec<&mut Sequence> = self
            .running
            .values_mut()
            .filter(|sequence| sequence.next.is_some() && sequence.runnable())
            .collect();
        // llama.cpp computes neighboring sequences together, and only in ascending order.
        writing.sort_unstable_by_key(|sequence| sequence.id);
        for sequence in writing {
            let Some(token) = sequence.next else { continue };
            let from = sequence.position;
            let output = self.context.batch_add(token, from, sequence.id, true);
            sequence.position += 1;
            sequence.prompt.tokens.push(token);
            let (draft, source) = if alone && self.speculates {
                sequence.draft(&self.budget, self.context_tokens, &mut self.drafter)
            } else {
                (Vec::new(), DraftSource::Text)
            };
            for (at, token) in (sequence.position..).zip(&draft) {
                self.context.batch_add(*token, at, sequence.id, true);
            }
            sequence.part = Some(StepPart { from, output: Some(output), first: None, draft, source });
        }
        self.context.batch_len()
    }

    /// Shifts full contexts: removes the oldest tokens of sequences that requested it.
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

    /// Adds as many tokens of unread prompts as fit in this step's time. Returns the number of tokens.
    fn add_prompts(&mut self, answers: usize) -> usize {
        let reads = |(stream, sequence): (&u64, &Sequence<'_>)| {
            let left = sequence.prompt.tokens.len() - sequence.position;
            (sequence.next.is_none() && sequence.runnable()).then_some(UnreadPrompt {
                stream: *stream,
                caller: sequence.caller,
                left,
            })
        };
        let mut unread: Vec<UnreadPrompt> = self.running.iter().filter_map(reads).collect();
        if unread.is_empty() || (answers > 0 && self.budget.take_measuring_step()) {
            return 0;
        }
        self.order.arrange(&mut unread);
        let room = self.budget.prompt_tokens(answers);
        let mut taken = 0;
        for UnreadPrompt { stream, caller, .. } in unread {
            let Some(sequence) = self.running.get_mut(&stream) else { continue };
            let tokens = &sequence.prompt.tokens;
            let from = sequence.position;
            let mut end = tokens.len().min(from + room - taken);
            let scores = sequence.scored.is_some();
            if scores {
                end = end.min(from + SCORED_TOKENS_MAX);
            } else if self.budget.takes_rest(
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
                let index = self.context.batch_add(*token, at, sequence.id, last || scores);
                output = last.then_some(index);
                first = first.or(scores.then_some(index));
            }
            taken += end - from;
            self.order.charge(caller, self.budget.time_of_prompt(end - from));
            sequence.position = end;
            sequence.part =
                Some(StepPart { from, output, first, draft: Vec::new(), source: DraftSource::Text });
            if taken >= room {
                break;
            }
        }
        taken
    }

    /// Adds the results of a step to a stream's answer. Returns how the answer ended, if it did.
    fn advance(
        &mut self,
        stream: u64,
        report: &mut dyn FnMut(u64, Progress),
    ) -> Option<Result<FinishReason, Failure>> {
        let sequence = self.running.get_mut(&stream)?;
        let StepPart { from, output, first, draft, source } = sequence.part.take()?;
        sequence.report_prefill(&mut |what| report(stream, what));
        if let (Some(top), Some(first)) = (sequence.scored, first) {
            let tokens = &sequence.prompt.tokens;
            // The first token has no logprob, because nothing precedes it.
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
            sequence.since = Instant::now();
            // A stream that was paused and read again has reported this before.
            if let Some(cached_tokens) = sequence.cached_tokens.take() {
                report(
                    stream,
                    Progress::Prefilled { cached_tokens: u32::try_from(cached_tokens).unwrap_or(0) },
                );
            }
        }
        let (mut accepted, mut end) = (0, None);
        while end.is_none() {
            let choice = match sequence.sampler.choose(self.vocab, self.context.logits(output + accepted)) {
                Ok(choice) => choice,
                Err(failure) => return Some(Err(failure)),
            };
            let token = choice.token;
            end = sequence.take(choice, self.vocab, self.context_tokens, &mut |what| report(stream, what));
            if end.is_some() || draft.get(accepted) != Some(&token) {
                break;
            }
            // The draft token is accepted: the step has computed the logits after it.
            accepted += 1;
            sequence.position += 1;
            sequence.prompt.tokens.push(token);
        }
        if !draft.is_empty() {
            sequence.acceptance[source as usize].record(accepted, draft.len());
            sequence.draft_counts.0 += u32::try_from(draft.len()).unwrap_or(0);
            sequence.draft_counts.1 += u32::try_from(accepted).unwrap_or(0);
            let (id, position) = (sequence.id, sequence.position);
            if accepted < draft.len() && !self.context.forget(id, position) {
                let reason = "rejected draft tokens cannot be removed from the context";
                return Some(Err(Failure::Model(reason.into())));
            }
        }
        end.map(Ok)
    }

    /// Restores every sequence of an interrupted step to its state before the step.
    fn roll_back(&mut self) {
        for sequence in self.running.values_mut() {
            let Some(StepPart { from, .. }) = sequence.part.take() else { continue };
            sequence.position = from;
            if sequence.next.is_some() {
                sequence.prompt.tokens.truncate(from);
            }
            self.context.forget(sequence.id, from);
        }
    }

    /// Frees a stream's sequence without its content, which a failed step may have damaged.
    fn discard(&mut self, stream: u64) {
        if let Some(sequence) = self.running.remove(&stream) {
            self.context.forget(sequence.id, 0);
            self.cache.give_back(sequence.id, PromptTokens::default());
        }
    }

    /// Frees a stream's sequence and keeps its content as a cached prefix. Returns whether the stream was
    /// running.
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

/// Returns a token without a known logprob.
fn unscored(vocab: Vocab<'_>, token: u32) -> TokenLogprobs {
    let chosen = Candidate { id: token, bytes: vocab.bytes(token, true), logprob: 0.0 };
    TokenLogprobs { chosen, top: Vec::new() }
}
