//! The one writer: a thread that owns the writing connection and lets callers share a sync.
//!
//! Callers hand over closures. The thread takes whatever waits (up to [`GROUP_MAX`]), runs each in a
//! savepoint of one transaction, commits, and only then answers all of them: an answer means on disk. One
//! closure's error rolls back its own savepoint and nobody else's work.
//!
//! Grouping is why durable commits scale: a sync costs 0.2 to 4 ms, shared by everyone who waited.

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// Changes that share one commit at most: bounds what a crash can take from the unacknowledged.
const GROUP_MAX: usize = 128;
/// Changes that may wait; beyond it callers wait to be let in.
const QUEUE_MAX: usize = 4096;

type Reply = Box<dyn FnOnce(bool) + Send>;
type Change = Box<dyn FnOnce(&Connection) -> Reply + Send>;

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
    /// Moves the connection to its thread, which ends (after a checkpoint) when the last clone is dropped.
    pub(crate) fn start(connection: Connection) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("store-writer".into());
        thread.spawn(move || serve(connection, queue)).expect("a thread can be started");
        Self { jobs }
    }

    pub(crate) async fn run<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let change: Change = Box::new(move |connection| {
            let result = in_savepoint(connection, change);
            Box::new(move |committed| {
                let _ = answer.send(if committed { result } else { result.and(Err(Error::Full)) });
            })
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

fn serve(connection: Connection, mut queue: mpsc::Receiver<Job>) {
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
            // Dropping the job answers its caller with `Closed`; the next one tries again.
            tracing::error!(%error, "a transaction could not be begun");
            drop(first);
            continue;
        }
        let mut replies = vec![first(&connection)];
        while replies.len() < GROUP_MAX {
            match queue.try_recv() {
                Ok(Job::Change(change)) => replies.push(change(&connection)),
                Ok(job) => {
                    held = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let committed = match connection.execute_batch("COMMIT") {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, changes = replies.len(), "a group of changes could not be committed");
                if !connection.is_autocommit() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
                false
            }
        };
        for reply in replies {
            reply(committed);
        }
    }
    let _ = checkpoint(&connection);
}

fn checkpoint(connection: &Connection) -> Result<(), Error> {
    Ok(connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?)
}

/// Runs `change`, undoing what it did when it fails.
fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    // When SQLite gave the whole transaction up (a full disk), later changes must not run outside one.
    if connection.is_autocommit() {
        return Err(Error::Full);
    }
    connection.execute_batch("SAVEPOINT change")?;
    let result = change(connection);
    if connection.is_autocommit() {
        return result.and(Err(Error::Full));
    }
    let end = if result.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" };
    connection.execute_batch(end)?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(directory: &std::path::Path) -> (Writer, Connection) {
        let path = directory.join("test.db");
        let connection = Connection::open(&path).unwrap();
        crate::configure(&connection).unwrap();
        connection.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY)").unwrap();
        (Writer::start(connection), Connection::open(path).unwrap())
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
            let stored: bool = reader
                .query_row("SELECT EXISTS (SELECT 1 FROM numbers WHERE n = ?1)", [n], |row| row.get(0))
                .unwrap();
            assert_eq!(stored, n % 3 != 0, "{n}: {result:?}");
            assert_eq!(result.is_ok(), stored);
        }
    }
}
