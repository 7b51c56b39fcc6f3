//! The scheduler's input and output: its events, its actions and its limits.

use std::time::Duration;

use lar_base::{Bytes, Instant, KeyId, TaskId, UserId};
use lar_inference::{CallerIds, Priority, WaitReason};

/// The name of a pool: the catalog's name of its model.
pub type PoolId = String;

/// The policy for a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FullPolicy {
    /// The new task is refused.
    #[default]
    Reject,
    /// The task that has waited longest is dropped and gets a refusal.
    DropOldest,
}

/// The limits of the pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The number of tasks that may wait, per pool and priority.
    pub queue_len_max: usize,
    /// The policy for a new task when its queue has [`Limits::queue_len_max`] tasks.
    pub full_policy: FullPolicy,
    /// The wait after which a batch task goes before interactive tasks.
    pub batch_wait_max: Duration,
    /// The memory that loaded models may use together.
    pub memory: Bytes,
    /// The time for which an unused model stays loaded; `None` is forever.
    pub keep_alive: Option<Duration>,
    /// The wait for memory after which models in use accept no new tasks, so that they can be unloaded.
    pub swap_wait_max: Duration,
    /// The time after which a running task is stopped while its user or key has every slot of a pool and
    /// others wait; `None` is never. If the engine pauses generations, the others must also have waited for
    /// five minutes.
    pub slot_hold_max: Option<Duration>,
}

impl Limits {
    /// Returns the tasks of one key that may wait in a queue: half of it.
    #[must_use]
    pub const fn key_share(&self) -> usize {
        self.queue_len_max.div_ceil(2)
    }

    /// Returns the tasks of all keys of one user that may wait in a queue: three quarters of it.
    #[must_use]
    pub const fn person_share(&self) -> usize {
        self.queue_len_max - self.queue_len_max / 4
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_len_max: 256,
            full_policy: FullPolicy::Reject,
            batch_wait_max: Duration::from_secs(60),
            memory: Bytes(u64::MAX),
            keep_alive: None,
            swap_wait_max: Duration::from_secs(20),
            slot_hold_max: Some(Duration::from_secs(1800)),
        }
    }
}

/// A task's request for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The id of the task; never submitted twice.
    pub task: TaskId,
    /// The pool of the requested model.
    pub pool: PoolId,
    /// The API key that sent the task. Keys of the same priority take turns.
    pub caller: KeyId,
    /// The user who owns the key. Users take turns, too.
    pub person: UserId,
    /// The queue that the task waits in: each pool has one per priority.
    pub priority: Priority,
    /// The time after which the result is useless. The task is then refused or stopped; `None` is never.
    pub deadline: Option<Instant>,
}

impl Request {
    /// Returns the user and the key that share the pool with others.
    pub(super) fn caller_ids(&self) -> CallerIds {
        CallerIds { person: self.person, key: self.caller }
    }
}

/// An event that the scheduler must react to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerEvent {
    /// A pool was added; its model is not loaded.
    PoolAdded {
        /// The pool's name.
        pool: PoolId,
        /// The expected number of slots, for estimates until the engine is ready.
        concurrency: u32,
        /// The share of [`Limits::memory`] that the model uses while it is loaded. A model that uses none,
        /// because it runs elsewhere, is never unloaded to make room.
        memory: Bytes,
    },
    /// The model shall be loaded before a task needs it.
    PoolLoadRequested {
        /// The pool's name.
        pool: PoolId,
    },
    /// The model shall be unloaded.
    PoolUnloadRequested {
        /// The pool's name.
        pool: PoolId,
    },
    /// The model shall stay loaded after its last use for another time than [`Limits::keep_alive`]. This
    /// applies until the next unload.
    PoolKeepAliveSet {
        /// The pool's name.
        pool: PoolId,
        /// The time; `None` is [`Limits::keep_alive`].
        keep_alive: Option<Duration>,
    },
    /// The pool was removed. Its waiting tasks are refused, its running tasks continue.
    PoolRemoved {
        /// The pool's name.
        pool: PoolId,
    },
    /// The engine accepts tasks.
    PoolReady {
        /// The pool's name.
        pool: PoolId,
        /// The number of slots, at least 1.
        concurrency: u32,
        /// The number of further tasks that the engine accepts, and for which it pauses others.
        paused_max: u32,
    },
    /// The engine was unloaded, or died and will be started again. Waiting tasks stay in the queue.
    PoolDown {
        /// The pool's name.
        pool: PoolId,
    },
    /// The engine cannot be started. The waiting tasks are refused.
    PoolFailed {
        /// The pool's name.
        pool: PoolId,
        /// Why the engine could not be started. It is part of each refusal, so callers read it.
        reason: String,
    },
    /// A task asks for a lease.
    Submit(Request),
    /// The caller no longer wants the answer of a task.
    Cancel {
        /// The task to cancel; it waits or runs. An unknown task is ignored.
        task: TaskId,
    },
    /// The engine gave a task a slot. Only engines that pause generations report this.
    Started {
        /// The running task that computes again, or for the first time.
        task: TaskId,
    },
    /// The engine paused a task and gave its slot to another. `Started` follows when the task gets one again.
    Paused {
        /// The running task that keeps its lease but has no slot now.
        task: TaskId,
    },
    /// Nobody reads the output of a task any more.
    Unread {
        /// The running task to stop. A waiting one stays in the queue.
        task: TaskId,
    },
    /// The engine confirmed that it no longer works on a task, for any reason.
    Stopped {
        /// The task whose lease is freed, so that another one can start.
        task: TaskId,
    },
    /// Time passed without another event.
    Tick,
}

/// The reason why a task got no lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The pool's queue of this priority has [`Limits::queue_len_max`] tasks.
    QueueFull {
        /// The number of waiting tasks.
        waiting: usize,
        /// The estimated time until one of them starts.
        retry_after: Duration,
    },
    /// The tasks of the same key or user fill its share of the queue.
    ShareFull {
        /// The owner of the full share: the key or the user.
        owner: ShareOwner,
        /// The number of the owner's waiting tasks.
        waiting: usize,
        /// The estimated time until one of them starts.
        retry_after: Duration,
    },
    /// The task had waited longest when the queue, or its owner's share of it, was full.
    Dropped,
    /// The task could not start before its deadline, so it was not queued.
    DeadlineUnmet {
        /// The estimated wait, which is longer than the deadline allows.
        predicted_start: Duration,
    },
    /// The deadline passed while the task waited.
    DeadlineExceeded,
    /// The model of the pool could not be loaded.
    PoolUnavailable {
        /// Why the engine could not be started, for the caller; from [`SchedulerEvent::PoolFailed`] or a lack
        /// of memory.
        reason: String,
    },
    /// The pool does not exist.
    PoolUnknown,
    /// The caller cancelled the task while it waited.
    Cancelled,
}

/// The owner of a share of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareOwner {
    /// The API key that sent the task.
    Key,
    /// The user who owns the key, with all their other keys.
    Person,
}

/// The reason why a running task must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// The caller cancelled the task while it ran.
    Cancelled,
    /// The task's [`Request::deadline`] passed while it ran.
    Deadline,
    /// Nobody reads its output.
    Unread,
    /// It ran for [`Limits::slot_hold_max`] while its user or key had every slot and others waited.
    SlotHoldLimit,
}

/// An action to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load the pool's model, because tasks wait for it.
    Load {
        /// The pool whose model to load. [`SchedulerEvent::PoolReady`] or `PoolFailed` reports the outcome.
        pool: PoolId,
    },
    /// Unload the pool's model. [`SchedulerEvent::PoolDown`] reports that its memory is free.
    Unload {
        /// The pool whose model to unload. None of its tasks runs.
        pool: PoolId,
    },
    /// Mark the pool as failed: its model will not be loaded, and its tasks have been refused.
    Fail {
        /// The pool to mark. The next task for it tries to load the model again.
        pool: PoolId,
        /// Why the model cannot be loaded, with the memory that it needs and that it may use.
        reason: String,
    },
    /// Report a task's queue position.
    ReportPosition {
        /// The waiting task whose position, estimate or reason changed.
        task: TaskId,
        /// The number of tasks that start before it.
        position: usize,
        /// The estimated wait.
        predicted_start: Duration,
        /// Why the task has not started: its model loads, memory is short, or others are ahead.
        wait_reason: WaitReason,
    },
    /// Give the task its lease.
    Grant {
        /// The task to start now.
        task: TaskId,
        /// The pool whose engine the task may use until [`SchedulerEvent::Stopped`].
        pool: PoolId,
        /// The predicted wait, from the task's submission.
        predicted: Duration,
        /// The actual wait, from the task's submission.
        waited: Duration,
    },
    /// Tell the task that it gets no lease.
    Refuse {
        /// The task that ends without a start; it waited, or was just submitted.
        task: TaskId,
        /// The reason why it gets none.
        refusal: Refusal,
    },
    /// Ask the engine to stop its work on a task. [`SchedulerEvent::Stopped`] confirms it.
    Stop {
        /// The running task. It keeps its lease until the engine confirms the stop.
        task: TaskId,
        /// Why the task must stop, which decides the error that its caller gets.
        cause: StopCause,
    },
}
