//! The tasks in progress, the finished ones that can still be read, and the handle to follow and stop a task.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Instant, KeyId, Problem, TaskId, UserId};
use lar_engines::Engines;
use lar_inference::{
    FinishReason, PrefillProgress, TaskEvent, TaskSummary, cancelled_problem, stopped_problem,
};

use crate::task::OnDisconnect;
use crate::task_events::{EventLog, OnDrop, TaskEventReader};

/// The most finished tasks that can still be read.
const FINISHED_TASKS_MAX: usize = 1000;
/// The most bytes of their text.
const FINISHED_BYTES_MAX: usize = 64 << 20;

/// A handle to a task that was dispatched.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    pub(crate) engines: Engines,
    pub(crate) task: Arc<ActiveTask>,
}

impl TaskHandle {
    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task.id
    }

    /// Returns the name of the model that serves the task.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.task.model
    }

    /// Waits for embeddings or scores, which arrive in one event. Returns them with the number of tokens
    /// read.
    ///
    /// # Errors
    /// The error that ended the task.
    pub async fn collect(&self) -> Result<(TaskEvent, u64), Problem> {
        let (mut reader, mut answer) = (self.read(0), None);
        loop {
            match reader.next().await.map(|(_, event)| event) {
                Some(event @ (TaskEvent::Vectors(_) | TaskEvent::Scores(_))) => answer = Some(event),
                Some(TaskEvent::End(end)) => return Ok((answer.ok_or_else(stopped_problem)?, end.tokens_in)),
                Some(TaskEvent::Error(problem)) => return Err(problem),
                Some(TaskEvent::Cancelled) => return Err(cancelled_problem()),
                None => return Err(stopped_problem()),
                Some(_) => {}
            }
        }
    }

    /// Follows the events from number `from` on. When the last reader is dropped, the task's [`OnDisconnect`]
    /// decides what happens.
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

    /// Returns whether the task's terminal event has arrived.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.task.log.has_ended()
    }

    /// Requests the end of the task. The terminal event follows when the engine has confirmed it.
    pub fn cancel(&self) {
        self.engines.cancel(self.task.id);
    }
}

/// All of these tasks.
#[derive(Debug, Default)]
pub(crate) struct ActiveTasks {
    pub(crate) by_id: HashMap<TaskId, Arc<ActiveTask>>,
    finished: VecDeque<(TaskId, usize)>,
    finished_bytes: usize,
}

/// A task in progress, or a finished one that can still be read.
#[derive(Debug)]
pub(crate) struct ActiveTask {
    pub(crate) id: TaskId,
    pub(crate) user: UserId,
    pub(crate) key: KeyId,
    pub(crate) model: String,
    pub(crate) on_disconnect: OnDisconnect,
    /// The id of the HTTP request that it belongs to.
    pub(crate) request_id: Option<Arc<str>>,
    pub(crate) admitted_at: Instant,
    pub(crate) log: Arc<EventLog>,
    pub(crate) progress: Mutex<TaskProgress>,
}

/// The measurements of a task while it runs.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct TaskProgress {
    pub(crate) tokens_in: u64,
    pub(crate) tokens_cached: u64,
    pub(crate) tokens_out: u64,
    pub(crate) queued: Option<Duration>,
    /// When the engine first reported the progress of prefill.
    pub(crate) prefill_since: Option<Instant>,
    pub(crate) first: Option<Duration>,
}

impl TaskProgress {
    /// Records that this many prompt tokens are in the KV cache. The first report counts the cached tokens.
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
    /// Forgets a finished task that clients cannot return to; keeps the others within limits.
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

    /// Returns the summary of the task so far, as if it ended now for this reason.
    pub(crate) fn so_far(&self, reason: FinishReason) -> TaskSummary {
        let progress = *self.progress();
        let total = self.admitted_at.elapsed();
        let first = progress.first.unwrap_or(total);
        TaskSummary {
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
