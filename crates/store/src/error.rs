//! What can go wrong with the database.

use lar_base::{Code, Problem};
use rusqlite::ErrorCode;

/// A failed read or write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk is full.
    #[error("the disk that holds the database is full")]
    Full,
    /// The file or its directory cannot be written.
    #[error("the database cannot be written: its file or directory is read-only")]
    ReadOnly,
    /// A newer Lar made this database.
    #[error("the database has schema {found}, this program knows up to {known}; use the newer program")]
    Newer {
        /// The schema found.
        found: u32,
        /// The newest schema this program knows.
        known: u32,
    },
    /// A copy failed; before an upgrade, the upgrade was then not begun.
    #[error("a copy of the database could not be made or read")]
    Backup(#[source] std::io::Error),
    /// A backup is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// There is no such row, or it belongs to someone else.
    #[error("there is no {0}")]
    NotFound(String),
    /// The change contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// Another request used this `Idempotency-Key`.
    #[error("the Idempotency-Key `{0}` was used for another request; use a new one")]
    Mismatch(String),
    /// The row has changed since the caller read it.
    #[error("it is at version {found}, you named {named}")]
    Version {
        /// The version stored.
        found: i64,
        /// The version the caller expected.
        named: i64,
    },
    /// The writer has stopped.
    #[error("the database is closed")]
    Closed,
    /// Anything else SQLite reports.
    #[error("the database failed")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => Self::ReadOnly,
            _ => Self::Sqlite(error),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Full => Code::StorageFull,
            Error::Backup(cause) if cause.kind() == std::io::ErrorKind::StorageFull => Code::StorageFull,
            Error::NotFound(_) => Code::NotFound,
            Error::Conflict(_) | Error::Damaged(_) => Code::Conflict,
            Error::Mismatch(_) => Code::IdempotencyMismatch,
            Error::Version { .. } => Code::VersionMismatch,
            Error::ReadOnly | Error::Newer { .. } | Error::Backup(_) | Error::Closed => {
                Code::StoreUnavailable
            }
            Error::Sqlite(cause) => {
                tracing::error!(%cause, "the database failed");
                Code::StoreUnavailable
            }
        };
        Problem::new(code, error.to_string())
    }
}
