//! Describes the state of a database file and of its write-ahead log, for `lar doctor`. Nothing is changed.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::check::{self, Check};
use crate::error::Error;
use crate::wal::{self, Verdict};
use crate::{location, migrations};

/// The state of a database file, for `lar doctor`.
#[derive(Debug)]
pub enum Inspection {
    /// There is no file.
    Missing,
    /// The file has no bytes, so there is nothing to check.
    Empty,
    /// The file was read and checked.
    Checked {
        /// The number of the newest migration in the database.
        schema: u32,
        /// The result of SQLite's check of the whole file, or the damage of its log.
        check: Check,
        /// Whether its write-ahead log ends in an incomplete transaction, which SQLite will drop.
        is_log_incomplete: bool,
    },
    /// A newer Lar upgraded it.
    Newer {
        /// The number of the newest migration in the database.
        found: u32,
        /// The newest schema that this Lar supports.
        known: u32,
    },
    /// It cannot be opened, or cannot be opened for writing.
    Unreadable(Error),
}

/// Examines the database at `path` and its write-ahead log without changing anything, even while a server
/// uses it. Reads all of both.
#[must_use]
pub fn inspect(path: &Path) -> Inspection {
    let path = match location::locate(path) {
        Ok(path) => path,
        Err(error) => return Inspection::Unreadable(error),
    };
    let path = path.as_path();
    match std::fs::metadata(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Inspection::Missing,
        Err(cause) => return Inspection::Unreadable(Error::Open { path: path.to_owned(), cause }),
        Ok(about) if about.len() == 0 => return Inspection::Empty,
        Ok(_) => {}
    }
    // Despite such a file, SQLite would still open the database read-only.
    if let Err(error) = location::refuse_unopenable(path).and_then(|()| location::refuse_other_users(path)) {
        return Inspection::Unreadable(error);
    }
    let damaged =
        |faults| Inspection::Checked { schema: 0, check: Check::Damaged(faults), is_log_incomplete: false };
    let is_log_incomplete = match wal::examine(path) {
        Ok(Verdict::Whole) => false,
        Ok(Verdict::Unclear(_)) => true,
        Ok(Verdict::Damaged(found)) => return damaged(vec![found.to_string()]),
        Err(error) => return Inspection::Unreadable(error),
    };
    let found = open_unchanged(path).and_then(|connection| {
        let schema = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((connection, schema))
    });
    match found {
        Ok((_, found)) if found > migrations::newest_schema() => {
            Inspection::Newer { found, known: migrations::newest_schema() }
        }
        Ok((connection, schema)) => match check::full(&connection) {
            Ok(faults) => {
                let check = if faults.is_empty() { Check::Whole } else { Check::Damaged(faults) };
                Inspection::Checked { schema, check, is_log_incomplete }
            }
            Err(error) => Inspection::Unreadable(error.at(path)),
        },
        Err(Error::Corrupt { faults, .. }) => damaged(faults),
        Err(error) => Inspection::Unreadable(error.at(path)),
    }
}

/// Returns the copies of write-ahead logs beside the database at `path`, the oldest first. Lar keeps a copy
/// of a log whose last transaction was incomplete. Returns nothing if the folder cannot be read.
#[must_use]
pub fn wal_copies(path: &Path) -> Vec<PathBuf> {
    location::resolve(path).ok().and_then(|path| wal::find_copies(&path).ok()).unwrap_or_default()
}

/// Opens a connection that changes neither the database nor the files beside it, even on a read-only disk.
fn open_unchanged(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let readable = |connection: Connection| {
        connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0)).map(|_| connection)
    };
    match Connection::open_with_flags(path, flags).and_then(readable) {
        Ok(connection) => Ok(connection),
        // Reading a write-ahead log needs a file beside it, which a read-only disk cannot have.
        Err(error) if is_cannot_write(&error) => {
            let text = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let url = format!("file:{text}?immutable=1");
            Ok(Connection::open_with_flags(url, flags | OpenFlags::SQLITE_OPEN_URI).and_then(readable)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_cannot_write(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}
