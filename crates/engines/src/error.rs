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
    #[error("{engine} cannot {wanted}")]
    Unable {
        /// The engine's name.
        engine: String,
        /// What was asked.
        wanted: &'static str,
    },
    /// The chat template failed on these messages.
    #[error("the model's chat template cannot render these messages: {0}")]
    Template(String),
    /// The constraint on the answer cannot be expressed, or is too large.
    #[error("{0}")]
    Constraint(String),
    /// The engine counted a prompt beyond its context.
    #[error("the prompt does not fit the model's context: {0}")]
    ContextTooLong(String),
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
            Error::ContextTooLong(_) => Code::ContextTooLong,
            Error::Missing(_) => Code::ComponentUnavailable,
        };
        Problem::new(code, error.to_string())
    }
}
