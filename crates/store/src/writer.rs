//! The one writer: a thread that owns the writing connection and lets callers share a sync.
//!
//! Callers hand over closures. The thread takes whatever waits (up to [`GROUP_MAX`]), runs each in a
//! savepoint of one transaction, commits, and only then answers all of them: an answer means on disk. One
//! closure's error, or panic, rolls back its own savepoint and nobody else's work. After a panic the thread goes on with
//! a new connection.
//!
//! Grouping is why durable commits scale: a sync costs 0.2 to 4 ms, shared by everyone who waited. One transaction at a
//! time is also what [`crate::wal`] relies on to tell damage from a power failure.
//!
//! A minute after the log was written to, it is moved into the database while no change waits, so that few changes are in
//! the log only.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use lar_base::Instant;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{BUSY_MAX, Error};

/// Changes that share one commit at most: bounds what a crash can take from the unacknowledged.
const GROUP_MAX: usize = 128;
/// Changes that may wait; beyond it callers wait to be let in.
const QUEUE_MAX: usize = 4096;
/// How long after its first change the log is moved into the database. Counted from the first change, not the last: a
/// health check writes every few seconds. A checkpoint writes 4 MiB at most where none failed, which takes some milliseconds.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(60);

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
        Self::start_with(connection, path, CHECKPOINT_AFTER)
    }

    fn start_with(connection: Connection, path: PathBuf, checkpoint_after: Duration) -> Self {
        let (jobs, receiver) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("store-writer".into());
        let queue = Queue::new(receiver, checkpoint_after);
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

/// The jobs that wait, and when the log is due to be moved into the database meanwhile.
struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// Waits for a job with a time limit. Without it there are no checkpoints in between.
    timer: Option<tokio::runtime::Runtime>,
    checkpoint_after: Duration,
    /// When the log got its first change since it was moved; none while it has no change.
    changed_at: Option<Instant>,
}

impl Queue {
    fn new(jobs: mpsc::Receiver<Job>, checkpoint_after: Duration) -> Self {
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self { jobs, timer: timer.ok(), checkpoint_after, changed_at: None }
    }

    /// Waits for the next job; moves the log into the database when that is due and no job waits. Returns none when every
    /// [`Writer`] is dropped.
    fn next(&mut self, connection: &Connection) -> Option<Job> {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            let (Some(changed_at), Some(timer)) = (self.changed_at, &self.timer) else {
                return self.jobs.blocking_recv();
            };
            let left = self.checkpoint_after.saturating_sub(changed_at.elapsed());
            if left.is_zero() {
                // Another try comes later where readers still use the log.
                self.changed_at = (!checkpoint_without_waiting(connection)).then(Instant::now);
                continue;
            }
            let jobs = &mut self.jobs;
            if let Ok(job) = timer.block_on(async { tokio::time::timeout(left, jobs.recv()).await }) {
                return job;
            }
        }
    }

    /// Notes that the log was written to.
    fn note_change(&mut self) {
        self.changed_at.get_or_insert_with(Instant::now);
    }
}

fn serve(mut connection: Connection, path: &std::path::Path, mut queue: Queue) {
    let mut waiting = None;
    // What the migrations or an earlier process left in the log.
    queue.note_change();
    while let Some(job) = waiting.take().or_else(|| queue.next(&connection)) {
        let first = match job {
            Job::Change(change) => change,
            Job::Checkpoint(answer) => {
                let _ = answer.send(checkpoint(&connection));
                continue;
            }
        };
        queue.note_change();
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            tracing::error!(%error, "a transaction could not be begun");
            (first(Err(error.into())).reply)(Ok(()));
            continue;
        }
        let mut group = vec![first(Ok(&connection))];
        while group.len() < GROUP_MAX {
            match queue.jobs.try_recv() {
                Ok(Job::Change(change)) => group.push(change(Ok(&connection))),
                Ok(job) => {
                    waiting = Some(job);
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

/// As [`checkpoint`], without waiting for readers; says whether all of the log is in the database and the log is empty.
fn checkpoint_without_waiting(connection: &Connection) -> bool {
    let emptied = connection.busy_timeout(Duration::ZERO).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    });
    let restored = connection.busy_timeout(BUSY_MAX);
    match emptied.and_then(|busy| restored.map(|()| busy)) {
        Ok(busy) => busy == 0,
        Err(error) => {
            // A full disk or damage: the next change says so to somebody.
            tracing::debug!(%error, "the write-ahead log could not be moved into the database");
            false
        }
    }
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
    async fn the_log_is_moved_into_the_database_while_no_change_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let connection = crate::connect(&path).unwrap();
        connection.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY)").unwrap();
        let after = Duration::from_millis(20);
        let writer = Writer::start_with(connection, path.clone(), after);
        let reader = Connection::open(&path).unwrap();
        let log_bytes = || std::fs::metadata(crate::beside(&path, "-wal")).unwrap().len();
        // The second round begins with a reader in the way, which no change waits for.
        for n in 0..2 {
            reader.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
            writer
                .run(move |connection| Ok(connection.execute("INSERT INTO numbers VALUES (?1)", [n])?))
                .await
                .unwrap();
            assert!(log_bytes() > 0);
            reader.execute_batch("COMMIT").unwrap();
            let begun = Instant::now();
            while log_bytes() > 0 {
                assert!(begun.elapsed() < Duration::from_secs(20), "the log stays");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(is_stored(&reader, n));
        }
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
