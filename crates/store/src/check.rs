//! Checks whether a database is whole. A quick check with a time limit runs when it is opened, a full one for
//! backups, in the background and for `lar doctor`. A check changes nothing.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::wal::{self, Verdict};
use crate::{Error, conversation_search, location, migrations};

/// The most faults that a check collects. One is enough to refuse a database, a few show how bad the damage
/// is.
const FAULTS_MAX: usize = 20;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// No fault was found.
    Whole,
    /// The faults that were found.
    Damaged(Vec<String>),
    /// Time ran out before everything was read; no fault was found until then.
    Unfinished,
}

/// The state of a database file, for `lar doctor`.
#[derive(Debug)]
pub enum Inspection {
    /// There is no file.
    Missing,
    /// The file is empty.
    Empty,
    /// The file was read and checked.
    Checked {
        /// Its schema.
        schema: u32,
        /// The result of the check.
        check: Check,
        /// Whether its write-ahead log ends in an incomplete transaction, which SQLite will drop.
        is_log_incomplete: bool,
    },
    /// A newer Lar upgraded it.
    Newer {
        /// Its schema.
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
        Ok((connection, schema)) => match full(&connection) {
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

/// Checks the structure of every table and index, for up to `limit`.
///
/// # Errors
/// When the database cannot be read for a reason other than damage.
pub(crate) fn quick(connection: &Connection, limit: Duration) -> Result<Check, Error> {
    let handle = connection.get_interrupt_handle();
    // Nothing is sent: the end of the check drops the sender.
    let (finished, wait) = sync_channel::<()>(0);
    let clock = std::thread::spawn(move || {
        if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            handle.interrupt();
        }
    });
    let found = faults(connection, &format!("PRAGMA quick_check({FAULTS_MAX})"));
    drop(finished);
    let _ = clock.join();
    match found {
        Ok(faults) if faults.is_empty() => Ok(Check::Whole),
        Ok(faults) if faults.iter().all(|fault| fault.contains("interrupted")) => Ok(Check::Unfinished),
        Ok(faults) => Ok(Check::Damaged(faults)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(Check::Unfinished)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns every fault in the database; empty if there is none. Checks the structure, values, indexes,
/// foreign keys, and whether each text in the search index can be erased. Reads the whole database.
///
/// # Errors
/// When the database cannot be read for a reason other than damage.
pub(crate) fn full(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut found = faults(connection, &format!("PRAGMA integrity_check({FAULTS_MAX})"))?;
    if found.is_empty() {
        match connection.prepare("PRAGMA foreign_key_check").and_then(|mut query| query.exists([])) {
            Ok(false) => {}
            Ok(true) => found.push("a row refers to a row that does not exist".into()),
            Err(error) if is_damage(&error) => found.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_empty() {
        match conversation_search::find_fault(connection) {
            Ok(fault) => found.extend(fault),
            Err(error) if is_damage(&error) => found.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn faults(connection: &Connection, check: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut found = Vec::new();
    let mut read = || {
        let mut query = connection.prepare(check)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            // SQLite may quote bytes of a damaged page that are not text.
            found.push(String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned());
        }
        Ok(())
    };
    match read() {
        Ok(()) => {}
        Err(error) if is_damage(&error) => found.push(error.to_string()),
        Err(error) => return Err(error),
    }
    found.retain(|fault| fault != "ok");
    Ok(found)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
