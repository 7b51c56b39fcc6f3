//! What can go wrong with memories.

use lar_base::{Code, Problem};

/// A failed reading or writing of memories.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] lar_store::Error),
    /// The index of a space was thrown away while it was searched.
    #[error("the index was replaced during the search; search again")]
    Index,
    /// Work on another thread panicked or was cancelled.
    #[error("{work} broke off; the log has more")]
    Aborted {
        /// What was being done.
        work: &'static str,
        /// How it ended.
        #[source]
        cause: tokio::task::JoinError,
    },
}

impl Error {
    /// What becomes of the end of `work` that was not its own.
    pub(crate) fn abort_error(work: &'static str) -> impl FnOnce(tokio::task::JoinError) -> Self {
        move |cause| {
            tracing::error!(%cause, work, "work on another thread broke off");
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
