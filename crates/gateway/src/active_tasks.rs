//! The tasks that are under way, and those that are over and can still be read; and the handle by which
//! others follow and stop one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Code, Instant, KeyId, Problem, TaskId, UserId};
use lar_engines::Engines;
use lar_engines::driver::FinishReason;

use crate::task::OnDisconnect;
use crate::task_events::{
    End, EventLog, OnDrop, PrefillProgress, TaskEvent, TaskEventReader, cancelled_problem,
};

/// Tasks that are over and can still be read, at most so many.
const FINISHED_TASKS_MAX: usize = 1000;
/// And at most so much of their text.
const FINISHED_BYTES_MAX: usize = 64 << 20;

/// A task that was dispatched.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    pub(crate) engines: Engines,
    pub(crate) task: Arc<ActiveTask>,
}

impl TaskHandle {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task.id
    }

    /// The name of the model that serves it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.task.model
    }

    /// Waits for the answer of a task whose answer comes at once, vectors or scores, and the tokens that were
    /// read for it.
    ///
    /// # Errors
    /// What the task ended with.
    pub async fn collect(&self) -> Result<(TaskEvent, u64), Problem> {
        let stopped = || Problem::new(Code::EngineFailed, "the task was stopped");
        let (mut reader, mut answer) = (self.read(0), None);
        loop {
            match reader.next().await.map(|(_, event)| event) {
                Some(event @ (TaskEvent::Vectors(_) | TaskEvent::Scores(_))) => answer = Some(event),
                Some(TaskEvent::End(end)) => return Ok((answer.ok_or_else(stopped)?, end.tokens_in)),
                Some(TaskEvent::Error(problem)) => return Err(problem),
                Some(TaskEvent::Cancelled) => return Err(cancelled_problem()),
                None => return Err(stopped()),
                Some(_) => {}
            }
        }
    }

    /// Follows the events from number `from` on. When the last reader of a task goes away, its
    /// [`OnDisconnect`] says what happens.
    #[must_use]
    pub fn read(&self, from: usize) -> TaskEventReader {
        let handle = self.clone();
        let runtime = tokio::runtime::Handle::try_current();
        let on_disconnect = move || {
            let grace = match handle.task.on_disconnect {
                _ if handle.task.log.has_ended() => return,
                OnDisconnect::KeepRunning => return,
                OnDisconnect::Cancel => return handle.cancel(),
                OnDisconnect::CancelAfter(grace) => grace,
            };
            if let Ok(runtime) = runtime {
                runtime.spawn(async move {
                    tokio::time::sleep(grace).await;
                    if handle.task.log.readers() == 0 {
                        handle.cancel();
                    }
                });
            }
        };
        TaskEventReader::new(self.task.log.clone(), from, OnDrop(Box::new(on_disconnect)))
            .with_task(self.task.clone())
    }

    /// Whether its terminal event has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.task.log.has_ended()
    }

    /// Asks for its end. The terminal event comes when the engine has confirmed.
    pub fn cancel(&self) {
        self.engines.cancel(self.task.id);
    }
}

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct ActiveTasks {
    pub(crate) by_id: HashMap<TaskId, Arc<ActiveTask>>,
    finished: VecDeque<(TaskId, usize)>,
    finished_bytes: usize,
}

/// One task on its way.
#[derive(Debug)]
pub(crate) struct ActiveTask {
    pub(crate) id: TaskId,
    pub(crate) user: UserId,
    pub(crate) key: KeyId,
    pub(crate) model: String,
    pub(crate) on_disconnect: OnDisconnect,
    /// The id of the request that it is done for.
    pub(crate) request_id: Option<Arc<str>>,
    pub(crate) admitted_at: Instant,
    pub(crate) log: Arc<EventLog>,
    pub(crate) progress: Mutex<TaskProgress>,
}

/// What is measured of a task while it runs.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct TaskProgress {
    pub(crate) tokens_in: u64,
    pub(crate) tokens_cached: u64,
    pub(crate) tokens_out: u64,
    pub(crate) queued: Option<Duration>,
    /// When the engine reported for the first time how much of the prompt it has read.
    pub(crate) prefill_since: Option<Instant>,
    pub(crate) first: Option<Duration>,
}

impl TaskProgress {
    /// Takes in that so many tokens of the prompt are in the KV cache. The first report counts the cached ones.
    pub(crate) fn record_prefill(&mut self, tokens: u32) -> PrefillProgress {
        let processed = u64::from(tokens);
        let since = *self.prefill_since.get_or_insert_with(|| {
            self.tokens_cached = processed;
            Instant::now()
        });
        PrefillProgress {
            total: self.tokens_in,
            cached: self.tokens_cached,
            processed,
            elapsed_ms: millis(since.elapsed()),
        }
    }
}

impl ActiveTasks {
    /// Forgets a task that nobody can come back to; remembers the others within bounds.
    pub(crate) fn retire(&mut self, task: &Arc<ActiveTask>) {
        if task.on_disconnect == OnDisconnect::Cancel {
            self.by_id.remove(&task.id);
            return;
        }
        let bytes = task.log.bytes();
        self.finished.push_back((task.id, bytes));
        self.finished_bytes += bytes;
        while self.finished.len() > FINISHED_TASKS_MAX || self.finished_bytes > FINISHED_BYTES_MAX {
            let Some((id, bytes)) = self.finished.pop_front() else { break };
            self.by_id.remove(&id);
            self.finished_bytes -= bytes;
        }
    }
}

impl ActiveTask {
    pub(crate) fn progress(&self) -> MutexGuard<'_, TaskProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the task by now, as if it ended for this reason.
    pub(crate) fn so_far(&self, reason: FinishReason) -> End {
        let progress = *self.progress();
        let total = self.admitted_at.elapsed();
        let first = progress.first.unwrap_or(total);
        End {
            reason,
            tokens_in: progress.tokens_in,
            tokens_cached: progress.tokens_cached,
            tokens_out: progress.tokens_out,
            queue_ms: progress.queued.map_or(0, millis),
            ttft_ms: millis(first),
            decode_ms: millis(total.saturating_sub(first)),
        }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
