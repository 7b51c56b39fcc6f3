//! The events of a generation, from prefill to its end.

use serde::{Deserialize, Serialize};

use crate::{Error, TokenLogprobs};

/// The reason why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// The model ended it, or a stop text did and the engine does not report which.
    Stop,
    /// A stop text ended it: its index in [`Sampling::stop`](crate::Sampling::stop).
    StopText(usize),
    /// It reached the token limit or the end of the context.
    Length,
    /// The model ended it with tool calls. Engines do not report this; the output parser finds it.
    ToolCalls,
}

impl FinishReason {
    /// Returns OpenAI's `finish_reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop | FinishReason::StopText(_) => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
        }
    }
}

/// An event of a generation. Exactly one event, the last, is terminal ([`Event::is_terminal`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A part of the prompt is in the KV cache. Sent only if
    /// [`Sampling::reports_prefill`](crate::Sampling::reports_prefill) is set. The number grows with each
    /// report: the first comes before any computation and counts the cached tokens, the last counts the whole
    /// prompt.
    Prefilling {
        /// The number of prompt tokens in the KV cache, cached ones included.
        tokens: u32,
    },
    /// The whole prompt is in the KV cache.
    Prefilled {
        /// Prompt tokens that the prefix cache had, if the engine reports them.
        cached_tokens: u32,
    },
    /// The engine's own count of the prompt's tokens.
    Counted {
        /// The number of tokens; it replaces any earlier estimate.
        tokens: u32,
    },
    /// The counts of speculative decoding.
    Speculated {
        /// The number of draft tokens that were computed.
        tokens: u32,
        /// The number of them that were accepted.
        accepted: u32,
    },
    /// Text. It may be empty while a partial character or a possible stop text is buffered.
    Delta {
        /// Whole characters.
        text: String,
        /// Tokens that this event counts; 0 if it reports logprobs of the prompt.
        tokens: u32,
        /// Logprobs of tokens, if requested; they come with the last part of the token's text.
        logprobs: Vec<TokenLogprobs>,
    },
    /// The answer is complete.
    Finished(FinishReason),
    /// The engine confirmed the cancellation.
    Cancelled,
    /// The engine failed and does no more work on the request.
    Failed(Error),
}

impl Event {
    /// Returns whether no event follows.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Event::Finished(_) | Event::Cancelled | Event::Failed(_))
    }
}
