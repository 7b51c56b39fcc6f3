//! Changes that share one transaction: how each is run, what becomes of them, and how their callers are answered.
//!
//! A change's error, or panic, undoes what that change did and nothing else. But for a full disk, a failed read or write, lack of
//! memory or an interruption SQLite may roll the whole transaction back. Then the group ends there, and all changes in it get the
//! error of the one for which that was done. What waits behind it gets a transaction of its own.

use rusqlite::{Connection, ffi};
use tokio::sync::oneshot;

use super::{GROUP_MAX, catch_panic, same_outcome};
use crate::Error;

/// Answers the caller once it is known whether the transaction was committed. A change that frees something and found no room
/// is returned instead, to be run once more.
type Reply = Box<dyn FnOnce(Result<(), Error>) -> Option<ChangeFn> + Send>;
/// Runs a change in the transaction that is open, or takes the reason why there is none.
pub(super) type ChangeFn = Box<dyn FnOnce(Result<&Connection, Error>) -> FinishedChange + Send>;

/// A change that was run, and how its caller is answered.
pub(super) struct FinishedChange {
    panicked: bool,
    /// Its error, for the others in the group where SQLite rolled their transaction back for it.
    error: Option<rusqlite::Error>,
    reply: Reply,
}

/// Makes a change that is run once.
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

/// Makes a change that is returned, to be run once more, where it or its commit found no room.
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

/// Changes that shared a transaction, and what became of it.
pub(super) struct Group {
    changes: Vec<FinishedChange>,
    committed: Result<(), rusqlite::Error>,
}

impl Group {
    /// Runs `first` and what `more` returns, [`GROUP_MAX`] changes at most, in one transaction, and commits it.
    pub(super) fn commit(
        connection: &Connection,
        first: ChangeFn,
        mut more: impl FnMut() -> Option<ChangeFn>,
    ) -> Self {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            tracing::error!(%error, "a transaction could not be begun");
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
            // Outside of a transaction nothing is run: it would be committed by itself.
            let takes_more = group.committed.is_ok() && group.changes.len() < GROUP_MAX;
            next = if takes_more { more() } else { None };
        }
        if group.committed.is_ok() {
            group.committed = connection.execute_batch("COMMIT");
        }
        if let Err(error) = &group.committed {
            tracing::error!(%error, changes = group.changes.len(), "a group of changes could not be committed");
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        group
    }

    pub(super) fn has_panicked(&self) -> bool {
        self.changes.iter().any(|finished| finished.panicked)
    }

    /// Whether a change failed, or all of them were lost.
    pub(super) fn has_failed(&self) -> bool {
        self.committed.is_err() || self.changes.iter().any(|finished| finished.error.is_some())
    }

    /// Answers the callers. Returns the changes that free something and found no room: they are to be run once more.
    pub(super) fn answer(self) -> Vec<ChangeFn> {
        let reply = |finished: FinishedChange| (finished.reply)(same_outcome(&self.committed));
        self.changes.into_iter().filter_map(reply).collect()
    }
}

/// Runs `change`, undoing what it did when it fails or panics. It has failed, too, where the transaction is gone after it.
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

/// The error of a change as the others in its group get it: what SQLite reported, or only that there was a rollback where the
/// change made another error of that.
fn shared_error(error: &Error) -> rusqlite::Error {
    match error {
        Error::Full { .. } => sqlite_error(ffi::SQLITE_FULL),
        Error::Sqlite { cause: rusqlite::Error::SqliteFailure(code, message), .. } => {
            rusqlite::Error::SqliteFailure(*code, message.clone())
        }
        _ => rollback_error(),
    }
}

/// SQLite's error for what was going on while it rolled the transaction back for another reason.
fn rollback_error() -> rusqlite::Error {
    sqlite_error(ffi::SQLITE_ABORT_ROLLBACK)
}

fn sqlite_error(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
