//! What server and worker say to each other, over the Unix socket that is the worker's standard input.
//!
//! A frame is its length (4 bytes, little endian, at most [`FRAME_BYTES_MAX`]) and a postcard body. Both
//! sides first say [`Hello`](ToWorker::Hello) with [`VERSION`]; a mismatch ends the connection. The worker
//! sends a [`FromWorker::Heartbeat`] every [`HEARTBEAT`], and text only while the stream has credit: one
//! unit per token of a [`FromWorker::Delta`], and one per [`FromWorker::Prefilling`]. End of file means the other side is
//! gone; the worker then kills itself.
//! The page `docs/reference/worker-protocol.md` tells the same for readers.

mod frame;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lar_base::KeyId;
use serde::{Deserialize, Serialize};

use crate::driver::{
    CheckedConstraint, Constraint, FinishReason, Prompt, Sampling, TokenLogprobs, TokenizerAnswer,
    TokenizerQuery,
};
use crate::template::ChatTemplate;
pub use frame::{FRAME_BYTES_MAX, body_length, decode, encode, read, write};

/// Raised with every change of the frames below.
pub const VERSION: u32 = 16;
/// How often a worker shows that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// The credit a stream starts with, in tokens.
pub const CREDIT: u32 = 64;

/// What a worker is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// Only the vocabulary: enough to count tokens.
    Vocabulary {
        /// The GGUF file.
        path: PathBuf,
        /// All files that are read: the parts of a split model, too.
        files: Vec<PathBuf>,
    },
    /// The whole model.
    Model {
        /// The GGUF file.
        path: PathBuf,
        /// All files that are read: the parts of a split model and those of the draft, too.
        files: Vec<PathBuf>,
        /// Sequences that can run at once.
        sequences: u32,
        /// Context of each, in tokens.
        context_tokens: u32,
        /// How to compute.
        compute: Compute,
        /// How to find the best number of threads; computes as told where absent.
        tuning: Option<ThreadTuning>,
        /// The GGUF file of a small model with the same vocabulary, which guesses.
        draft: Option<PathBuf>,
        /// Host memory for the states of sequences that others took the place of.
        cache_bytes: u64,
        /// Private writable memory of the process at most.
        memory_bytes_max: Option<u64>,
    },
    /// A model that makes vectors of texts, or scores pairs of them.
    Embedder {
        /// The GGUF file.
        path: PathBuf,
        /// All files that are read: the parts of a split model, too.
        files: Vec<PathBuf>,
        /// Tokens of a text that are read.
        tokens_max: u32,
        /// How to compute.
        compute: Compute,
        /// Private writable memory of the process at most.
        memory_bytes_max: Option<u64>,
    },
    /// A model of BERT's family in safetensors that makes vectors of texts, or scores pairs of them.
    Encoder(LoadEncoder),
}

/// The files of a model of BERT's family and how much of a text it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadEncoder {
    /// Whether it scores pairs, with the classifier on top of it, rather than making vectors.
    pub ranks: bool,
    /// `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `config.json`.
    pub config: PathBuf,
    /// sentence-transformers' `1_Pooling/config.json`; the mean over the tokens if absent.
    pub pooling: Option<PathBuf>,
    /// Tokens of a text that are read.
    pub tokens_max: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Private writable memory of the process at most.
    pub memory_bytes_max: Option<u64>,
}

impl Load {
    /// The file of the model's weights or vocabulary.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Load::Vocabulary { path, .. } | Load::Model { path, .. } | Load::Embedder { path, .. } => path,
            Load::Encoder(load) => &load.weights,
        }
    }

    /// Private writable memory of the process at most, where it has a limit of its own.
    #[must_use]
    pub fn memory_bytes_max(&self) -> Option<u64> {
        match self {
            Load::Vocabulary { .. } => None,
            Load::Model { memory_bytes_max, .. } | Load::Embedder { memory_bytes_max, .. } => {
                *memory_bytes_max
            }
            Load::Encoder(load) => load.memory_bytes_max,
        }
    }
}

/// How a worker computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compute {
    /// Threads that compute single tokens.
    pub threads: u32,
    /// Threads that compute prompts.
    pub threads_batch: u32,
    /// Tokens in one batch at most.
    pub batch_tokens: u32,
    /// Whether attention is computed without its matrix in memory; `None` leaves it to llama.cpp.
    pub flash_attention: Option<bool>,
    /// How what was read is kept in the context.
    pub cache_type: CacheType,
    /// Layers on GPUs; `None` is as many as llama.cpp puts there by itself.
    pub gpu_layers: Option<u32>,
    /// Whether tokens that are likely to follow are computed along while one answer is written alone.
    pub speculate: bool,
}

impl Compute {
    /// What suits a machine with so many cores where nothing was measured.
    #[must_use]
    pub fn with_threads(threads: u32) -> Self {
        Self {
            threads,
            threads_batch: threads,
            batch_tokens: 512,
            flash_attention: None,
            cache_type: CacheType::F16,
            gpu_layers: None,
            speculate: true,
        }
    }
}

/// What a worker chooses its number of threads from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadTuning {
    /// Numbers to choose from.
    pub counts: Vec<u32>,
    /// Physical cores: fewer threads are chosen only after long measuring.
    pub cores: u32,
    /// What is known of this model on this machine; measures before the first task where nothing is.
    pub known: Option<TuningResult>,
}

/// What a model computes fastest with on this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuningResult {
    /// Threads that compute single tokens.
    pub threads: u32,
    /// Threads that compute prompts.
    pub threads_batch: u32,
    /// Tokens in one batch at most.
    pub batch_tokens: u32,
    /// Microseconds of one token of one answer, once measured.
    #[serde(default)]
    pub token_micros: Option<u32>,
    /// Whether the numbers of threads held for long enough to begin with them the next time.
    #[serde(default)]
    pub settled: bool,
}

/// How the keys and values of what was read are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheType {
    /// 16 bits a number.
    #[default]
    F16,
    /// 8.5 bits a number (llama.cpp's Q8_0).
    Q8,
    /// 4.5 bits a number (llama.cpp's Q4_0).
    Q4,
}

/// A constraint of which is asked how far an answer can be held to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintCheck {
    /// The constraint.
    pub constraint: Constraint,
    /// Whether nothing of it may be dropped.
    pub strict: bool,
}

/// Frames to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first frame.
    Hello {
        /// The server's [`VERSION`].
        version: u32,
    },
    /// Load this; answered by `Loaded` or `LoadFailed`. Once per worker.
    Load(Load),
    /// Turn a prompt into tokens; answered by `Tokens`, `Counted`, `TooLong` or `TokenizeFailed` with the same id.
    /// Only a worker that holds a vocabulary does it. Templates run here rather than in the server, because what a
    /// hostile one can still do is take memory. `Cancel` with the id forgets it, unanswered.
    Tokenize {
        /// Chosen by the server.
        id: u64,
        /// A number that stands for the caller, chosen by the server, which tells the worker nothing else of them: the
        /// work of different callers takes turns.
        caller: u64,
        /// The prompt.
        prompt: Prompt,
        /// Renders `Prompt::Chat`.
        template: Option<ChatTemplate>,
        /// A prompt of more tokens is `TooLong`; only counts them where absent.
        tokens_max: Option<u32>,
    },
    /// Answer a question about the vocabulary or the template; answered by `Text` with the same id.
    Text {
        /// Chosen by the server.
        id: u64,
        /// As in `Tokenize`.
        caller: u64,
        /// The question.
        question: TokenizerQuery,
        /// Renders a chat.
        template: Option<ChatTemplate>,
    },
    /// Say how far an answer can be held to each of a request's constraints; answered by a `Checked` for each, in any
    /// order. They have a total time. `Cancel` with the id forgets those that are not answered.
    Check {
        /// Chosen by the server.
        id: u64,
        /// As in `Tokenize`.
        caller: u64,
        /// The constraints.
        constraints: Vec<ConstraintCheck>,
    },
    /// Compute the vectors of texts, or the scores of a query with each; answered by a `Vector` for each and one
    /// `Embedded`, or by `EmbedFailed`.
    Embed {
        /// Chosen by the server.
        id: u64,
        /// The query, where pairs are to be scored.
        query: Option<String>,
        /// The texts.
        texts: Vec<String>,
        /// Further texts of the same request follow.
        more: bool,
    },
    /// Start a stream; answered by deltas and exactly one of `Finished`, `Cancelled`, `Failed`. Where every sequence is
    /// taken, it waits, or a stream of another caller is paused for it.
    Generate {
        /// Chosen by the server, never used twice.
        stream: u64,
        /// Persons, and the keys of one, share the time that reading prompts takes, and the sequences where there are more
        /// streams than those.
        caller: CallerNumbers,
        /// The prompt.
        tokens: Vec<u32>,
        /// How to sample and when to stop.
        sampling: Sampling,
        /// Whose earlier prompts may save work.
        cache_of: Option<KeyId>,
    },
    /// More tokens may be sent on a stream.
    Credit {
        /// Which.
        stream: u64,
        /// How many.
        tokens: u32,
    },
    /// Stop a sequence, in prefill too; answered by its terminal frame. Or forget an `Embed`, unanswered.
    Cancel {
        /// Which.
        stream: u64,
    },
}

/// Numbers that stand for a person and one of their keys, chosen by the server, which tells the worker nothing else of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CallerNumbers {
    pub person: u64,
    pub key: u64,
}

/// Frames from the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The first frame.
    Hello {
        /// The worker's [`VERSION`].
        version: u32,
        /// The engine and its build.
        engine: String,
    },
    /// The process gave up what it does not need, before it touched the model.
    Confined {
        /// What the kernel would not hold it to, in words.
        missing: Vec<String>,
    },
    /// The model is there.
    Loaded {
        /// Its vocabulary, in tokens.
        vocabulary: u32,
        /// What was measured and is computed with, where that was asked for.
        tuned: Option<TuningResult>,
        /// Why the small model does not guess, where one was named.
        draft_refused: Option<String>,
    },
    /// The model could not be loaded; the worker ends.
    LoadFailed {
        /// Why.
        message: String,
    },
    /// The answer to `Tokenize`.
    Tokens {
        /// The id of the question.
        id: u64,
        /// The tokens.
        tokens: Vec<u32>,
        /// The last of the text that a chat was rendered to.
        tail: String,
    },
    /// The answer to `Tokenize` where only a count was asked for.
    Counted {
        /// The id of the question.
        id: u64,
        /// How many tokens the prompt has.
        tokens: u64,
    },
    /// The answer to `Tokenize` for a prompt of more tokens than were allowed.
    TooLong {
        /// The id of the question.
        id: u64,
        /// How many it has at least: counting stopped there.
        tokens_at_least: u64,
    },
    /// `Tokenize` failed: the template cannot render these messages.
    TokenizeFailed {
        /// The id of the question.
        id: u64,
        /// Why.
        message: String,
    },
    /// The answer to `Text`.
    Text {
        /// The id of the question.
        id: u64,
        /// The answer, or why there is none.
        answer: Result<TokenizerAnswer, String>,
    },
    /// The answer to one constraint of a `Check`.
    Checked {
        /// The id of the question.
        id: u64,
        /// Which constraint.
        index: u32,
        /// What of it the answer can be held to, or why it cannot be.
        outcome: Result<CheckedConstraint, String>,
    },
    /// The stream has a sequence: it is being read, or written. Comes before anything else of the stream, and again after each
    /// `Paused`.
    Started {
        /// Which stream.
        stream: u64,
    },
    /// Another stream has its sequence; it waits for one again.
    Paused {
        /// Which stream.
        stream: u64,
    },
    /// A part of the prompt is in the KV cache; only where `Sampling::reports_prefill` is set. The number grows with each
    /// report. The first comes before anything is computed, the last counts the whole prompt.
    Prefilling {
        /// Which stream.
        stream: u64,
        /// Tokens of the prompt in the KV cache, cached ones included.
        tokens: u32,
    },
    /// The prompt was read; the first token follows.
    Prefilled {
        /// Which stream.
        stream: u64,
        /// Tokens of it that were known and not read again.
        cached_tokens: u32,
    },
    /// Text was produced. It may be empty while bytes or a possible stop string are held back.
    Delta {
        /// Which stream.
        stream: u64,
        /// Whole characters.
        text: String,
        /// Tokens this stands for; none where it tells of the prompt's.
        tokens: u32,
        /// Of tokens whose text is told, where they were asked for.
        logprobs: Vec<TokenLogprobs>,
    },
    /// The sequence came to its end.
    Finished {
        /// Which stream.
        stream: u64,
        /// Why.
        reason: FinishReason,
        /// Tokens that were computed on the chance that they follow.
        drafted: u32,
        /// Of them, those that did.
        accepted: u32,
        /// Sequences that still run, by the worker's own count.
        active: u32,
    },
    /// The sequence was stopped as asked.
    Cancelled {
        /// Which stream.
        stream: u64,
        /// Sequences that still run, by the worker's own count.
        active: u32,
    },
    /// The sequence failed; others go on.
    Failed {
        /// Which stream.
        stream: u64,
        /// Why.
        message: String,
        /// Whether what the answer is held to is at fault.
        constraint: bool,
        /// Sequences that still run, by the worker's own count.
        active: u32,
    },
    /// The vector, or the scores, of one text of an `Embed`.
    Vector {
        /// The id of the question.
        id: u64,
        /// Which text.
        index: u32,
        /// A vector, or scores, as the model computes them.
        values: Vec<f32>,
    },
    /// All texts of an `Embed` have their vectors.
    Embedded {
        /// The id of the question.
        id: u64,
        /// Tokens that were read in all.
        tokens: u64,
        /// Texts that were longer than the model reads.
        truncated: Vec<u32>,
    },
    /// An `Embed` failed.
    EmbedFailed {
        /// The id of the question.
        id: u64,
        /// Why.
        message: String,
    },
    /// What the worker computes with changed, by what it measured while it worked.
    TuningResult(TuningResult),
    /// Still there.
    Heartbeat {
        /// Sequences that run, by the worker's own count.
        active: u32,
        /// For how long the current step has been computing, milliseconds; 0 when idle.
        step_ms: u64,
    },
}
