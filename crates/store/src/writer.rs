//! The one writer: a thread that owns the writing connection and lets callers share a sync.
//!
//! Callers hand over closures. The thread takes whatever waits (up to [`GROUP_MAX`]), runs each in a
//! savepoint of one transaction ([`group`]), commits, and only then answers all of them: an answer means on disk. One
//! closure's error, or panic, rolls back its own savepoint and nobody else's work, unless SQLite gives the transaction up. After a
//! panic the thread goes on with a new connection.
//!
//! Grouping is why durable commits scale: a sync costs 0.2 to 4 ms, shared by everyone who waited. One transaction at a
//! time is also what [`crate::wal`] relies on to tell damage from a power failure.
//!
//! A minute after the log was written to, it is moved into the database while no change waits, so that few changes are in
//! the log only. After something was erased it is emptied at once. A long read can be in the way of that: nobody waits for
//! it, and every second another try is made, also while changes wait, until the log is empty. It is emptied when the writer
//! starts, too: a process that was killed may have left in it what it erased.
//!
//! On a full disk, changes that free something and emptying the log after them are run once more with the room of the
//! [`Reserve`]. The thread does so itself before it takes another job, so that nobody else uses that room.

mod group;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lar_base::Instant;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::group::{ChangeFn, Group, change_once, freeing_change};
use crate::{BUSY_MAX, Error, Reserve};

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

enum Job {
    Change(ChangeFn),
    /// Moves the write-ahead log into the database and empties it.
    Checkpoint(oneshot::Sender<Result<EmptyLogOutcome, Error>>),
}

/// What became of an attempt to empty the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptyLogOutcome {
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
    pub(crate) fn start(connection: Connection, path: PathBuf, reserve: Arc<Reserve>) -> Self {
        Self::start_with(connection, path, reserve, CHECKPOINT_AFTER)
    }

    fn start_with(
        connection: Connection,
        path: PathBuf,
        reserve: Arc<Reserve>,
        checkpoint_after: Duration,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("store-writer".into());
        let queue = Queue::new(receiver, checkpoint_after);
        let work = move || serve(connection, &path, &reserve, queue);
        thread.spawn(work).expect("a thread can be started");
        Self { jobs }
    }

    /// Runs `change` in the next group and returns once it is on disk.
    pub(crate) async fn run<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Job::Change(change_once(change, answer));
        self.jobs.send(job).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// As [`Writer::run`], for a change that frees something: where it finds no room, it is undone and run once more with the
    /// reserve.
    pub(crate) async fn run_freeing<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Job::Change(freeing_change(change, answer));
        self.jobs.send(job).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Empties the write-ahead log, so that nothing is left in it of what was erased; on a full disk it uses the reserve. Waits
    /// for a short read only; those who ask while a long one lasts share its retries.
    pub(crate) async fn checkpoint(&self) -> Result<EmptyLogOutcome, Error> {
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
    /// When emptying the log was last tried in vain, while it has or may have something that was erased: a read was in the way,
    /// or the first try failed. None otherwise.
    blocked_at: Option<Instant>,
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
            blocked_at: None,
            has_failed: false,
        }
    }

    /// Waits for the next job; moves the log into the database when that is due and no job waits, and also while jobs wait
    /// where something was erased. Returns none when every [`Writer`] is dropped.
    fn next(&mut self, connection: &Connection) -> Option<Job> {
        loop {
            if self.blocked_at.is_some_and(|at| at.elapsed() >= EMPTY_AGAIN_AFTER)
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
            let (Some(left), Some(timer)) = (self.time_until_due(), &self.timer) else {
                return self.jobs.blocking_recv();
            };
            let jobs = &mut self.jobs;
            if let Ok(job) = timer.block_on(async { tokio::time::timeout(left, jobs.recv()).await }) {
                return job;
            }
        }
    }

    /// The time until the log is due to be moved or emptied; none where it is not.
    fn time_until_due(&self) -> Option<Duration> {
        let left = |since: Option<Instant>, after: Duration| Some(after.saturating_sub(since?.elapsed()));
        let (moved, emptied) =
            (left(self.changed_at, self.checkpoint_after), left(self.blocked_at, EMPTY_AGAIN_AFTER));
        [moved, emptied].into_iter().flatten().min()
    }

    /// Moves the log into the database, if no read is in the way.
    fn move_log(&mut self, connection: &Connection) {
        match checkpoint(connection, Duration::ZERO) {
            Ok(EmptyLogOutcome::Now) => (self.changed_at, self.blocked_at) = (None, None),
            // Another try comes later where readers still use the log.
            Ok(EmptyLogOutcome::Later) => self.changed_at = Some(Instant::now()),
            Err(error) => {
                // A full disk or damage: the next change says so to somebody.
                tracing::debug!(%error, "the write-ahead log could not be moved into the database");
                self.changed_at = Some(Instant::now());
            }
        }
    }

    /// Empties the log of what was erased; where a read is in the way for longer than `wait`, another try is due.
    fn empty(&mut self, connection: &Connection, wait: Duration) -> Result<EmptyLogOutcome, rusqlite::Error> {
        let emptied = checkpoint(connection, wait);
        self.has_failed = emptied.is_err();
        match emptied {
            Ok(EmptyLogOutcome::Now) => (self.changed_at, self.blocked_at) = (None, None),
            Ok(EmptyLogOutcome::Later) => self.blocked_at = Some(Instant::now()),
            Err(_) => self.blocked_at = self.blocked_at.map(|_| Instant::now()),
        }
        emptied
    }

    /// Empties the log of what the migrations left in it, and of what a process erased that was killed before it emptied the log.
    /// Waits for a short read only; where that is not enough, or it fails, it is tried again every second.
    fn empty_at_start(&mut self, connection: &Connection) {
        self.note_change();
        // So that another try is due also where this one fails.
        self.blocked_at = Some(Instant::now());
        match self.empty(connection, EMPTY_WAIT) {
            Ok(EmptyLogOutcome::Now) => {}
            Ok(EmptyLogOutcome::Later) => {
                tracing::debug!("a read is in the way of emptying the write-ahead log; another try comes");
            }
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be emptied at start; another try comes");
            }
        }
    }

    /// As [`Queue::empty`]; on a full disk it is tried a second time with the reserve.
    fn empty_with_reserve(
        &mut self,
        connection: &Connection,
        reserve: &Reserve,
    ) -> Result<EmptyLogOutcome, rusqlite::Error> {
        let emptied = self.empty(connection, EMPTY_WAIT);
        if same_outcome(&emptied).is_err_and(|error| error.is_full_disk()) {
            return reserve.release_for(|| self.empty(connection, EMPTY_WAIT), Result::is_err);
        }
        emptied
    }

    /// Empties the log for everybody who asks now. While a long read is in the way, the next try is due soon, and nobody
    /// waits for it. Returns the job behind theirs, if there is one.
    fn empty_for(
        &mut self,
        connection: &Connection,
        reserve: &Reserve,
        first: oneshot::Sender<Result<EmptyLogOutcome, Error>>,
    ) -> Option<Job> {
        let mut behind = None;
        let mut waiting_callers = vec![first];
        while waiting_callers.len() < GROUP_MAX {
            match self.jobs.try_recv() {
                Ok(Job::Checkpoint(answer)) => waiting_callers.push(answer),
                Ok(job) => {
                    behind = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let emptied = match self.blocked_at {
            Some(_) if !self.has_failed => Ok(EmptyLogOutcome::Later),
            _ => self.empty_with_reserve(connection, reserve),
        };
        for answer in waiting_callers {
            let _ = answer.send(same_outcome(&emptied));
        }
        behind
    }

    /// Notes that the log was written to.
    fn note_change(&mut self) {
        self.changed_at.get_or_insert_with(Instant::now);
    }
}

fn serve(mut connection: Connection, path: &Path, reserve: &Reserve, mut queue: Queue) {
    let mut waiting = None;
    queue.empty_at_start(&connection);
    while let Some(job) = waiting.take().or_else(|| queue.next(&connection)) {
        let first = match job {
            Job::Change(change) => change,
            Job::Checkpoint(answer) => {
                waiting = queue.empty_for(&connection, reserve, answer);
                continue;
            }
        };
        queue.note_change();
        let group = Group::commit(&connection, first, || match queue.jobs.try_recv() {
            Ok(Job::Change(change)) => Some(change),
            Ok(job) => {
                waiting = Some(job);
                None
            }
            Err(_) => None,
        });
        let mut has_panicked = group.has_panicked();
        let to_retry = group.answer();
        if !to_retry.is_empty() {
            has_panicked |= run_with_reserve(&connection, reserve, &mut queue, to_retry);
        }
        if has_panicked {
            // What the closure left behind in the old connection is not known.
            match crate::connect(path) {
                Ok(fresh) => connection = fresh,
                Err(error) => tracing::error!(%error, "the writer keeps its connection after a panic"),
            }
        }
    }
    let _ = checkpoint(&connection, BUSY_MAX);
}

/// Runs changes that found no room once more, with the reserve, and answers their callers when room is kept again. Each has a
/// transaction of its own, and the log is moved into the database after it, so that its room is there for the next. Returns
/// whether one panicked.
fn run_with_reserve(
    connection: &Connection,
    reserve: &Reserve,
    queue: &mut Queue,
    changes: Vec<ChangeFn>,
) -> bool {
    let run = || {
        let mut groups = Vec::with_capacity(changes.len());
        for change in changes {
            groups.push(Group::commit(connection, change, || None));
            queue.note_change();
            queue.move_log(connection);
        }
        groups
    };
    let groups = reserve.release_for(run, |groups: &Vec<Group>| groups.iter().any(Group::has_failed));
    let has_panicked = groups.iter().any(Group::has_panicked);
    for group in groups {
        // Nothing comes back: each change was made by `change_once`.
        group.answer();
    }
    has_panicked
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
fn checkpoint(connection: &Connection, wait: Duration) -> Result<EmptyLogOutcome, rusqlite::Error> {
    let busy = connection.busy_timeout(wait).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    });
    connection.busy_timeout(BUSY_MAX)?;
    Ok(if busy? == 0 { EmptyLogOutcome::Now } else { EmptyLogOutcome::Later })
}

/// What a closure returns; its panic, which the hook has logged, as an error.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(panic = message, "a query of the database panicked; it changed nothing");
        Err(Error::Panicked)
    })
}
