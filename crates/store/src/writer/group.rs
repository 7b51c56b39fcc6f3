//! Changes that share one transaction: runs them, commits the transaction, and answers their callers.
//!
//! An error or panic of one change undoes that change only. But on a full disk, a failed read or write, lack
//! of memory or an interruption, SQLite may roll back the whole transaction. Then the group ends, and all
//! changes in it get the error that caused the rollback. Changes that still wait get a transaction of their
//! own.

use lar_base::error_chain;
use rusqlite::{Connection, ffi};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::panics::catch_panic;

/// The most changes that share one commit. Bounds how many unacknowledged changes a crash can lose.
pub(super) const GROUP_MAX: usize = 128;

/// Answers the caller once the outcome of the commit is known. Instead, a change that frees something and
/// found the disk full is returned, to run again.
type Reply = Box<dyn FnOnce(Result<(), Error>) -> Option<ChangeFn> + Send>;
/// Runs a change in the open transaction, or takes the reason why no transaction could be started.
pub(super) type ChangeFn = Box<dyn FnOnce(Result<&Connection, Error>) -> FinishedChange + Send>;

/// A change that has run, and the reply to its caller.
pub(super) struct FinishedChange {
    panicked: bool,
    /// Its error, which the other changes in the group get if SQLite rolled back their transaction for it.
    error: Option<rusqlite::Error>,
    reply: Reply,
}

/// Creates a change that runs once.
pub(super) fn change_once<T, F>(change: F, answer: oneshot::Sender<Result<T, Error>>) -> ChangeFn
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
{
    Box::new(move |connection| {
        let result = connection.and_then(|connection| in_savepoint(connection, change));
        let panicked = matches!(result, Err(Error::Panicked));
        let error = result.as_ref().err().map(shared_error);
        let reply = Box::new(move |committed: Result<(), Error>| -> Option<ChangeFn> {
            let _ = answer.send(result.and_then(|value| committed.map(|()| value)));
            None
        });
        FinishedChange { panicked, error, reply }
    })
}

/// Creates a change that is returned, to run again, if it or its commit found the disk full.
pub(super) fn freeing_change<T, F>(change: F, answer: oneshot::Sender<Result<T, Error>>) -> ChangeFn
where
    T: Send + 'static,
    F: Fn(&Connection) -> Result<T, Error> + Send + 'static,
{
    Box::new(move |connection| {
        let result = connection.and_then(|connection| in_savepoint(connection, &change));
        let panicked = matches!(result, Err(Error::Panicked));
        let error = result.as_ref().err().map(shared_error);
        let reply = Box::new(move |committed: Result<(), Error>| -> Option<ChangeFn> {
            match result.and_then(|value| committed.map(|()| value)) {
                Err(error) if error.is_full_disk() => Some(change_once(change, answer)),
                result => {
                    let _ = answer.send(result);
                    None
                }
            }
        });
        FinishedChange { panicked, error, reply }
    })
}

/// The changes of one transaction, and the outcome of its commit.
pub(super) struct Group {
    changes: Vec<FinishedChange>,
    committed: Result<(), rusqlite::Error>,
}

impl Group {
    /// Runs `first` and the changes that `more` returns, [`GROUP_MAX`] at most, in one transaction, and
    /// commits it.
    pub(super) fn commit(
        connection: &Connection,
        first: ChangeFn,
        mut more: impl FnMut() -> Option<ChangeFn>,
    ) -> Self {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            tracing::error!(error = %error_chain(&error), "a transaction could not be started");
            return Self { changes: vec![first(Err(error.into()))], committed: Ok(()) };
        }
        let mut group = Self { changes: Vec::new(), committed: Ok(()) };
        let mut next = Some(first);
        while let Some(change) = next {
            let mut finished = change(Ok(connection));
            if connection.is_autocommit() {
                group.committed = Err(finished.error.take().unwrap_or_else(rollback_error));
            }
            group.changes.push(finished);
            // After a rollback no change may run: each of its statements would be committed on its own.
            let takes_more = group.committed.is_ok() && group.changes.len() < GROUP_MAX;
            next = if takes_more { more() } else { None };
        }
        if group.committed.is_ok() {
            group.committed = connection.execute_batch("COMMIT");
        }
        if let Err(error) = &group.committed {
            let changes = group.changes.len();
            tracing::error!(
                error = %error_chain(error),
                changes,
                "a group of changes could not be committed"
            );
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        group
    }

    pub(super) fn has_panicked(&self) -> bool {
        self.changes.iter().any(|finished| finished.panicked)
    }

    /// Returns whether a change failed, or the commit failed.
    pub(super) fn has_failed(&self) -> bool {
        self.committed.is_err() || self.changes.iter().any(|finished| finished.error.is_some())
    }

    /// Answers the callers. Returns the changes that free something and found the disk full: they run again.
    pub(super) fn answer(self) -> Vec<ChangeFn> {
        let reply = |finished: FinishedChange| (finished.reply)(same_outcome(&self.committed));
        self.changes.into_iter().filter_map(reply).collect()
    }
}

/// Copies the outcome of one commit or truncation for each caller that shares it.
pub(super) fn same_outcome<T: Copy>(outcome: &Result<T, rusqlite::Error>) -> Result<T, Error> {
    match outcome {
        Ok(value) => Ok(*value),
        Err(rusqlite::Error::SqliteFailure(cause, message)) => {
            Err(rusqlite::Error::SqliteFailure(*cause, message.clone()).into())
        }
        Err(_) => Err(Error::Closed),
    }
}

/// Runs `change` and undoes it if it fails or panics. A change after which the transaction is gone has
/// failed, too.
fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    connection.execute_batch("SAVEPOINT change")?;
    let result = catch_panic(|| change(connection));
    if connection.is_autocommit() {
        return result.and_then(|_| Err(rollback_error().into()));
    }
    let end = if result.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" };
    connection.execute_batch(end)?;
    result
}

/// Returns a change's error for the other changes in its group. It is SQLite's error, or a plain rollback
/// error if the change turned SQLite's error into another one.
fn shared_error(error: &Error) -> rusqlite::Error {
    match error {
        Error::Full { .. } => sqlite_error(ffi::SQLITE_FULL),
        Error::Sqlite { cause: rusqlite::Error::SqliteFailure(code, message), .. } => {
            rusqlite::Error::SqliteFailure(*code, message.clone())
        }
        _ => rollback_error(),
    }
}

/// Returns SQLite's error for statements that were pending when it rolled back the transaction.
fn rollback_error() -> rusqlite::Error {
    sqlite_error(ffi::SQLITE_ABORT_ROLLBACK)
}

fn sqlite_error(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
