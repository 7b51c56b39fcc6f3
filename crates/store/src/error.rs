//! What can go wrong with the database.

use std::io;
use std::path::{Path, PathBuf};

use lar_base::files::{NoRoom, is_disk_full};
use lar_base::{Bytes, Code, Problem};
use rusqlite::ErrorCode;
use rustix::process::{Resource, getrlimit};

use crate::beside;

/// Faults of a damaged database that its error names at most.
const FAULTS_NAMED_MAX: usize = 3;

/// A failed read or write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk is full, or a file has the size that this process may make it.
    #[error("{} cannot be written: {}", name(path), no_room(*why, file_size_limit()))]
    Full {
        /// The database, or the file beside it that had no room; where it is known.
        path: Option<PathBuf>,
        /// What the system said; none where SQLite wrote, which does not say.
        why: Option<NoRoom>,
    },
    /// The file or its directory cannot be written.
    #[error("{} cannot be written: the file or its directory is read-only", name(path))]
    ReadOnly {
        /// The database, where it is known.
        path: Option<PathBuf>,
    },
    /// The database file cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The database, or a file beside it, is nothing that SQLite opens there, or lies where SQLite does not look.
    #[error("{} {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
        /// What to do about it.
        step: String,
    },
    /// The database file or its write-ahead log is damaged.
    #[error("{} is damaged ({})", name(path), named(faults))]
    Corrupt {
        /// The database, where it is known.
        path: Option<PathBuf>,
        /// What is wrong: what SQLite found, or where the write-ahead log is damaged.
        faults: Vec<String>,
    },
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
    Backup(#[source] io::Error),
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
    /// A value could not be written as JSON.
    #[error("a value could not be stored as JSON")]
    Json(#[from] serde_json::Error),
    /// A query or change panicked. It changed nothing; the log has the message.
    #[error("a query panicked and changed nothing; the log has more")]
    Panicked,
    /// The writer has stopped.
    #[error("the database is closed")]
    Closed,
    /// Anything else SQLite reports.
    #[error("{} cannot be read or written", name(path))]
    Sqlite {
        /// The database, where it is known.
        path: Option<PathBuf>,
        /// What SQLite says.
        #[source]
        cause: rusqlite::Error,
    },
}

impl Error {
    /// The same error, naming the database it is about.
    #[must_use]
    pub(crate) fn at(self, database: &Path) -> Self {
        let path = || Some(database.to_owned());
        match self {
            Self::Full { path: None, why } => Self::Full { path: path(), why },
            Self::ReadOnly { path: None } => Self::ReadOnly { path: path() },
            Self::Corrupt { path: None, faults } => Self::Corrupt { path: path(), faults },
            Self::Sqlite { path: None, cause } if is_shared_memory_full(&cause) => {
                Self::Full { path: Some(beside(database, "-shm")), why: None }
            }
            Self::Sqlite { path: None, cause } => Self::Sqlite { path: path(), cause },
            other => other,
        }
    }

    /// Whether the disk has no room: for the database, or for the file that its write-ahead log is shared by.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Sqlite { cause, .. } => is_shared_memory_full(cause),
            _ => false,
        }
    }

    /// Whether a row or page could not be read because it is damaged, so that others may still be read.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Sqlite { cause, .. } => is_bad_value(cause),
            _ => false,
        }
    }
}

/// How large this process may make a file; none where it may make it as large as it likes.
fn file_size_limit() -> Option<Bytes> {
    getrlimit(Resource::Fsize).current.map(Bytes)
}

fn no_room(why: Option<NoRoom>, file_size_limit: Option<Bytes>) -> String {
    match (why, file_size_limit) {
        (Some(why), _) => why.to_string(),
        (None, None) => NoRoom::DiskFull.to_string(),
        (None, Some(limit)) => format!(
            "its disk is full, or it would be larger than the {limit} that this process may make a file; make room there, or \
             raise that limit (`ulimit -f`)"
        ),
    }
}

/// Whether a column holds what its table never holds.
pub(crate) fn is_bad_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(
        error,
        E::InvalidColumnName(_)
            | E::InvalidColumnType(..)
            | E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
    )
}

/// SQLite's extended result code for a `-shm` file that cannot grow: there is no room.
const SQLITE_IOERR_SHMSIZE: i32 = 10 | (19 << 8);

/// SQLite's extended result codes for a write and a change of length that failed for any reason but a full disk.
const SQLITE_IOERR_WRITE: i32 = 10 | (3 << 8);
const SQLITE_IOERR_TRUNCATE: i32 = 10 | (6 << 8);

/// Whether a file may have reached `limit`. SQLite does not say why a write failed: where there is a limit, that is likely why.
fn is_over_limit(error: &rusqlite::Error, limit: Option<Bytes>) -> bool {
    let is_of_size = |code| matches!(code, SQLITE_IOERR_WRITE | SQLITE_IOERR_TRUNCATE);
    limit.is_some() && error.sqlite_error().is_some_and(|error| is_of_size(error.extended_code))
}

/// Whether the file beside the database through which connections share its write-ahead log cannot grow.
fn is_shared_memory_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE)
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path: None, why: None },
            _ if is_over_limit(&error, file_size_limit()) => Self::Full { path: None, why: None },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => Self::ReadOnly { path: None },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path: None, faults: vec![error.to_string()] }
            }
            _ => Self::Sqlite { path: None, cause: error },
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Full { .. } => Code::StorageFull,
            Error::Backup(cause) if is_disk_full(cause) => Code::StorageFull,
            Error::NotFound(_) => Code::NotFound,
            Error::Conflict(_) | Error::Damaged(_) => Code::Conflict,
            Error::Mismatch(_) => Code::IdempotencyMismatch,
            Error::Version { .. } => Code::VersionMismatch,
            Error::Corrupt { .. } => Code::StoreDamaged,
            Error::Json(cause) => {
                tracing::error!(%cause, "a value could not be stored as JSON");
                Code::Internal
            }
            Error::Panicked => Code::Internal,
            Error::ReadOnly { .. }
            | Error::Open { .. }
            | Error::Unusable { .. }
            | Error::Newer { .. }
            | Error::Backup(_)
            | Error::Closed => Code::StoreUnavailable,
            Error::Sqlite { cause, .. } => {
                tracing::error!(%cause, "the database failed");
                Code::StoreUnavailable
            }
        };
        Problem::new(code, error.to_string())
    }
}

fn name(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "the database".into(), |path| path.display().to_string())
}

fn named(faults: &[String]) -> String {
    let more = faults.len().saturating_sub(FAULTS_NAMED_MAX);
    let text = faults.iter().take(FAULTS_NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
    if more == 0 { text } else { format!("{text}; and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite reports with this extended result code.
    fn reported(code: i32) -> Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None).into()
    }

    #[test]
    fn an_error_names_the_file_and_a_full_disk_is_one_whichever_file_has_no_room() {
        let database = Path::new("/data/lar.db");
        let message = |code| reported(code).at(database).to_string();
        // SQLITE_FULL, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_READ, SQLITE_CANTOPEN, SQLITE_CORRUPT.
        let full = "cannot be written: its disk is full; make room there";
        assert_eq!(message(13), format!("/data/lar.db {full}"));
        assert_eq!(message(4874), format!("/data/lar.db-shm {full}"));
        assert_eq!(message(266), "/data/lar.db cannot be read or written");
        assert!(message(14).starts_with("/data/lar.db cannot be written"));
        assert!(message(11).starts_with("/data/lar.db is damaged"));
        assert!([13, 4874].into_iter().all(|code| reported(code).is_full_disk()));
        assert!(
            matches!(reported(4874).at(database), Error::Full { .. }),
            "the room that is kept helps there, too"
        );
        assert!(!reported(266).is_full_disk());
        let code = |kind: io::ErrorKind| Problem::from(Error::Backup(kind.into())).code;
        assert_eq!(code(io::ErrorKind::StorageFull), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::QuotaExceeded), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::FileTooLarge), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::PermissionDenied), Code::StoreUnavailable);
    }

    #[test]
    fn a_write_that_fails_under_a_limit_on_the_size_of_files_is_a_full_disk() {
        let failed = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let limit = Some(Bytes(600 << 10));
        // SQLITE_IOERR_WRITE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_READ.
        assert_eq!([778, 1546, 266].map(|code| is_over_limit(&failed(code), limit)), [true, true, false]);
        assert!(!is_over_limit(&failed(778), None), "without a limit a failed write is a fault of the disk");
        let text = no_room(None, limit);
        assert!(text.contains("the 600 KiB that this process may") && text.contains("`ulimit -f`"), "{text}");
        assert!(no_room(Some(NoRoom::QuotaFull), limit).contains("quota"), "what the system said counts");
    }
}
