//! The errors of engines.

use lar_base::{Code, Problem};

/// The field name in a [`Problem`] about a request's constraint. Each API replaces it with its own field.
pub const CONSTRAINT_FIELD: &str = "constraint";

/// An error of an engine or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The model cannot be loaded now or with these settings.
    #[error("the model could not be loaded: {0}")]
    Load(String),
    /// The engine died or broke the protocol.
    #[error("the engine failed: {0}")]
    Failed(String),
    /// The engine does not support this kind of work.
    #[error("{engine} cannot {operation}")]
    Unable {
        /// The engine's name for people, such as `llama-server (remote)`.
        engine: String,
        /// The operation that it does not support.
        operation: &'static str,
    },
    /// The chat template failed for these messages.
    #[error("the model's chat template cannot render these messages: {0}")]
    Template(String),
    /// The constraint on the answer cannot be expressed or is too large.
    #[error("{0}")]
    Constraint(String),
    /// The schema of a tool's arguments cannot be expressed or is too large.
    #[error("{reason}")]
    Tools {
        /// The tool: `tools[0]`, or `tools` for all tools together.
        field: String,
        /// The part that cannot be expressed.
        reason: String,
    },
    /// The engine counted a prompt that exceeds its context.
    #[error("{0}")]
    ContextTooLong(String),
    /// A prompt has more tokens than its context; counting stopped at that point.
    #[error(
        "the prompt has at least {tokens_at_least} tokens; the model's context of {context_tokens} tokens must also \
         hold the answer"
    )]
    PromptTooLong {
        /// The number of tokens so far.
        tokens_at_least: u64,
        /// The context that prompt and answer share, in tokens.
        context_tokens: u32,
    },
    /// A program that is needed does not exist.
    #[error("{0}")]
    Missing(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Load(_) => Code::PoolUnavailable,
            Error::Failed(_) => Code::EngineFailed,
            Error::Unable { .. } => Code::UnsupportedParam,
            Error::Template(_) => return Problem::invalid("messages", format!("cannot be used: {error}")),
            Error::Constraint(reason) => return Problem::invalid(CONSTRAINT_FIELD, reason),
            Error::Tools { field, reason } => {
                return Problem::invalid(field, format!("cannot be enforced: {reason}"));
            }
            Error::ContextTooLong(_) | Error::PromptTooLong { .. } => Code::ContextTooLong,
            Error::Missing(_) => Code::ComponentUnavailable,
        };
        Problem::new(code, error.to_string())
    }
}
