//! Checks whether a database is whole. A quick check with a time limit runs when it is opened, a full one for
//! backups, in the background and for `lar doctor`. A check changes nothing.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::conversation_search;
use crate::error::Error;

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

/// Checks a whole copy of a database.
///
/// # Errors
/// [`Error::Corrupt`] with the faults; it names no path, since the original has the same faults.
pub(crate) fn refuse_damaged(copy: &Path) -> Result<(), Error> {
    // Not read-only: SQLite can then remove the files that it puts beside a database.
    let faults = full(&Connection::open(copy)?)?;
    if faults.is_empty() { Ok(()) } else { Err(Error::Corrupt { path: None, faults }) }
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
