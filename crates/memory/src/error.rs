//! The errors of memory operations.

use lar_base::{Code, Problem};

/// The error of a memory operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] lar_store::Error),
    /// The index of a space was dropped during a search.
    #[error("the index was replaced during the search; search again")]
    Index,
    /// Work on another thread panicked or was cancelled.
    #[error("{work} failed; the log has the details")]
    Aborted {
        /// The work, as a noun phrase.
        work: &'static str,
        /// The panic or cancellation.
        #[source]
        cause: tokio::task::JoinError,
    },
}

impl Error {
    /// Returns a function that logs the failed join of `work` and converts it into an error.
    pub(crate) fn abort_error(work: &'static str) -> impl FnOnce(tokio::task::JoinError) -> Self {
        move |cause| {
            tracing::error!(%cause, work, "a memory operation panicked or was cancelled");
            Self::Aborted { work, cause }
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Index | Error::Aborted { .. } => Problem::new(Code::Internal, error.to_string()),
        }
    }
}
