//! The protocol between the server and a worker, over the Unix socket that is the worker's standard input.
//!
//! A frame is its length (4 bytes, little endian, at most [`FRAME_BYTES_MAX`]) and a postcard body. Both
//! sides start with [`Hello`](ToWorker::Hello) and [`VERSION`]; a mismatch ends the connection. The worker
//! sends a [`FromWorker::Heartbeat`] every [`HEARTBEAT`]. It sends output of a stream only while the stream
//! has credit: one unit per token of a [`FromWorker::Delta`], and one per [`FromWorker::Prefilling`]. At end
//! of file the other side has ended, and the worker kills itself. `docs/reference/worker-protocol.md`
//! describes the protocol for readers.

mod frame;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lar_base::KeyId;
use serde::{Deserialize, Serialize};

use crate::ChatTemplate;
use crate::{
    CheckedConstraint, Constraint, FinishReason, Prompt, Sampling, TokenLogprobs, TokenizerAnswer,
    TokenizerQuery,
};
pub use frame::{FRAME_BYTES_MAX, body_length, decode, encode, read, write};

/// The version of the protocol, raised with every change of the frames below.
pub const VERSION: u32 = 16;
/// The interval of a worker's heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// The bytes of a rendered chat's end that the worker reports with its tokens.
pub const TAIL_BYTES: usize = 64;
/// The credit with which a stream starts, in tokens.
pub const CREDIT: u32 = 64;

/// The model that a worker loads, with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// Only the vocabulary, to tokenize and count.
    Vocabulary {
        /// The path of the GGUF file.
        path: PathBuf,
        /// All files to read, including the parts of a split model.
        files: Vec<PathBuf>,
    },
    /// A model that generates text, with an optional draft model.
    Model {
        /// The path of the GGUF file.
        path: PathBuf,
        /// All files to read, including the parts of a split model and of the draft model.
        files: Vec<PathBuf>,
        /// The number of sequences that can run at the same time.
        sequences: u32,
        /// The context size of each sequence, in tokens.
        context_tokens: u32,
        /// The threads, batches and number formats of the computation.
        compute: Compute,
        /// How to find the best number of threads; `None` uses `compute` as it is.
        tuning: Option<ThreadTuning>,
        /// The path of the GGUF file of a small draft model with the same vocabulary.
        draft: Option<PathBuf>,
        /// The host memory for KV caches that were evicted from their sequence, in bytes; 0 turns it off.
        cache_bytes: u64,
        /// The limit of the process's private writable memory, in bytes; `None` is no limit.
        memory_bytes_max: Option<u64>,
    },
    /// A GGUF model that computes embeddings or scores pairs of texts.
    Embedder {
        /// The path of the GGUF file.
        path: PathBuf,
        /// All files to read, including the parts of a split model.
        files: Vec<PathBuf>,
        /// The maximum number of tokens of a text. The rest of a longer text is not read.
        tokens_max: u32,
        /// The threads, batches and number formats of the computation.
        compute: Compute,
        /// The limit of the process's private writable memory, in bytes; `None` is no limit.
        memory_bytes_max: Option<u64>,
    },
    /// A BERT model in safetensors format that computes embeddings or scores pairs of texts.
    Encoder(LoadEncoder),
}

/// The files of a BERT model, and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadEncoder {
    /// Whether the model scores pairs with its classifier head. Otherwise it computes embeddings.
    pub ranks: bool,
    /// The path of the model's `model.safetensors`, which is mapped into memory.
    pub weights: PathBuf,
    /// The path of Hugging Face's `tokenizer.json`, which has the vocabulary.
    pub tokenizer: PathBuf,
    /// The path of the model's `config.json`, which has the sizes of its layers.
    pub config: PathBuf,
    /// The path of sentence-transformers' `1_Pooling/config.json`; with `None`, the mean over the tokens.
    pub pooling: Option<PathBuf>,
    /// The maximum number of tokens of a text. The rest of a longer text is not read.
    pub tokens_max: u32,
    /// The number of threads that compute, at least 1.
    pub threads: u32,
    /// The limit of the process's private writable memory, in bytes; `None` is no limit.
    pub memory_bytes_max: Option<u64>,
}

impl Load {
    /// Returns the file of the model's weights or vocabulary.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Load::Vocabulary { path, .. } | Load::Model { path, .. } | Load::Embedder { path, .. } => path,
            Load::Encoder(load) => &load.weights,
        }
    }

    /// Returns the limit of the process's private writable memory, if it has its own.
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
    /// The number of threads that decode, at least 1.
    pub threads: u32,
    /// The number of threads that prefill, at least 1.
    pub threads_batch: u32,
    /// The maximum number of tokens in one batch.
    pub batch_tokens: u32,
    /// Whether to use flash attention; `None` lets llama.cpp choose.
    pub flash_attention: Option<bool>,
    /// The number format of the KV cache.
    pub cache_type: CacheType,
    /// The number of layers on GPUs; `None` lets llama.cpp choose.
    pub gpu_layers: Option<u32>,
    /// Whether to use speculative decoding while only one sequence runs.
    pub speculate: bool,
}

impl Compute {
    /// Returns defaults for a machine with this many cores, before any measurement.
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

/// The choices for the worker's number of threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadTuning {
    /// The numbers of threads to measure.
    pub counts: Vec<u32>,
    /// The number of physical cores; fewer threads are chosen only after long measuring.
    pub cores: u32,
    /// The known result for this model on this machine; with `None`, the worker measures before the first
    /// task.
    pub known: Option<TuningResult>,
}

/// The settings with which a model computes fastest on this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuningResult {
    /// The fastest number of threads for decoding.
    pub threads: u32,
    /// The fastest number of threads for prefill.
    pub threads_batch: u32,
    /// The fastest maximum number of tokens in one batch.
    pub batch_tokens: u32,
    /// The microseconds of a single token, once measured.
    #[serde(default)]
    pub token_micros: Option<u32>,
    /// Whether the thread counts stayed the fastest for long enough to start with them the next time.
    #[serde(default)]
    pub settled: bool,
}

/// The number format of the KV cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheType {
    /// Uses 16 bits per number.
    #[default]
    F16,
    /// Uses 8.5 bits per number (llama.cpp's Q8_0).
    Q8,
    /// Uses 4.5 bits per number (llama.cpp's Q4_0).
    Q4,
}

/// A constraint to check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintCheck {
    /// The constraint on the answer or on a tool's arguments.
    pub constraint: Constraint,
    /// Whether every keyword must be enforced.
    pub strict: bool,
}

/// Frames to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first frame, in which the server names its version.
    Hello {
        /// The server's [`VERSION`].
        version: u32,
    },
    /// Load this; answered by `Loaded` or `LoadFailed`. Sent once per worker.
    Load(Load),
    /// Tokenize a prompt; answered by `Tokens`, `Counted`, `TooLong` or `TokenizeFailed` with the same id.
    /// Only a vocabulary worker does this. Templates are rendered here and not in the server, because a
    /// hostile template can still allocate memory. `Cancel` with the id drops the request without an answer.
    Tokenize {
        /// The id of the call, chosen by the server and never used twice.
        id: u64,
        /// A number that identifies the caller; the worker learns nothing else about it. Callers take turns.
        caller: u64,
        /// The prompt, before the chat template is applied.
        prompt: Prompt,
        /// The model's chat template; required by [`Prompt::Chat`], unused by other prompts.
        template: Option<ChatTemplate>,
        /// The most tokens; a longer prompt is `TooLong`. With `None`, only the number of tokens is returned.
        tokens_max: Option<u32>,
    },
    /// Answer a query about the vocabulary or the template; answered by `Text` with the same id.
    Text {
        /// The id of the call, chosen by the server and never used twice.
        id: u64,
        /// The same as in `Tokenize`.
        caller: u64,
        /// The query to answer from the vocabulary or the template.
        query: TokenizerQuery,
        /// The model's chat template; required by [`TokenizerQuery::Render`].
        template: Option<ChatTemplate>,
    },
    /// Check how much of each constraint of a request can be applied; answered by a `Checked` for each, in
    /// any order. All of them share a time limit. `Cancel` with the id drops the checks without an answer
    /// yet.
    Check {
        /// The id of the call, chosen by the server and never used twice.
        id: u64,
        /// The same as in `Tokenize`.
        caller: u64,
        /// The constraints; `Checked` refers to them by their index.
        constraints: Vec<ConstraintCheck>,
    },
    /// Compute the embeddings of texts, or their scores for a query; answered by a `Vector` for each and one
    /// `Embedded`, or by `EmbedFailed`.
    Embed {
        /// The id of the call, chosen by the server and never used twice.
        id: u64,
        /// The query, to score pairs.
        query: Option<String>,
        /// The texts of this frame, in order.
        texts: Vec<String>,
        /// Whether further texts of the same request follow.
        more: bool,
    },
    /// Start a stream; answered by deltas and exactly one of `Finished`, `Cancelled`, `Failed`. If no
    /// sequence is free, the stream waits, or another caller's stream is paused for it.
    Generate {
        /// The id of the stream, chosen by the server and never used twice.
        stream: u64,
        /// The caller. Users, and the keys of one user, share the prefill time, and the sequences if there
        /// are more streams than sequences.
        caller: CallerNumbers,
        /// The tokens of the prepared prompt.
        tokens: Vec<u32>,
        /// The sampling parameters and limits.
        sampling: Sampling,
        /// The owner of the cached prefixes that the stream may reuse.
        cache_of: Option<KeyId>,
    },
    /// Allow a stream to send more tokens.
    Credit {
        /// The id of the stream, from its `Generate`.
        stream: u64,
        /// The number of tokens that the stream may send beyond its current credit.
        tokens: u32,
    },
    /// Stop a stream, also during prefill; answered by its terminal frame. Or drop another request by its id,
    /// without an answer.
    Cancel {
        /// The stream, or the id of the request.
        stream: u64,
    },
}

/// Numbers that identify a user and one of their keys, chosen by the server; the worker learns nothing else
/// about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallerNumbers {
    /// The number of the user who owns the key. It differs from one worker process to the next.
    pub person: u64,
    /// The number of the API key. All requests of Lar itself have one number.
    pub key: u64,
}

/// Frames from the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The first frame, in which the worker names its version.
    Hello {
        /// The [`VERSION`] that the worker was built with. The server refuses any other than its own.
        version: u32,
        /// The name of the engine, such as `llama.cpp (embedded)`.
        engine: String,
    },
    /// The process has confined itself, before it opens the model.
    Confined {
        /// The parts of the confinement that the kernel does not support, in words.
        missing: Vec<String>,
    },
    /// The model is in memory, and the worker accepts requests.
    Loaded {
        /// The size of its vocabulary, in tokens.
        vocabulary: u32,
        /// The measured settings, if `tuning` was requested.
        tuned: Option<TuningResult>,
        /// The reason why the draft model is not used, if one was named.
        draft_refused: Option<String>,
    },
    /// The model could not be loaded; the worker ends.
    LoadFailed {
        /// The reason, in words.
        message: String,
    },
    /// The answer to `Tokenize`.
    Tokens {
        /// The id of the `Tokenize`.
        id: u64,
        /// The tokens of the whole prompt.
        tokens: Vec<u32>,
        /// The end of the text that a chat was rendered to.
        tail: String,
    },
    /// The answer to `Tokenize` without a `tokens_max`.
    Counted {
        /// The id of the `Tokenize`.
        id: u64,
        /// The number of tokens of the prompt.
        tokens: u64,
    },
    /// The answer to `Tokenize` for a prompt with too many tokens.
    TooLong {
        /// The id of the `Tokenize`.
        id: u64,
        /// The fewest tokens that it has; counting stopped there.
        tokens_at_least: u64,
    },
    /// `Tokenize` failed: the template cannot render these messages.
    TokenizeFailed {
        /// The id of the `Tokenize`.
        id: u64,
        /// The reason, in words.
        message: String,
    },
    /// The result of a query, which `Text` sent.
    Text {
        /// The id of the `Text`.
        id: u64,
        /// The answer, or the reason why there is none.
        answer: Result<TokenizerAnswer, String>,
    },
    /// The outcome of one constraint of a `Check`.
    Checked {
        /// The id of the `Check`.
        id: u64,
        /// The index of the constraint in the `Check`, from 0.
        index: u32,
        /// The part of the constraint that can be applied, or the reason why none can.
        outcome: Result<CheckedConstraint, String>,
    },
    /// The stream has a sequence. Sent before any other frame of the stream, and again after each `Paused`.
    Started {
        /// The id of the stream, from its `Generate`.
        stream: u64,
    },
    /// The stream lost its sequence to another stream and waits for one.
    Paused {
        /// The id of the stream, from its `Generate`.
        stream: u64,
    },
    /// A part of the prompt is in the KV cache; sent only if `Sampling::reports_prefill` is set. The number
    /// grows with each report. The first report comes before any computation, and the last counts the whole
    /// prompt.
    Prefilling {
        /// The id of the stream, from its `Generate`.
        stream: u64,
        /// The number of prompt tokens in the KV cache, including cached ones.
        tokens: u32,
    },
    /// The prefill is complete; the first token follows.
    Prefilled {
        /// The id of the stream, from its `Generate`.
        stream: u64,
        /// The number of prompt tokens found in the prefix cache.
        cached_tokens: u32,
    },
    /// New text. It may be empty while a partial character or a possible stop text is buffered.
    Delta {
        /// The id of the stream, from its `Generate`.
        stream: u64,
        /// Whole characters.
        text: String,
        /// The number of tokens in this frame; 0 if it reports logprobs of the prompt.
        tokens: u32,
        /// The logprobs of the tokens whose text was emitted, if requested.
        logprobs: Vec<TokenLogprobs>,
    },
    /// The answer is complete.
    Finished {
        /// The id of the stream, from its `Generate`. It is not used again.
        stream: u64,
        /// The reason why it ended.
        reason: FinishReason,
        /// The number of draft tokens computed.
        drafted: u32,
        /// The number of draft tokens accepted.
        accepted: u32,
        /// The number of streams that remain, by the worker's own count.
        active: u32,
    },
    /// A `Cancel` stopped the stream; no frame of it follows.
    Cancelled {
        /// The id of the stream, from its `Generate`. It is not used again.
        stream: u64,
        /// The number of streams that remain, by the worker's own count.
        active: u32,
    },
    /// The stream failed; others continue.
    Failed {
        /// The id of the stream, from its `Generate`. It is not used again.
        stream: u64,
        /// The reason, in words.
        message: String,
        /// Whether the constraint is the cause.
        constraint: bool,
        /// The number of streams that remain, by the worker's own count.
        active: u32,
    },
    /// The vector or the scores of one text of an `Embed`.
    Vector {
        /// The id of the `Embed`.
        id: u64,
        /// The index of the text among all texts of the request, from 0.
        index: u32,
        /// The vector or scores, as the model computed them.
        values: Vec<f32>,
    },
    /// All texts of an `Embed` are complete.
    Embedded {
        /// The id of the `Embed`.
        id: u64,
        /// The total number of tokens read.
        tokens: u64,
        /// The indexes of texts that were longer than the model reads.
        truncated: Vec<u32>,
    },
    /// An `Embed` failed; none of its texts counts.
    EmbedFailed {
        /// The id of the `Embed`.
        id: u64,
        /// The reason, in words.
        message: String,
    },
    /// The settings with which the worker computes changed, because of its measurements.
    TuningResult(TuningResult),
    /// A sign of life, sent every [`HEARTBEAT`] also while the worker computes.
    Heartbeat {
        /// The number of streams, by the worker's own count.
        active: u32,
        /// How long the current step has been computing, in milliseconds; 0 when idle.
        step_ms: u64,
    },
}
