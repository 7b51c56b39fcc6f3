//! llama.cpp through `llama-cpp-2`: sequences that share one batch.
//!
//! A step decodes one batch: the next token of every running sequence and a slice of the prompts that are
//! still being read. The slice is sized from measured speed so that a step takes about [`STEP_TARGET`], or
//! [`SHARED_STEP_TARGET`] when answers are written meanwhile; that bounds how long a cancellation waits and
//! what a prompt that arrives may add to the time between the tokens of others.
//!
//! A sequence keeps what it has read when its stream ends; [`super::cache`] says which one a prompt gets.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use lar_base::Instant;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::{LlamaStateSeqFlags, SeqState};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::vocab::LlamaVocab;

use super::answer::{Answer, Text};
use super::cache::{Cache, Prompt, Seat};
use super::constraint::Grammars;
use super::sampler::{Choice, Sampler};
use super::{Backend, Progress};
use crate::driver::{FinishReason, Sampling};
use crate::protocol::{CREDIT, Load};

/// What a step should take in which only prompts are read: longer ones read faster. A cancellation waits for
/// one of them; the promise is 250 ms.
const STEP_TARGET: Duration = Duration::from_millis(150);
/// What a step should take in which answers wait for their next token: what a prompt that arrives may add.
const SHARED_STEP_TARGET: Duration = Duration::from_millis(90);
/// Tokens in one batch at most, and in one piece for the hardware.
const BATCH_TOKENS_MAX: u32 = 512;
/// The rest of a prompt is added to a step when it is at most this part of it.
const REST_SHARE: usize = 3;
/// Prompt tokens a second before anything was measured: the first step must be short on any machine.
const FIRST_PROMPT_SPEED: f64 = 90.0;

pub(super) fn build() -> String {
    "llama.cpp (embedded, llama-cpp-2 0.1)".into()
}

/// Loads what is asked for and runs `work` with it.
pub(super) fn with_backend(
    load: &Load,
    work: impl FnOnce(&mut dyn Backend) -> Result<(), String>,
) -> Result<(), String> {
    let mut library = LlamaBackend::init().map_err(|error| error.to_string())?;
    library.void_logs();
    let (path, vocabulary_only) = match load {
        Load::Vocabulary { path } => (path, true),
        Load::Model { path, .. } => (path, false),
    };
    let params = LlamaModelParams::default().with_vocab_only(vocabulary_only);
    if !path.is_file() {
        return Err("the file is not there".into());
    }
    let model = LlamaModel::load_from_file(&library, path, &params).map_err(
        |_| "llama.cpp cannot read it: corrupt, cut short, of an unknown architecture, or larger than memory",
    )?;
    match load {
        Load::Vocabulary { .. } => work(&mut VocabularyOnly { vocab: model.vocab() }),
        Load::Model { sequences, context_tokens, threads, cache_bytes, .. } => {
            let threads = i32::try_from(*threads).unwrap_or(1);
            let params = LlamaContextParams::default()
                .with_n_ctx(NonZeroU32::new(context_tokens.saturating_mul(*sequences)))
                .with_n_seq_max(*sequences)
                .with_n_batch(BATCH_TOKENS_MAX)
                .with_n_ubatch(BATCH_TOKENS_MAX)
                .with_n_threads(threads)
                .with_n_threads_batch(threads)
                .with_kv_unified(false)
                .with_no_perf(true);
            let context = model
                .new_context(&library, params)
                .map_err(|_| format!("no memory for {sequences} contexts of {context_tokens} tokens"))?;
            work(&mut Llama {
                vocab: model.vocab(),
                model: &model,
                grammars: None,
                batch: LlamaBatch::new(BATCH_TOKENS_MAX as usize, 1),
                cache: Cache::new(*sequences, *cache_bytes),
                running: BTreeMap::new(),
                prompt_speed: FIRST_PROMPT_SPEED,
                shared_prompt_speed: FIRST_PROMPT_SPEED,
                context_tokens: *context_tokens as usize,
                context,
            })
        }
    }
}

struct VocabularyOnly<'model> {
    vocab: LlamaVocab<'model>,
}

impl Backend for VocabularyOnly<'_> {
    fn tokenize(&self, text: &str, add_start: bool) -> Vec<u32> {
        tokenize(&self.vocab, text, add_start)
    }

    fn infill(&self, prefix: &str, suffix: &str) -> Option<Vec<u32>> {
        infill(&self.vocab, prefix, suffix)
    }

    fn vocabulary(&self) -> u32 {
        self.vocab.n_tokens().unsigned_abs()
    }
    fn start(&mut self, _: u64, _: Prompt, _: Sampling) -> Result<(), String> {
        Err("this worker holds only a vocabulary".into())
    }
    fn credit(&mut self, _: u64, _: u32) {}
    fn cancel(&mut self, _: u64) -> bool {
        false
    }
    fn active(&self) -> u32 {
        0
    }
    fn has_work(&self) -> bool {
        false
    }
    fn step(&mut self, _: &mut dyn FnMut(u64, Progress)) {}
}

struct Llama<'model> {
    vocab: LlamaVocab<'model>,
    model: &'model LlamaModel,
    /// Made for the first answer that is held to something.
    grammars: Option<Grammars>,
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    /// The sequences that no stream has, and what they know.
    cache: Cache<SeqState>,
    /// By arrival: stream numbers only grow.
    running: BTreeMap<u64, Sequence>,
    /// Prompt tokens that are read in a second, as measured in steps that only read prompts.
    prompt_speed: f64,
    /// The same in steps that others share.
    shared_prompt_speed: f64,
    /// Per sequence.
    context_tokens: usize,
}

struct Sequence {
    id: i32,
    /// The prompt's tokens and behind them those of the answer that were decoded.
    prompt: Prompt,
    /// Tokens of it that were known from earlier.
    known: usize,
    /// Tokens in the context.
    position: usize,
    /// Sampled but not decoded yet; the prompt was read when there is one.
    next: Option<LlamaToken>,
    produced: u32,
    tokens_max: u32,
    sampler: Sampler,
    /// Control tokens that show in the text.
    preserved: Vec<LlamaToken>,
    answer: Option<Answer>,
    credit: u32,
    /// Whether the step that is being computed has tokens of it.
    in_batch: bool,
    /// Where in the batch this sequence's logits are.
    output: Option<i32>,
}

impl Sequence {
    fn runnable(&self) -> bool {
        self.next.is_none() || self.credit > 0
    }
}

impl Backend for Llama<'_> {
    fn tokenize(&self, text: &str, add_start: bool) -> Vec<u32> {
        tokenize(&self.vocab, text, add_start)
    }

    fn infill(&self, prefix: &str, suffix: &str) -> Option<Vec<u32>> {
        infill(&self.vocab, prefix, suffix)
    }

    fn vocabulary(&self) -> u32 {
        self.vocab.n_tokens().unsigned_abs()
    }

    fn start(&mut self, stream: u64, prompt: Prompt, sampling: Sampling) -> Result<(), String> {
        let tokens = &prompt.tokens;
        if tokens.is_empty() {
            return Err("the prompt has no tokens".into());
        }
        if tokens.len() >= self.context_tokens {
            return Err(format!(
                "the prompt has {} tokens, the context {}",
                tokens.len(),
                self.context_tokens
            ));
        }
        if tokens.iter().any(|token| *token >= self.vocabulary()) {
            return Err("the prompt has a token that is not in the vocabulary".into());
        }
        let matcher = match &sampling.constraint {
            None => None,
            Some(constraint) => {
                let grammars = match self.grammars.take() {
                    Some(grammars) => grammars,
                    None => Grammars::of(&self.vocab)?,
                };
                Some(self.grammars.insert(grammars).start(constraint)?)
            }
        };
        let sampler = Sampler::new(self.model, &sampling, matcher, self.context_tokens, tokens);
        let seat = self.cache.take(tokens, prompt.owner).ok_or("every sequence is taken")?;
        let (id, known) = self.seat(seat);
        let sequence = Sequence {
            id,
            prompt,
            known,
            position: known,
            next: None,
            produced: 0,
            tokens_max: sampling.tokens_max,
            sampler,
            preserved: sampling.preserved.iter().filter_map(|mark| control(&self.vocab, mark)).collect(),
            answer: Some(Answer::new(sampling.stop)),
            credit: CREDIT,
            in_batch: false,
            output: None,
        };
        self.running.insert(stream, sequence);
        Ok(())
    }

    fn credit(&mut self, stream: u64, deltas: u32) {
        if let Some(sequence) = self.running.get_mut(&stream) {
            sequence.credit = sequence.credit.saturating_add(deltas);
        }
    }

    fn cancel(&mut self, stream: u64) -> bool {
        self.forget(stream)
    }

    fn active(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    fn has_work(&self) -> bool {
        self.running.values().any(Sequence::runnable)
    }

    fn step(&mut self, report: &mut dyn FnMut(u64, Progress)) {
        let prefill_tokens = self.fill_batch();
        if self.batch.n_tokens() == 0 {
            return;
        }
        let shared = self.batch.n_tokens().unsigned_abs() as usize > prefill_tokens;
        let begun = Instant::now();
        if let Err(error) = self.context.decode(&mut self.batch) {
            self.fail_batch(&format!("llama.cpp could not decode: {error}"), report);
            return;
        }
        if prefill_tokens > 0 {
            // Half-life of two steps: speed falls as the context fills.
            let speed = prefill_tokens as f64 / begun.elapsed().as_secs_f64().max(1e-6);
            let known = if shared { &mut self.shared_prompt_speed } else { &mut self.prompt_speed };
            *known = 0.3 * speed + 0.7 * *known;
        }
        let mut ended = Vec::new();
        for (stream, sequence) in &mut self.running {
            let Some(output) = sequence.output.take() else { continue };
            if sequence.next.is_none() {
                report(*stream, Progress::Prefilled { known: u32::try_from(sequence.known).unwrap_or(0) });
            }
            let end = match sequence.sampler.choose(&self.vocab, &self.context, output) {
                Err(reason) => Some(Progress::Failed(reason)),
                Ok(choice) => take(sequence, choice, &self.vocab, self.context_tokens, &mut |what| {
                    report(*stream, what)
                })
                .map(Progress::Finished),
            };
            ended.extend(end.map(|end| (*stream, end)));
        }
        for (stream, end) in ended {
            match &end {
                // What made no sense is not to be built on.
                Progress::Failed(_) => self.discard(stream),
                _ => _ = self.forget(stream),
            }
            report(stream, end);
        }
    }
}

impl Llama<'_> {
    /// Puts this step's tokens into the batch and returns how many belong to prompts.
    fn fill_batch(&mut self) -> usize {
        self.batch.clear();
        for sequence in self.running.values_mut() {
            sequence.in_batch = false;
        }
        let mut decoding: Vec<&mut Sequence> = self
            .running
            .values_mut()
            .filter(|sequence| sequence.next.is_some() && sequence.runnable())
            .collect();
        // llama.cpp computes neighbouring sequences together, and only in ascending order.
        decoding.sort_unstable_by_key(|sequence| sequence.id);
        for sequence in decoding {
            let Some(token) = sequence.next else { continue };
            sequence.output = Some(self.batch.n_tokens());
            add(&mut self.batch, token, sequence.position, sequence.id, true);
            sequence.position += 1;
            sequence.prompt.tokens.push(token.0.unsigned_abs());
            sequence.in_batch = true;
        }
        self.add_prompts()
    }

    /// Adds as much of the prompts that are still being read as fits in this step's time, oldest first.
    fn add_prompts(&mut self) -> usize {
        let there = self.batch.n_tokens().unsigned_abs() as usize;
        let (shared, most) = (there > 0, (BATCH_TOKENS_MAX as usize).saturating_sub(there));
        let (speed, target) = if shared {
            (self.shared_prompt_speed, SHARED_STEP_TARGET)
        } else {
            (self.prompt_speed, STEP_TARGET)
        };
        let room = most.min(((speed * target.as_secs_f64()) as usize).max(1));
        let mut taken = 0;
        for sequence in self.running.values_mut().filter(|sequence| sequence.next.is_none()) {
            let tokens = &sequence.prompt.tokens;
            let mut end = tokens.len().min(sequence.position + room - taken);
            // A short rest is read at once rather than in a step of its own.
            if !shared
                && tokens.len() - end <= room / REST_SHARE
                && taken + tokens.len() - sequence.position <= most
            {
                end = tokens.len();
            }
            for at in sequence.position..end {
                let last = at + 1 == tokens.len();
                if last {
                    sequence.output = Some(self.batch.n_tokens());
                }
                add(&mut self.batch, token_of(tokens[at]), at, sequence.id, last);
            }
            taken += end - sequence.position;
            sequence.position = end;
            sequence.in_batch = true;
            if taken >= room {
                break;
            }
        }
        taken
    }

    /// Ends every sequence that was in the batch; the others are untouched.
    fn fail_batch(&mut self, message: &str, report: &mut dyn FnMut(u64, Progress)) {
        let failed: Vec<u64> = self
            .running
            .iter()
            .filter(|(_, sequence)| sequence.in_batch)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in failed {
            self.discard(stream);
            report(stream, Progress::Failed(message.to_owned()));
        }
    }

    /// Lets a stream's sequence go, without what a failed step may have left in it.
    fn discard(&mut self, stream: u64) {
        if let Some(sequence) = self.running.remove(&stream) {
            self.clear(sequence.id, 0);
            self.cache.give_back(sequence.id, Prompt::default());
        }
    }

    /// Makes a sequence hold what is known of a prompt and nothing else; returns how much that is.
    fn seat(&mut self, seat: Seat<SeqState>) -> (i32, usize) {
        let Seat { id, known, leaving, restore } = seat;
        if let Some(holds) = leaving {
            let bytes = self.context.state_seq_get_size_ext(id, LlamaStateSeqFlags::empty()) as u64;
            // Room is made before the copy, so that both never exceed the limit together.
            if self.cache.make_room(bytes)
                && let Ok(state) = self.context.state_seq_get(id, LlamaStateSeqFlags::empty())
            {
                self.cache.shelve(holds, state, bytes);
            }
        }
        let held = match restore {
            None => true,
            Some(state) => self.clear(id, 0) && self.context.state_seq_set(&state, id).is_ok(),
        };
        // Models with a recurrent state cannot forget a part of what they read.
        if held && self.clear(id, known) {
            return (id, known);
        }
        self.clear(id, 0);
        (id, 0)
    }

    /// Forgets what a sequence holds from a position on; says whether it could.
    fn clear(&mut self, id: i32, from: usize) -> bool {
        let from = u32::try_from(from).unwrap_or(u32::MAX);
        let from = (from > 0).then_some(from);
        self.context.clear_kv_cache_seq(Some(id.unsigned_abs()), from, None) == Ok(true)
    }

    /// Lets a stream's sequence go, with what it has read.
    fn forget(&mut self, stream: u64) -> bool {
        let Some(sequence) = self.running.remove(&stream) else { return false };
        let Sequence { id, mut prompt, position, .. } = sequence;
        prompt.tokens.truncate(position);
        self.cache.give_back(id, prompt);
        true
    }
}

/// Takes one chosen token into the answer; returns why it ended, if it did.
fn take(
    sequence: &mut Sequence,
    choice: Choice,
    vocab: &LlamaVocab<'_>,
    context_tokens: usize,
    report: &mut dyn FnMut(Progress),
) -> Option<FinishReason> {
    let Choice { token, logprobs, last } = choice;
    let mut answer = sequence.answer.take()?;
    if vocab.is_eog(token) {
        let (text, logprobs) = answer.finish();
        report(Progress::Delta { text, tokens: 1, logprobs });
        return Some(FinishReason::Stop);
    }
    sequence.next = Some(token);
    sequence.produced += 1;
    sequence.credit = sequence.credit.saturating_sub(1);
    answer.note(logprobs);
    let mut text = match answer.push(&vocab.token_to_piece(token, sequence.preserved.contains(&token), None))
    {
        Text::Stopped(text) => {
            report(Progress::Delta { text, tokens: 1, logprobs: Vec::new() });
            return Some(FinishReason::Stop);
        }
        Text::More(text) => text,
    };
    let full = sequence.produced >= sequence.tokens_max || sequence.position + 1 >= context_tokens;
    if full || last {
        let (rest, logprobs) = answer.finish();
        text.push_str(&rest);
        report(Progress::Delta { text, tokens: 1, logprobs });
        return Some(if last { FinishReason::Stop } else { FinishReason::Length });
    }
    report(Progress::Delta { text, tokens: 1, logprobs: answer.take_logprobs() });
    sequence.answer = Some(answer);
    None
}

fn add(batch: &mut LlamaBatch<'_>, token: LlamaToken, position: usize, sequence: i32, logits: bool) {
    let position = i32::try_from(position).unwrap_or(i32::MAX);
    // The caller never fills a batch beyond what it was made for.
    let _ = batch.add(token, position, &[sequence], logits);
}

/// The control token that is written so, if there is one.
fn control(vocab: &LlamaVocab<'_>, text: &str) -> Option<LlamaToken> {
    match vocab.tokenize(text.as_bytes(), false, true).as_slice() {
        [token] if vocab.is_control(*token) => Some(*token),
        _ => None,
    }
}

fn token_of(token: u32) -> LlamaToken {
    LlamaToken(i32::try_from(token).unwrap_or(0))
}

fn tokenize(vocab: &LlamaVocab<'_>, text: &str, add_start: bool) -> Vec<u32> {
    vocab.tokenize(text.as_bytes(), add_start, true).into_iter().map(|token| token.0.unsigned_abs()).collect()
}

/// Prefix, suffix, middle: the order that most models with such tokens were taught.
fn infill(vocab: &LlamaVocab<'_>, prefix: &str, suffix: &str) -> Option<Vec<u32>> {
    let id = |token: LlamaToken| u32::try_from(token.0).ok();
    let (before, after, middle) = (id(vocab.fim_pre())?, id(vocab.fim_suf())?, id(vocab.fim_mid())?);
    // What is typed is text here, special tokens written in it are not read.
    let plain = |text: &str| -> Vec<u32> {
        let tokens = vocab.tokenize(text.as_bytes(), false, false);
        tokens.into_iter().filter_map(id).collect()
    };
    let mut tokens: Vec<u32> =
        vocab.should_add_bos().then(|| id(vocab.bos())).flatten().into_iter().collect();
    tokens.push(before);
    tokens.extend(plain(prefix));
    tokens.push(after);
    tokens.extend(plain(suffix));
    tokens.push(middle);
    Some(tokens)
}
