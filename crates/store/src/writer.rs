//! The one writer: a thread that owns the write connection and lets callers share a sync.
//!
//! Callers send closures. The thread takes all that are waiting (up to [`GROUP_MAX`]), runs each in a
//! savepoint of one transaction ([`group`]), commits, and only then answers their callers: an answer means
//! the change is on disk. An error or panic of one closure rolls back its own savepoint only, unless SQLite
//! rolls back the whole transaction. After a panic the thread continues with a new connection.
//!
//! Grouping makes durable commits scale: a sync costs 0.2 to 4 ms, and all waiting callers share it.
//! [`crate::wal`] relies on there being one transaction at a time: that is how it tells damage from a power
//! failure.
//!
//! A minute after its first change, the write-ahead log (WAL) is copied into the database while no change
//! waits, so that few changes exist in the WAL only. After an erasure the WAL is truncated immediately. A
//! long read can block that. Then no caller waits for it, and the thread retries every second, even while
//! changes wait, until the WAL is empty. The thread also truncates the WAL when it starts: a killed process
//! may have left erased content in it.
//!
//! On a full disk, a change that frees something, or a truncation after an erasure, runs again with the
//! [`Reserve`] released. The thread does that before it takes another job, so that no other change uses the
//! released space.

mod group;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lar_base::{Instant, error_chain};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::group::{ChangeFn, GROUP_MAX, Group, change_once, freeing_change, same_outcome};
use crate::connection::{BUSY_MAX, connect};
use crate::error::Error;
use crate::reserve::Reserve;

/// How long truncating the WAL after an erasure waits for reads that use it. A page of a list or of search
/// results is read in less, even on a busy machine. It is not longer, because changes wait meanwhile.
const EMPTY_WAIT: Duration = Duration::from_millis(250);
/// The interval between retries while a longer read blocks the truncation.
const EMPTY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long each retry waits for reads: a fortieth of the writer's time while a long read lasts.
const EMPTY_AGAIN_WAIT: Duration = Duration::from_millis(25);

/// The most jobs that may wait; beyond it, callers wait to enqueue theirs.
const QUEUE_MAX: usize = 4096;
/// How long after its first change the WAL is copied into the database. It counts from the first change, not
/// the last, because a health check writes every few seconds. A checkpoint writes 4 MiB at most unless an
/// earlier one failed; that takes a few milliseconds.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(60);

enum Job {
    Change(ChangeFn),
    /// Copies the WAL into the database and truncates it.
    Checkpoint(oneshot::Sender<Result<EmptyLogOutcome, Error>>),
}

/// The outcome of an attempt to truncate the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptyLogOutcome {
    /// The WAL is empty.
    Now,
    /// A read blocks the truncation; the writer truncates the WAL after the read ends.
    Later,
}

#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Moves the connection to the database at `path` to the writer thread. The thread ends (after a
    /// checkpoint) when the last clone is dropped.
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

    /// Like [`Writer::run`], for a change that frees something. If it finds the disk full, it is undone and
    /// runs again with the reserve released.
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

    /// Truncates the WAL, so that it contains nothing that was erased; on a full disk, with the reserve
    /// released. Waits for short reads only. While a long read lasts, all callers share its retries.
    pub(crate) async fn checkpoint(&self) -> Result<EmptyLogOutcome, Error> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Checkpoint(answer)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

/// The jobs that wait, and the times when the WAL must be copied or truncated between them.
struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// Waits for a job with a time limit. Without it, there are no checkpoints between jobs.
    timer: Option<tokio::runtime::Runtime>,
    checkpoint_after: Duration,
    /// When the WAL got its first change since the last checkpoint; `None` if it has no change.
    changed_at: Option<Instant>,
    /// When the last unsuccessful attempt to truncate the WAL was made, while the WAL may have erased
    /// content. A read blocked the attempt, or the attempt at start failed. Otherwise `None`.
    blocked_at: Option<Instant>,
    /// Whether the last truncation failed. Then the next caller tries again, since there may be space by
    /// then.
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

    /// Waits for the next job. Runs a due checkpoint while no job waits, and a due truncation even while jobs
    /// wait. Returns `None` when every [`Writer`] is dropped.
    fn next(&mut self, connection: &Connection) -> Option<Job> {
        loop {
            if self.blocked_at.is_some_and(|at| at.elapsed() >= EMPTY_AGAIN_AFTER)
                && let Err(error) = self.empty(connection, EMPTY_AGAIN_WAIT)
            {
                tracing::debug!(error = %error_chain(&error), "the write-ahead log could not be truncated");
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

    /// Returns the time until a checkpoint or truncation is due; `None` if neither is.
    fn time_until_due(&self) -> Option<Duration> {
        let left = |since: Option<Instant>, after: Duration| Some(after.saturating_sub(since?.elapsed()));
        let (moved, emptied) =
            (left(self.changed_at, self.checkpoint_after), left(self.blocked_at, EMPTY_AGAIN_AFTER));
        [moved, emptied].into_iter().flatten().min()
    }

    /// Copies the WAL into the database and truncates it, if no read blocks that.
    fn move_log(&mut self, connection: &Connection) {
        match checkpoint(connection, Duration::ZERO) {
            Ok(EmptyLogOutcome::Now) => (self.changed_at, self.blocked_at) = (None, None),
            // Readers still use the WAL: try again later.
            Ok(EmptyLogOutcome::Later) => self.changed_at = Some(Instant::now()),
            Err(error) => {
                // A full disk or damage: the next change reports it to its caller.
                tracing::debug!(
                    error = %error_chain(&error),
                    "the write-ahead log could not be copied into the database"
                );
                self.changed_at = Some(Instant::now());
            }
        }
    }

    /// Truncates the WAL after an erasure. If a read blocks that for longer than `wait`, a retry is
    /// scheduled.
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

    /// Truncates the WAL at start: migrations, or a process that was killed, may have left erased content in
    /// it. Waits for short reads only. If a read blocks it, or it fails, it is retried every second.
    fn empty_at_start(&mut self, connection: &Connection) {
        self.note_change();
        // A retry is due even if this attempt fails.
        self.blocked_at = Some(Instant::now());
        match self.empty(connection, EMPTY_WAIT) {
            Ok(EmptyLogOutcome::Now) => {}
            Ok(EmptyLogOutcome::Later) => {
                tracing::debug!("a read blocks truncating the write-ahead log; retrying");
            }
            Err(error) => {
                tracing::warn!(
                    error = %error_chain(&error),
                    "the write-ahead log could not be truncated at start; retrying"
                );
            }
        }
    }

    /// Like [`Queue::empty`]; on a full disk it is tried again with the reserve released.
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

    /// Truncates the WAL for all callers that currently ask for it. While a long read blocks it, no caller
    /// waits: a retry is due soon. Returns the job after these callers' jobs, if there is one.
    fn empty_for(
        &mut self,
        connection: &Connection,
        reserve: &Reserve,
        first: oneshot::Sender<Result<EmptyLogOutcome, Error>>,
    ) -> Option<Job> {
        let mut next_job = None;
        let mut waiting_callers = vec![first];
        while waiting_callers.len() < GROUP_MAX {
            match self.jobs.try_recv() {
                Ok(Job::Checkpoint(answer)) => waiting_callers.push(answer),
                Ok(job) => {
                    next_job = Some(job);
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
        next_job
    }

    /// Records that the WAL was written to.
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
            // The panicked closure may have left the old connection in any state.
            match connect(path) {
                Ok(fresh) => connection = fresh,
                Err(error) => {
                    tracing::error!(
                        error = %error_chain(&error),
                        "the writer keeps its connection after a panic"
                    );
                }
            }
        }
    }
    let _ = checkpoint(&connection, BUSY_MAX);
}

/// Runs changes that found the disk full again, with the reserve released. Answers their callers once space
/// is reserved again. Each change has a transaction of its own, and the WAL is copied into the database after
/// it, so that the next change can use its space. Returns whether a change panicked.
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
        // No change is returned: each was created by `change_once`.
        group.answer();
    }
    has_panicked
}

/// Copies the WAL into the database and truncates it; waits up to `wait` for reads that use it.
fn checkpoint(connection: &Connection, wait: Duration) -> Result<EmptyLogOutcome, rusqlite::Error> {
    let busy = connection.busy_timeout(wait).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    });
    connection.busy_timeout(BUSY_MAX)?;
    Ok(if busy? == 0 { EmptyLogOutcome::Now } else { EmptyLogOutcome::Later })
}
