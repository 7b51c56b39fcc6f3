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
//! the log only. After something was erased it is emptied at once. A long read can be in the way of that: nobody waits for
//! it, and every second another try is made, also while changes wait, until the log is empty.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use lar_base::Instant;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{BUSY_MAX, Error};

/// How long emptying the log waits for reads that use it, when something was erased: a page of a list or a search is read in
/// less, also on a busy machine. Changes wait meanwhile, so it is no longer than that.
const EMPTY_WAIT: Duration = Duration::from_millis(250);
/// When emptying the log is tried again where a longer read was in the way, and how long that waits: a fortieth of the
/// writer's time while the read lasts.
const EMPTY_AGAIN_AFTER: Duration = Duration::from_secs(1);
const EMPTY_AGAIN_WAIT: Duration = Duration::from_millis(25);

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
    Checkpoint(oneshot::Sender<Result<Emptied, Error>>),
}

/// What became of an attempt to empty the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emptied {
    /// The log is empty.
    Now,
    /// A read was in the way: the writer empties the log when that has ended.
    Later,
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

    /// Empties the write-ahead log, so that nothing is left in it of what was erased. Waits for a short read only; those who
    /// ask while a long one lasts share its retries.
    pub(crate) async fn checkpoint(&self) -> Result<Emptied, Error> {
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
    /// When a read was last in the way of emptying the log, in which there is something that was erased; none otherwise.
    hindered_at: Option<Instant>,
    /// Whether the last try to empty the log failed: then the next caller tries again, since there may be room by then.
    has_failed: bool,
}

impl Queue {
    fn new(jobs: mpsc::Receiver<Job>, checkpoint_after: Duration) -> Self {
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self {
            jobs,
            timer: timer.ok(),
            checkpoint_after,
            changed_at: None,
            hindered_at: None,
            has_failed: false,
        }
    }

    /// Waits for the next job; moves the log into the database when that is due and no job waits, and also while jobs wait
    /// where something was erased. Returns none when every [`Writer`] is dropped.
    fn next(&mut self, connection: &Connection) -> Option<Job> {
        loop {
            if self.hindered_at.is_some_and(|at| at.elapsed() >= EMPTY_AGAIN_AFTER)
                && let Err(error) = self.empty(connection, EMPTY_AGAIN_WAIT)
            {
                tracing::debug!(%error, "the write-ahead log could not be emptied");
            }
            match self.jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            if self.changed_at.is_some_and(|at| at.elapsed() >= self.checkpoint_after) {
                self.move_log(connection);
                continue;
            }
            let (Some(left), Some(timer)) = (self.left(), &self.timer) else {
                return self.jobs.blocking_recv();
            };
            let jobs = &mut self.jobs;
            if let Ok(job) = timer.block_on(async { tokio::time::timeout(left, jobs.recv()).await }) {
                return job;
            }
        }
    }

    /// The time until the log is due to be moved or emptied; none where it is not.
    fn left(&self) -> Option<Duration> {
        let left = |since: Option<Instant>, after: Duration| Some(after.saturating_sub(since?.elapsed()));
        let (moved, emptied) =
            (left(self.changed_at, self.checkpoint_after), left(self.hindered_at, EMPTY_AGAIN_AFTER));
        [moved, emptied].into_iter().flatten().min()
    }

    /// Moves the log into the database, if no read is in the way.
    fn move_log(&mut self, connection: &Connection) {
        match checkpoint(connection, Duration::ZERO) {
            Ok(Emptied::Now) => (self.changed_at, self.hindered_at) = (None, None),
            // Another try comes later where readers still use the log.
            Ok(Emptied::Later) => self.changed_at = Some(Instant::now()),
            Err(error) => {
                // A full disk or damage: the next change says so to somebody.
                tracing::debug!(%error, "the write-ahead log could not be moved into the database");
                self.changed_at = Some(Instant::now());
            }
        }
    }

    /// Empties the log of what was erased; where a read is in the way for longer than `wait`, another try is due.
    fn empty(&mut self, connection: &Connection, wait: Duration) -> Result<Emptied, rusqlite::Error> {
        let emptied = checkpoint(connection, wait);
        self.has_failed = emptied.is_err();
        match emptied {
            Ok(Emptied::Now) => (self.changed_at, self.hindered_at) = (None, None),
            Ok(Emptied::Later) => self.hindered_at = Some(Instant::now()),
            Err(_) => self.hindered_at = self.hindered_at.map(|_| Instant::now()),
        }
        emptied
    }

    /// Empties the log for everybody who asks now. While a long read is in the way, the next try is due soon, and nobody
    /// waits for it. Returns the job behind theirs, if there is one.
    fn empty_for(
        &mut self,
        connection: &Connection,
        first: oneshot::Sender<Result<Emptied, Error>>,
    ) -> Option<Job> {
        let mut behind = None;
        let mut asking = vec![first];
        while asking.len() < GROUP_MAX {
            match self.jobs.try_recv() {
                Ok(Job::Checkpoint(answer)) => asking.push(answer),
                Ok(job) => {
                    behind = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let emptied = match self.hindered_at {
            Some(_) if !self.has_failed => Ok(Emptied::Later),
            _ => self.empty(connection, EMPTY_WAIT),
        };
        for answer in asking {
            let _ = answer.send(same_outcome(&emptied));
        }
        behind
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
                waiting = queue.empty_for(&connection, answer);
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
    let _ = checkpoint(&connection, BUSY_MAX);
}

/// The outcome of one commit or one try to empty the log, for each of those who share it.
fn same_outcome<T: Copy>(outcome: &Result<T, rusqlite::Error>) -> Result<T, Error> {
    match outcome {
        Ok(value) => Ok(*value),
        Err(rusqlite::Error::SqliteFailure(cause, message)) => {
            Err(rusqlite::Error::SqliteFailure(*cause, message.clone()).into())
        }
        Err(_) => Err(Error::Closed),
    }
}

/// Moves the log into the database and empties it; waits for reads that use it for `wait` at most.
fn checkpoint(connection: &Connection, wait: Duration) -> Result<Emptied, rusqlite::Error> {
    let busy = connection.busy_timeout(wait).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    });
    connection.busy_timeout(BUSY_MAX)?;
    Ok(if busy? == 0 { Emptied::Now } else { Emptied::Later })
}

/// Runs `change`, undoing what it did when it fails or panics.
fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    // When SQLite gave the whole transaction up (a full disk), later changes must not run outside one.
    if connection.is_autocommit() {
        return Err(Error::Full { path: None, why: None });
    }
    connection.execute_batch("SAVEPOINT change")?;
    let result = caught(|| change(connection));
    if connection.is_autocommit() {
        return result.and(Err(Error::Full { path: None, why: None }));
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

    /// A long read is in the way: nobody waits for it for long, and the log is empty soon after it ended, also while changes
    /// come in all the time.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_long_read_keeps_no_eraser_waiting_and_the_log_is_emptied_when_it_ends() {
        const ERASERS: i64 = 20;
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = writer(directory.path());
        let log_bytes =
            || std::fs::metadata(crate::beside(&directory.path().join("test.db"), "-wal")).unwrap().len();
        let insert = |n: i64| {
            writer.run(move |connection| Ok(connection.execute("INSERT INTO numbers VALUES (?1)", [n])?))
        };
        insert(0).await.unwrap();
        assert_eq!(writer.checkpoint().await.unwrap(), Emptied::Now);
        assert_eq!(log_bytes(), 0);

        insert(1).await.unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
        insert(2).await.unwrap();
        let begun = Instant::now();
        for n in 3..3 + ERASERS {
            insert(n).await.unwrap();
            assert_eq!(writer.checkpoint().await.unwrap(), Emptied::Later);
        }
        // Their commits included: had each waited as other connections do, it would be five times that.
        assert!(begun.elapsed() < BUSY_MAX * 4, "{:?}", begun.elapsed());
        assert!(log_bytes() > 0);
        reader.execute_batch("COMMIT").unwrap();
        // Only emptying it makes the file shorter.
        let (ended, mut longest) = (Instant::now(), log_bytes());
        for n in 1000.. {
            assert!(ended.elapsed() < Duration::from_secs(20), "the log stays");
            insert(n).await.unwrap();
            if log_bytes() < longest {
                break;
            }
            longest = log_bytes();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn those_who_ask_together_share_one_try() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, reader) = writer(directory.path());
        let insert = |n: i64| {
            writer.run(move |connection| Ok(connection.execute("INSERT INTO numbers VALUES (?1)", [n])?))
        };
        insert(1).await.unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
        insert(2).await.unwrap();
        // The writer is busy until all of them have asked.
        let (gate, waits) = std::sync::mpsc::channel::<()>();
        let busy = tokio::spawn({
            let writer = writer.clone();
            async move {
                let change = move |_: &Connection| {
                    let _ = waits.recv();
                    Ok(())
                };
                writer.run(change).await
            }
        });
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let writer = writer.clone();
            asking.spawn(async move { writer.checkpoint().await });
        }
        tokio::task::yield_now().await;
        let begun = Instant::now();
        drop(gate);
        busy.await.unwrap().unwrap();
        while let Some(asked) = asking.join_next().await {
            assert_eq!(asked.unwrap().unwrap(), Emptied::Later);
        }
        assert!(begun.elapsed() < EMPTY_WAIT * 10, "{:?}", begun.elapsed());
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
