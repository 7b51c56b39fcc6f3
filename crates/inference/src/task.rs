//! The events of a task, from its queue position to its end, and its priority.
//!
//! The gateway makes them for every use of a model; the codecs of each API turn them into frames.

use std::sync::Arc;

use lar_base::{Code, Problem};

use crate::{CallPart, Embeddings, FinishReason, Ranking, TokenLogprobs};

/// The priority of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// A person waits for the answer.
    Interactive,
    /// Background work: it starts when a slot is free, or when it has waited long enough.
    Batch,
}

impl Priority {
    /// Returns the name in APIs, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Interactive => "interactive",
            Priority::Batch => "batch",
        }
    }
}

/// The reason why a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// The engine is loading the model.
    Loading,
    /// Other models that are in use fill the memory.
    Memory,
    /// Other tasks are ahead of it.
    Busy,
}

/// An event of a task. Exactly one event, the last, is terminal ([`TaskEvent::is_terminal`]).
#[derive(Debug, Clone, PartialEq)]
pub enum TaskEvent {
    /// The task waits in a queue. Sent again for each new position.
    Queued {
        /// The number of tasks that start before it.
        position: usize,
        /// The estimated milliseconds until it starts.
        predicted_start_ms: u64,
        /// Why the task has not started: its model loads, memory is short, or others are ahead.
        wait_reason: WaitReason,
    },
    /// An engine works on the task.
    Started {
        /// The pool, which has the model's name.
        pool: String,
        /// The engine, such as `llama.cpp (embedded)`.
        engine: String,
        /// The digest of the model's weights; empty if a remote engine does not report it.
        model_digest: String,
    },
    /// A part of the prompt is in the KV cache; sent only if
    /// [`Sampling::reports_prefill`](crate::Sampling::reports_prefill) is set.
    Prefilling(PrefillProgress),
    /// The next piece of the answer's text.
    Token {
        /// Whole characters; may be empty.
        text: Arc<str>,
        /// Tokens generated so far; 0 if the event reports logprobs of the prompt.
        index: u64,
        /// Logprobs of tokens, if requested; they come with the last part of the token's text.
        logprobs: Arc<[TokenLogprobs]>,
    },
    /// The next piece of the reasoning.
    Reasoning {
        /// Whole characters; never part of the answer's text.
        text: Arc<str>,
        /// Tokens generated so far.
        index: u64,
    },
    /// A piece of a tool call.
    Call(CallPart),
    /// The embeddings of a request's texts.
    Vectors(Arc<Embeddings>),
    /// The scores of a request's texts.
    Scores(Arc<Ranking>),
    /// The answer is complete.
    End(TaskSummary),
    /// The task failed, for the reason that the problem reports.
    Error(Problem),
    /// The caller cancelled the task, or Lar did because its readers disconnected.
    Cancelled,
}

impl TaskEvent {
    /// Returns whether no event follows.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, TaskEvent::End(_) | TaskEvent::Error(_) | TaskEvent::Cancelled)
    }
}

/// Returns the error that a cancelled task is in an API that knows only answers and errors.
#[must_use]
pub fn cancelled_problem() -> Problem {
    Problem::new(Code::Cancelled, "the task was cancelled")
}

/// Returns the error of a task whose events stopped before its end.
#[must_use]
pub fn stopped_problem() -> Problem {
    Problem::new(Code::EngineFailed, "the task was stopped")
}

/// The progress of a task's prefill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefillProgress {
    /// The number of prompt tokens.
    pub total: u64,
    /// Prompt tokens found in the prefix cache.
    pub cached: u64,
    /// Prompt tokens in the KV cache, cached ones included; it grows with each report, up to `total`.
    pub processed: u64,
    /// Milliseconds since the start of the prefill.
    pub elapsed_ms: u64,
}

/// The tokens and times of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSummary {
    /// The reason why the answer ended.
    pub reason: FinishReason,
    /// The number of prompt tokens, cached ones included.
    pub tokens_in: u64,
    /// Prompt tokens found in the prefix cache.
    pub tokens_cached: u64,
    /// The number of generated tokens, those of reasoning and tool calls included.
    pub tokens_out: u64,
    /// Milliseconds from admission to dispatch.
    pub queue_ms: u64,
    /// Milliseconds from admission to the first token.
    pub ttft_ms: u64,
    /// Milliseconds from the first token to the end.
    pub decode_ms: u64,
}
