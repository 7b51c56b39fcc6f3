//! The errors of the store, and the error codes that API callers get for them.

use std::io;
use std::path::{Path, PathBuf};

use lar_base::files::{NoRoom, is_disk_full};
use lar_base::{Bytes, Code, Problem, error_chain};
use rusqlite::ErrorCode;
use rustix::process::{Resource, getrlimit};

use crate::json_columns::NewerValue;
use crate::sqlite_files::beside;

/// The number of faults that the error for a damaged database lists at most.
const FAULTS_NAMED_MAX: usize = 3;

/// A failed read or write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk is full, or a file has reached this process's size limit.
    #[error("{} cannot be written: {}", name(path), no_room(*why, file_size_limit()))]
    Full {
        /// The database, or the file beside it that could not grow; `None` if unknown.
        path: Option<PathBuf>,
        /// The system's reason; `None` when SQLite wrote the file, because SQLite does not report one.
        why: Option<NoRoom>,
    },
    /// The file or its directory cannot be written.
    #[error("{} cannot be written: the file or its directory is read-only", name(path))]
    ReadOnly {
        /// The database; `None` if unknown.
        path: Option<PathBuf>,
    },
    /// The database file cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The path of the database, or of the file beside it that cannot be opened.
        path: PathBuf,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// SQLite cannot use the database or a file beside it, because of the file's type or path.
    #[error("{} {reason}", path.display())]
    Unusable {
        /// The path of the database, or of a file beside it.
        path: PathBuf,
        /// Why the file cannot be used, as the predicate of a sentence about it.
        reason: String,
        /// The next step for the operator.
        step: String,
    },
    /// The database file or its write-ahead log is damaged.
    #[error("{} is damaged ({})", name(path), named(faults))]
    Corrupt {
        /// The database; `None` if unknown.
        path: Option<PathBuf>,
        /// The faults that SQLite found, or the damage in the write-ahead log.
        faults: Vec<String>,
    },
    /// A newer version of Lar upgraded this database.
    #[error("the database has schema {found}, but this Lar supports at most {known}; use the newer Lar")]
    Newer {
        /// The schema of the database.
        found: u32,
        /// The newest schema that this version of Lar supports.
        known: u32,
    },
    /// A newer version of Lar stored a value in a JSON column.
    #[error(transparent)]
    NewerValue(NewerValue),
    /// A copy of the database could not be made or read. An upgrade does not start without its copy.
    #[error("a copy of the database could not be made or read")]
    Backup(#[source] io::Error),
    /// A backup is damaged or is not a backup.
    #[error("{0}")]
    Damaged(String),
    /// The row does not exist, or belongs to another user.
    #[error("there is no {0}")]
    NotFound(String),
    /// The change conflicts with stored data.
    #[error("{0}")]
    Conflict(String),
    /// Another request used this `Idempotency-Key`.
    #[error("the Idempotency-Key `{0}` was used for another request; use a new one")]
    Mismatch(String),
    /// The row has changed since the caller read it.
    #[error("the stored version is {found}, but the request names version {named}; read it again and retry")]
    Version {
        /// The version stored.
        found: i64,
        /// The version the caller expected.
        named: i64,
    },
    /// A value could not be serialized as JSON.
    #[error("a value could not be stored as JSON")]
    Json(#[from] serde_json::Error),
    /// A query or change panicked and changed nothing. The log has the panic message.
    #[error("a query panicked and changed nothing; see the log")]
    Panicked,
    /// The writer thread has stopped.
    #[error("the database is closed")]
    Closed,
    /// Any other SQLite error.
    #[error("{} cannot be read or written", name(path))]
    Sqlite {
        /// The database; `None` if unknown.
        path: Option<PathBuf>,
        /// SQLite's error.
        #[source]
        cause: rusqlite::Error,
    },
}

impl Error {
    /// Adds the path of the database to an error that has none.
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

    /// Returns whether the disk has no space for the database or its `-shm` file.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Sqlite { cause, .. } => is_shared_memory_full(cause),
            _ => false,
        }
    }

    /// Returns whether a row or page is damaged. Other rows may still be readable.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Sqlite { cause, .. } => is_bad_value(cause),
            _ => false,
        }
    }
}

/// Returns the size limit for files of this process; `None` if there is no limit.
fn file_size_limit() -> Option<Bytes> {
    getrlimit(Resource::Fsize).current.map(Bytes)
}

fn no_room(why: Option<NoRoom>, file_size_limit: Option<Bytes>) -> String {
    match (why, file_size_limit) {
        (Some(why), _) => why.to_string(),
        (None, None) => NoRoom::DiskFull.to_string(),
        (None, Some(limit)) => format!(
            "its disk is full, or it would exceed this process's file size limit of {limit}; make room \
             there, or raise the limit (`ulimit -f`)"
        ),
    }
}

/// Returns whether a column has a value that Lar never stores in it.
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

/// SQLite's extended result code for a `-shm` file that cannot grow because the disk is full.
const SQLITE_IOERR_SHMSIZE: i32 = 10 | (19 << 8);

/// SQLite's extended result codes for a failed write and a failed change of length, except on a full disk.
const SQLITE_IOERR_WRITE: i32 = 10 | (3 << 8);
const SQLITE_IOERR_TRUNCATE: i32 = 10 | (6 << 8);

/// Returns whether a write failed and a file may have reached `limit`. SQLite does not report why a write
/// failed; under a limit, this is the likely cause.
fn is_over_limit(error: &rusqlite::Error, limit: Option<Bytes>) -> bool {
    let is_of_size = |code| matches!(code, SQLITE_IOERR_WRITE | SQLITE_IOERR_TRUNCATE);
    limit.is_some() && error.sqlite_error().is_some_and(|error| is_of_size(error.extended_code))
}

/// Returns whether the `-shm` file, through which connections share the write-ahead log, cannot grow.
fn is_shared_memory_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE)
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let error = match error {
            rusqlite::Error::FromSqlConversionFailure(column, kind, cause) => {
                match cause.downcast::<NewerValue>() {
                    Ok(newer) => return Self::NewerValue(*newer),
                    Err(cause) => rusqlite::Error::FromSqlConversionFailure(column, kind, cause),
                }
            }
            error => error,
        };
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

impl From<tokio::task::JoinError> for Error {
    /// Converts the end of a blocking task: [`Error::Panicked`] if it panicked, else [`Error::Closed`],
    /// because only the end of the runtime cancels one.
    fn from(cause: tokio::task::JoinError) -> Self {
        if cause.is_panic() {
            tracing::error!(%cause, "work on the database panicked");
            return Self::Panicked;
        }
        Self::Closed
    }
}

impl From<Error> for Problem {
    /// Logs the cause, which the problem does not show.
    fn from(error: Error) -> Self {
        if std::error::Error::source(&error).is_some() {
            tracing::error!(error = %error_chain(&error), "the database failed");
        }
        let code = match &error {
            Error::Full { .. } => Code::StorageFull,
            Error::Backup(cause) if is_disk_full(cause) => Code::StorageFull,
            Error::NotFound(_) => Code::NotFound,
            Error::Conflict(_) | Error::Damaged(_) => Code::Conflict,
            Error::Mismatch(_) => Code::IdempotencyMismatch,
            Error::Version { .. } => Code::VersionMismatch,
            Error::Corrupt { .. } => Code::StoreDamaged,
            Error::Json(_) | Error::Panicked => Code::Internal,
            Error::ReadOnly { .. }
            | Error::Open { .. }
            | Error::Unusable { .. }
            | Error::Newer { .. }
            | Error::NewerValue(_)
            | Error::Backup(_)
            | Error::Closed
            | Error::Sqlite { .. } => Code::StoreUnavailable,
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

    /// Returns the error for an extended result code of SQLite.
    fn reported(code: i32) -> Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None).into()
    }

    #[test]
    fn errors_name_the_file_and_recognize_a_full_disk() {
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
            "releasing the reserve helps here, too"
        );
        assert!(!reported(266).is_full_disk());
        let code = |kind: io::ErrorKind| Problem::from(Error::Backup(kind.into())).code;
        assert_eq!(code(io::ErrorKind::StorageFull), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::QuotaExceeded), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::FileTooLarge), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::PermissionDenied), Code::StoreUnavailable);
    }

    #[test]
    fn a_failed_write_under_a_file_size_limit_counts_as_a_full_disk() {
        let failed = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let limit = Some(Bytes(600 << 10));
        // SQLITE_IOERR_WRITE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_READ.
        assert_eq!([778, 1546, 266].map(|code| is_over_limit(&failed(code), limit)), [true, true, false]);
        assert!(!is_over_limit(&failed(778), None), "without a limit, a failed write is a disk fault");
        let text = no_room(None, limit);
        assert!(text.contains("file size limit of 600 KiB") && text.contains("`ulimit -f`"), "{text}");
        assert!(no_room(Some(NoRoom::QuotaFull), limit).contains("quota"), "the system's reason counts");
    }
}
