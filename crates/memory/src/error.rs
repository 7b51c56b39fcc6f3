//! What can go wrong with memories.

use lar_base::{Code, Problem};

/// A failed reading or writing of memories.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] lar_store::Error),
    /// A search broke off.
    #[error("the search broke off; it is in the log")]
    Index,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Index => Problem::new(Code::Internal, error.to_string()),
        }
    }
}
