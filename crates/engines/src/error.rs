//! What can go wrong with an engine.

use lar_base::{Code, Problem};

/// What a [`Problem`] about a job's constraint calls it; each API has a field of its own for it.
pub const CONSTRAINT_FIELD: &str = "constraint";

/// A failure of an engine or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The model cannot be loaded, now or with these settings.
    #[error("the model could not be loaded: {0}")]
    Load(String),
    /// The engine died or broke the protocol.
    #[error("the engine failed: {0}")]
    Failed(String),
    /// The engine does not do this kind of work.
    #[error("{engine} cannot {operation}")]
    Unable {
        /// The engine's name.
        engine: String,
        /// What was asked.
        operation: &'static str,
    },
    /// The chat template failed on these messages.
    #[error("the model's chat template cannot render these messages: {0}")]
    Template(String),
    /// The constraint on the answer cannot be expressed, or is too large.
    #[error("{0}")]
    Constraint(String),
    /// The schema of a tool's arguments cannot be expressed, or is too large.
    #[error("{reason}")]
    Tools {
        /// Which: `tools[0]`, or `tools` where it is all of them together.
        field: String,
        /// What cannot be expressed.
        reason: String,
    },
    /// The engine counted a prompt beyond its context.
    #[error("{0}")]
    ContextTooLong(String),
    /// A prompt has more tokens than its context; counting stopped where that was sure.
    #[error(
        "the prompt has at least {tokens_at_least} tokens; the model has a context of {context_tokens}, which the answer \
         needs a part of"
    )]
    PromptTooLong {
        /// How many it has at least.
        tokens_at_least: u64,
        /// How many prompt and answer may have together.
        context_tokens: u32,
    },
    /// A program that is needed is not there.
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
                return Problem::invalid(field, format!("cannot be kept to: {reason}"));
            }
            Error::ContextTooLong(_) | Error::PromptTooLong { .. } => Code::ContextTooLong,
            Error::Missing(_) => Code::ComponentUnavailable,
        };
        Problem::new(code, error.to_string())
    }
}
