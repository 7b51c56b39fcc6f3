//! The interface between the computing thread and the models: commands in, [`Progress`] out.
//!
//! A backend knows nothing of sockets and threads. `compute` calls it; `generate`, `embed` and
//! `llama` implement it.

use lar_inference::protocol::{CallerNumbers, FromWorker, TuningResult};
use lar_inference::{FinishReason, Sampling, TokenLogprobs};

use super::llama_cpp::Vocab;
use super::prefix_cache::PromptTokens;

/// The progress of one stream or request.
#[derive(Debug)]
pub(super) enum Progress {
    /// The stream got a sequence.
    Started,
    /// The stream lost its sequence to another stream.
    Paused,
    /// This many tokens of the prompt are in the KV cache.
    Prefilling { tokens: u32 },
    /// The prompt is in the KV cache; this many of its tokens were there before.
    Prefilled { cached_tokens: u32 },
    /// More text of the answer, and the number of its tokens.
    Delta { text: String, tokens: u32, logprobs: Vec<TokenLogprobs> },
    /// The answer ended. Counts the draft tokens, and the accepted ones.
    Finished { reason: FinishReason, drafted: u32, accepted: u32 },
    /// The stream ended with this error.
    Failed(String),
    /// The constraint allows no next token, or takes too long.
    ConstraintFailed(String),
    /// The vector or the scores of one text of a request.
    Vector { index: u32, values: Vec<f32> },
    /// All texts of a request have their vectors or scores.
    Embedded { tokens: u64, truncated: Vec<u32> },
    /// The request ended with this error.
    EmbedFailed(String),
    /// The number of threads changed; belongs to no stream.
    TuningResult(TuningResult),
}

impl Progress {
    /// Makes the frame for the server. `active` is the number of streams that remain.
    pub(super) fn frame(self, id: u64, active: u32) -> FromWorker {
        match self {
            Progress::Started => FromWorker::Started { stream: id },
            Progress::Paused => FromWorker::Paused { stream: id },
            Progress::Prefilling { tokens } => FromWorker::Prefilling { stream: id, tokens },
            Progress::Prefilled { cached_tokens } => FromWorker::Prefilled { stream: id, cached_tokens },
            Progress::Delta { text, tokens, logprobs } => {
                FromWorker::Delta { stream: id, text, tokens, logprobs }
            }
            Progress::Finished { reason, drafted, accepted } => {
                FromWorker::Finished { stream: id, reason, drafted, accepted, active }
            }
            Progress::Failed(message) => {
                FromWorker::Failed { stream: id, message, constraint: false, active }
            }
            Progress::ConstraintFailed(message) => {
                FromWorker::Failed { stream: id, message, constraint: true, active }
            }
            Progress::Vector { index, values } => FromWorker::Vector { id, index, values },
            Progress::Embedded { tokens, truncated } => FromWorker::Embedded { id, tokens, truncated },
            Progress::EmbedFailed(message) => FromWorker::EmbedFailed { id, message },
            Progress::TuningResult(tuned) => FromWorker::TuningResult(tuned),
        }
    }
}

/// A request for a stream.
pub(super) struct StreamRequest {
    /// The user and key that sent it.
    pub(super) caller: CallerNumbers,
    pub(super) prompt: PromptTokens,
    pub(super) sampling: Sampling,
}

/// An engine on its own thread: small, synchronous, and independent of processes and frames.
pub(super) trait Backend {
    /// Returns the model's vocabulary.
    fn vocab(&self) -> Vocab<'_>;
    /// Accepts a stream. An error is the final report of this stream and affects no other.
    fn start(&mut self, _stream: u64, _request: StreamRequest) -> Result<(), Progress> {
        Err(Progress::Failed("this worker does not generate".into()))
    }
    /// Accepts texts, or pairs of `query` and each text. `more` says that further texts of the request
    /// follow. The results come in steps. An error is final for this request and affects no other.
    fn embed(
        &mut self,
        _id: u64,
        _query: Option<&str>,
        _texts: &[String],
        _more: bool,
        _report: &mut dyn FnMut(u64, Progress),
    ) -> Result<(), String> {
        Err("this worker does not compute embeddings".into())
    }
    /// Lets a stream produce this many more tokens.
    fn credit(&mut self, _stream: u64, _tokens: u32) {}
    /// Drops a stream or a request. Returns whether a stream was dropped.
    fn cancel(&mut self, _id: u64) -> bool {
        false
    }
    /// Returns the number of streams and requests.
    fn active(&self) -> u32 {
        0
    }
    /// Returns whether a step would compute anything.
    fn has_work(&self) -> bool {
        false
    }
    /// Returns whether the passing of time alone can create work.
    fn waits(&self) -> bool {
        false
    }
    /// Computes one step and reports its results. A step takes at most half a second if the hardware allows
    /// it, and may be interrupted.
    fn step(&mut self, _report: &mut dyn FnMut(u64, Progress)) {}
}
