//! What the scheduler is told, what it answers, and its bounds.

use std::time::Duration;

use lar_base::{Bytes, Instant, KeyId, TaskId, UserId};

/// Names a pool: the catalog's name of its model.
pub type PoolId = String;

/// How urgent a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Someone waits for it.
    Interactive,
    /// Nobody does; it goes when there is room, or when it has waited long enough.
    Batch,
}

impl Priority {
    /// As written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Interactive => "interactive",
            Priority::Batch => "batch",
        }
    }
}

/// What happens when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FullPolicy {
    /// The newcomer is refused.
    #[default]
    Reject,
    /// The task that has waited longest is dropped for it, with a refusal of its own.
    DropOldest,
}

/// Bounds of every pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that may wait, per pool and priority.
    pub queue_len_max: usize,
    /// What happens beyond that.
    pub full_policy: FullPolicy,
    /// After waiting this long a batch task goes before interactive ones.
    pub batch_wait_max: Duration,
    /// Memory that loaded models may take together.
    pub memory: Bytes,
    /// How long a model stays loaded that nobody uses; `None` is for good.
    pub keep_alive: Option<Duration>,
    /// After waiting this long for memory, a model that is in use takes no new tasks until it is let go.
    pub swap_wait_max: Duration,
    /// While one person or key has every slot of a pool and others wait, a task of theirs that has run this long is stopped; `None` never
    /// does. Where the engine pauses jobs for others, others count who have waited for five minutes.
    pub slot_hold_max: Option<Duration>,
}

impl Limits {
    /// Tasks of one key that may wait in a queue: half of it.
    #[must_use]
    pub const fn key_share(&self) -> usize {
        self.queue_len_max.div_ceil(2)
    }

    /// Tasks of all keys of one person that may wait in a queue: three quarters of it.
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

/// A task that wants an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which task; never submitted twice.
    pub task: TaskId,
    /// Where it wants to run.
    pub pool: PoolId,
    /// Whose it is; keys of one priority take turns.
    pub caller: KeyId,
    /// The person behind the key; persons take turns, too.
    pub person: UserId,
    /// How urgent it is.
    pub priority: Priority,
    /// When it is of no use any more.
    pub deadline: Option<Instant>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerEvent {
    /// There is a pool, not loaded yet.
    PoolAdded {
        /// Its name.
        pool: PoolId,
        /// Jobs its engine can probably work on at once, for predictions until it is ready.
        concurrency: u32,
        /// What it takes of [`Limits::memory`] while it is loaded; an engine that takes none, being elsewhere,
        /// is never let go to make room.
        memory: Bytes,
    },
    /// Someone wants the pool loaded before a task needs it.
    PoolLoadRequested {
        /// Its name.
        pool: PoolId,
    },
    /// Someone wants the pool's memory back.
    PoolUnloadRequested {
        /// Its name.
        pool: PoolId,
    },
    /// Someone wants the pool's model to stay for another time than [`Limits::keep_alive`], from its last use on, until it is
    /// let go.
    PoolKeepAliveSet {
        /// Its name.
        pool: PoolId,
        /// How long; none is as long as the limits say.
        keep_alive: Option<Duration>,
    },
    /// The pool is gone; what waits for it is refused, what runs goes on.
    PoolRemoved {
        /// Its name.
        pool: PoolId,
    },
    /// The engine can take work.
    PoolReady {
        /// Its name.
        pool: PoolId,
        /// Jobs it can work on at once, at least 1.
        concurrency: u32,
        /// Jobs that it takes beside those, for which it pauses others.
        paused_max: u32,
    },
    /// The engine was let go, or died and will be started again; what waits goes on waiting.
    PoolDown {
        /// Its name.
        pool: PoolId,
    },
    /// The engine cannot be started; what waits is refused.
    PoolFailed {
        /// Its name.
        pool: PoolId,
        /// Why, for the callers.
        reason: String,
    },
    /// A task came.
    Submit(Request),
    /// A task is not wanted any more.
    Cancel {
        /// Which.
        task: TaskId,
    },
    /// The engine works on a task: it has a slot. Only engines that pause jobs tell it.
    Started {
        /// Which.
        task: TaskId,
    },
    /// The engine has given a task's slot to another; `Started` comes again when it has one.
    Paused {
        /// Which.
        task: TaskId,
    },
    /// Nobody takes what a task writes any more.
    Unread {
        /// Which.
        task: TaskId,
    },
    /// The engine has confirmed that it no longer works on a task, for whatever reason.
    Stopped {
        /// Which.
        task: TaskId,
    },
    /// Time has passed.
    Tick,
}

/// Why a task never got a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The queue is full.
    QueueFull {
        /// Tasks that wait.
        waiting: usize,
        /// When one of them will probably have been started.
        retry_after: Duration,
    },
    /// Tasks of the same key, or of the same person, take all of the queue that they may.
    ShareFull {
        /// Whose tasks they are.
        owner: ShareOwner,
        /// Tasks of theirs that wait.
        waiting: usize,
        /// When one of them will probably have been started.
        retry_after: Duration,
    },
    /// It waited longest when the queue, or its key's share of it, was full.
    Dropped,
    /// It could not start before its deadline, so it was not queued.
    DeadlineUnmet {
        /// When it would probably have started.
        predicted_start: Duration,
    },
    /// Its deadline passed while it waited.
    DeadlineExceeded,
    /// The pool cannot be started.
    PoolUnavailable {
        /// Why.
        reason: String,
    },
    /// There is no such pool.
    PoolUnknown,
    /// Its caller took it back.
    Cancelled,
}

/// Who has a share of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareOwner {
    /// One key.
    Key,
    /// A person, with all of their keys.
    Person,
}

/// Why a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// The model is being loaded.
    Loading,
    /// Other models that are in use hold the memory.
    Memory,
    /// Others are before it.
    Busy,
}

/// Why a running task is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// Its caller took it back.
    Cancelled,
    /// Its deadline passed.
    Deadline,
    /// Nobody takes what it writes.
    Unread,
    /// It has run for [`Limits::slot_hold_max`] while its person or key had every slot and others waited.
    SlotHoldLimit,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load the pool's model; tasks wait for it.
    Load {
        /// Which pool.
        pool: PoolId,
    },
    /// Let go of the pool's model; [`SchedulerEvent::PoolDown`] tells that its memory is free.
    Unload {
        /// Which pool.
        pool: PoolId,
    },
    /// The pool's model will not be loaded; its tasks have been refused.
    Fail {
        /// Which pool.
        pool: PoolId,
        /// Why, with numbers.
        reason: String,
    },
    /// Tell the task where it stands.
    ReportPosition {
        /// Which task.
        task: TaskId,
        /// How many start before it.
        position: usize,
        /// In how long it will probably start.
        predicted_start: Duration,
        /// What it waits for.
        wait_reason: WaitReason,
    },
    /// The task has a lease: start it.
    Grant {
        /// Which task.
        task: TaskId,
        /// Where.
        pool: PoolId,
        /// When it was predicted to start, counted from its submission.
        predicted: Duration,
        /// How long it waited.
        waited: Duration,
    },
    /// The task never gets a lease.
    Refuse {
        /// Which task.
        task: TaskId,
        /// Why.
        refusal: Refusal,
    },
    /// Ask the engine to stop working on a task; [`SchedulerEvent::Stopped`] confirms.
    Stop {
        /// Which task.
        task: TaskId,
        /// Why.
        cause: StopCause,
    },
}
