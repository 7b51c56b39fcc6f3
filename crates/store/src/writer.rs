//! The one writer: a thread that owns the writing connection and lets callers share a sync.
//!
//! Callers hand over closures. The thread takes whatever waits (up to [`GROUP_MAX`]), runs each in a
//! savepoint of one transaction, commits, and only then answers all of them: an answer means on disk. One
//! closure's error, or panic, rolls back its own savepoint and nobody else's work. After a panic the thread goes on with
//! a new connection.
//!
//! Grouping is why durable commits scale: a sync costs 0.2 to 4 ms, shared by everyone who waited.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// Changes that share one commit at most: bounds what a crash can take from the unacknowledged.
const GROUP_MAX: usize = 128;
/// Changes that may wait; beyond it callers wait to be let in.
const QUEUE_MAX: usize = 4096;

/// How a change was run, and who is to be told whether it was committed.
struct Ran {
    panicked: bool,
    reply: Reply,
}

type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// Runs a change in the transaction that is open, or takes the reason why there is none.
type Change = Box<dyn FnOnce(Result<&Connection, Error>) -> Ran + Send>;

enum Job {
    Change(Change),
    /// Moves the write-ahead log into the database and empties it.
    Checkpoint(oneshot::Sender<Result<(), Error>>),
}

#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Moves the connection to the database at `path` to its thread, which ends (after a checkpoint) when the last clone
    /// is dropped.
    pub(crate) fn start(connection: Connection, path: PathBuf) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("store-writer".into());
        thread.spawn(move || serve(connection, &path, queue)).expect("a thread can be started");
        Self { jobs }
    }

    pub(crate) async fn run<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let change: Change = Box::new(move |connection| {
            let result = connection.and_then(|connection| in_savepoint(connection, change));
            let panicked = matches!(result, Err(Error::Panicked));
            let reply = Box::new(move |committed: Result<(), Error>| {
                let _ = answer.send(result.and_then(|value| committed.map(|()| value)));
            });
            Ran { panicked, reply }
        });
        self.jobs.send(Job::Change(change)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Empties the write-ahead log, so that nothing is left in it of what was erased.
    pub(crate) async fn checkpoint(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Checkpoint(answer)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

fn serve(mut connection: Connection, path: &std::path::Path, mut queue: mpsc::Receiver<Job>) {
    let mut held = None;
    while let Some(job) = held.take().or_else(|| queue.blocking_recv()) {
        let first = match job {
            Job::Change(change) => change,
            Job::Checkpoint(answer) => {
                let _ = answer.send(checkpoint(&connection));
                continue;
            }
        };
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            tracing::error!(%error, "a transaction could not be begun");
            (first(Err(error.into())).reply)(Ok(()));
            continue;
        }
        let mut group = vec![first(Ok(&connection))];
        while group.len() < GROUP_MAX {
            match queue.try_recv() {
                Ok(Job::Change(change)) => group.push(change(Ok(&connection))),
                Ok(job) => {
                    held = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let committed = connection.execute_batch("COMMIT");
        if let Err(error) = &committed {
            tracing::error!(%error, changes = group.len(), "a group of changes could not be committed");
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        let panicked = group.iter().any(|ran| ran.panicked);
        for ran in group {
            (ran.reply)(same_outcome(&committed));
        }
        if panicked {
            // What the closure left behind in the old connection is not known.
            match crate::connect(path) {
                Ok(fresh) => connection = fresh,
                Err(error) => tracing::error!(%error, "the writer keeps its connection after a panic"),
            }
        }
    }
    let _ = checkpoint(&connection);
}

/// The outcome of one commit, for each of those who share it.
fn same_outcome(committed: &Result<(), rusqlite::Error>) -> Result<(), Error> {
    match committed {
        Ok(()) => Ok(()),
        Err(rusqlite::Error::SqliteFailure(cause, message)) => {
            Err(rusqlite::Error::SqliteFailure(*cause, message.clone()).into())
        }
        Err(_) => Err(Error::Closed),
    }
}

fn checkpoint(connection: &Connection) -> Result<(), Error> {
    Ok(connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?)
}

/// Runs `change`, undoing what it did when it fails or panics.
fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    // When SQLite gave the whole transaction up (a full disk), later changes must not run outside one.
    if connection.is_autocommit() {
        return Err(Error::Full { path: None });
    }
    connection.execute_batch("SAVEPOINT change")?;
    let result = caught(|| change(connection));
    if connection.is_autocommit() {
        return result.and(Err(Error::Full { path: None }));
    }
    let end = if result.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" };
    connection.execute_batch(end)?;
    result
}

/// What a closure returns; its panic, which the hook has logged, as an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(panic = message, "a query of the database panicked; it changed nothing");
        Err(Error::Panicked)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(directory: &std::path::Path) -> (Writer, Connection) {
        let path = directory.join("test.db");
        let connection = crate::connect(&path).unwrap();
        connection.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY)").unwrap();
        (Writer::start(connection, path.clone()), Connection::open(path).unwrap())
    }

    fn is_stored(reader: &Connection, n: i64) -> bool {
        reader.query_row("SELECT EXISTS (SELECT 1 FROM numbers WHERE n = ?1)", [n], |row| row.get(0)).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_means_committed_and_errors_stay_apart() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = writer(directory.path());
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..300 {
            let writer = writer.clone();
            waiting.spawn(async move {
                let result = writer
                    .run(move |connection| {
                        connection.execute("INSERT INTO numbers VALUES (?1)", [n])?;
                        if n % 3 == 0 { Err(Error::Conflict("by three".into())) } else { Ok(n) }
                    })
                    .await;
                (n, result)
            });
        }
        while let Some(done) = waiting.join_next().await {
            let (n, result) = done.unwrap();
            let stored = is_stored(&reader, n);
            assert_eq!(stored, n % 3 != 0, "{n}: {result:?}");
            assert_eq!(result.is_ok(), stored);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_undoes_its_own_change_and_the_writer_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = writer(directory.path());
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..40 {
            let writer = writer.clone();
            waiting.spawn(async move {
                let result = writer
                    .run(move |connection| {
                        let mut insert = connection.prepare_cached("INSERT INTO numbers VALUES (?1)")?;
                        insert.execute([n])?;
                        assert!(n % 4 != 0, "change {n} panics while it has a statement");
                        Ok(())
                    })
                    .await;
                (n, result)
            });
        }
        while let Some(done) = waiting.join_next().await {
            let (n, result) = done.unwrap();
            let panicked = matches!(result, Err(Error::Panicked));
            assert_eq!((panicked, is_stored(&reader, n)), (n % 4 == 0, n % 4 != 0), "{n}: {result:?}");
        }
        let last = writer.run(|connection| Ok(connection.execute("INSERT INTO numbers VALUES (1000)", [])?));
        assert_eq!(last.await.unwrap(), 1);
        assert!(is_stored(&reader, 1000));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_cannot_begin_is_told_why() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _) = writer(directory.path());
        let closed = writer.run(|connection| Ok(connection.pragma_update(None, "query_only", true)?)).await;
        closed.unwrap();
        let refused = writer.run(|connection| Ok(connection.execute("INSERT INTO numbers VALUES (1)", [])?));
        assert!(matches!(refused.await, Err(Error::ReadOnly { path: None })));
    }
}
