//! The scheduler: a pure function of its state, an event and the time.
//!
//! [`Scheduler::step`] takes an event and returns the actions to carry out. It reads no clock and does no
//! input or output; [`crate::pools`] sends it events and carries out the actions. These invariants hold;
//! `tests/sim` checks them over a million random steps:
//!
//! - A task is granted at most once. Every task gets exactly one of a refusal, or a grant followed by a stop
//!   that its engine confirms.
//! - A pool has at most as many leases as its engine has slots, plus as many as the engine can pause
//!   generations for. These extra leases go only to callers without a slot, while another caller has several
//!   slots or has had one for long.
//! - Only [`SchedulerEvent::Stopped`] frees a lease.
//! - No queue exceeds its limit, and no key or user exceeds its share of the queue. No task waits while its
//!   pool is ready and has a free slot.
//! - A free slot goes to the user, and then to the key, with the fewest.
//! - A batch task that has waited for [`Limits::batch_wait_max`] goes before interactive tasks.
//! - Loaded models never use more than [`Limits::memory`] together, and no model is unloaded while tasks run
//!   on it.

mod estimate;
mod events;
mod fairness;
mod queue;
mod residency;

use std::collections::BTreeMap;
use std::time::Duration;

use lar_base::{Bytes, Instant, TaskId};

use estimate::Estimate;
pub use events::{
    Action, FullPolicy, Limits, PoolId, Refusal, Request, SchedulerEvent, ShareOwner, StopCause,
};
use fairness::{FullShare, RunningCounts, caller_of};
use lar_inference::{CallerIds, Priority, WaitReason};
use queue::Queue;
use residency::{Residency, Resident};

/// The state of one pool, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// The pool's name.
    pub pool: PoolId,
    /// Whether the engine accepts tasks.
    pub ready: bool,
    /// Whether the pool accepts no new tasks, so that another model gets its memory.
    pub draining: bool,
    /// The memory that the model uses while it is loaded.
    pub memory: Bytes,
    /// The time at which an unused model is unloaded. While the model is in use, the time as if that use
    /// ended now.
    pub unloads_at: Option<Instant>,
    /// Leases granted.
    pub active: usize,
    /// Tasks that wait, interactive and batch.
    pub waiting: [usize; 2],
}

#[derive(Debug)]
struct Pool {
    /// The number of slots that the engine reported when it was last ready.
    concurrency: usize,
    /// The number of further leases, for which the engine pauses other generations.
    paused_max: usize,
    /// The same as [`Limits::batch_wait_max`].
    batch_wait_max: Duration,
    residency: Residency,
    active: BTreeMap<TaskId, Active>,
    interactive: Queue,
    batch: Queue,
    estimate: Estimate,
}

#[derive(Debug)]
struct Active {
    caller: CallerIds,
    since: Instant,
    deadline: Option<Instant>,
    stopping: bool,
    /// Since when the task has waited for a slot of the engine; `None` while it has one. Used only with
    /// engines that pause generations.
    without_slot: Option<Instant>,
}

/// The state of all pools.
#[derive(Debug, Default)]
pub struct Scheduler {
    limits: Limits,
    pools: BTreeMap<PoolId, Pool>,
    /// The time of the last step.
    now: Instant,
    /// The pool of each task that waits or runs.
    tasks: BTreeMap<TaskId, PoolId>,
}

impl Scheduler {
    /// Makes a scheduler without pools.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Applies an event that happened at `now` and returns the actions to carry out, in order.
    pub fn step(&mut self, now: Instant, event: SchedulerEvent) -> Vec<Action> {
        self.now = now;
        let mut actions = Vec::new();
        match event {
            SchedulerEvent::PoolAdded { pool, concurrency, memory } => {
                let batch_wait_max = self.limits.batch_wait_max;
                self.pools.entry(pool).or_insert_with(|| Pool::new(concurrency, memory, batch_wait_max));
            }
            SchedulerEvent::PoolRemoved { pool } => self.remove(&pool, &mut actions),
            SchedulerEvent::PoolReady { pool, concurrency, paused_max } => self.with(&pool, |pool| {
                pool.residency.set_state(Resident::Ready, now);
                pool.concurrency = concurrency.max(1) as usize;
                pool.paused_max = paused_max as usize;
            }),
            SchedulerEvent::PoolDown { pool } => {
                self.with(&pool, |pool| pool.residency.set_state(Resident::Absent, now))
            }
            SchedulerEvent::PoolLoadRequested { pool } => {
                self.with(&pool, |pool| pool.residency.request_load(now))
            }
            SchedulerEvent::PoolKeepAliveSet { pool, keep_alive } => self.set_keep_alive(&pool, keep_alive),
            SchedulerEvent::PoolUnloadRequested { pool } => self.request_unload(now, &pool, &mut actions),
            SchedulerEvent::PoolFailed { pool, reason } => self.fail(now, &pool, &reason, &mut actions),
            SchedulerEvent::Submit(request) => self.submit(now, request, &mut actions),
            SchedulerEvent::Cancel { task } => self.cancel(task, &mut actions),
            SchedulerEvent::Started { task } => self.set_slot(task, None),
            SchedulerEvent::Paused { task } => self.set_slot(task, Some(now)),
            SchedulerEvent::Unread { task } => self.stop(task, StopCause::Unread, &mut actions),
            SchedulerEvent::Stopped { task } => self.confirm_stop(now, task),
            SchedulerEvent::Tick => {}
        }
        self.expire(now, &mut actions);
        self.end_unneeded_draining();
        self.dispatch(now, &mut actions);
        self.plan_loads(now, &mut actions);
        actions
    }

    /// Returns the latest time for the next [`SchedulerEvent::Tick`], if the passing of time changes
    /// anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let running = self.pools.values().flat_map(|pool| {
            pool.active.values().filter(|active| !active.stopping).filter_map(|active| active.deadline)
        });
        let waiting = self
            .pools
            .values()
            .flat_map(|pool| pool.interactive.iter().chain(pool.batch.iter()))
            .filter_map(|waiting| waiting.deadline);
        let hold_deadlines =
            self.pools.values().filter_map(|pool| pool.slot_hold_deadline(&self.limits)).map(|(_, at)| at);
        let pauses = self.pools.values().filter_map(|pool| pool.next_pause(self.now));
        let pauses = pauses.map(|(_, at)| at);
        running.chain(waiting).chain(hold_deadlines).chain(pauses).chain(self.next_load_deadline()).min()
    }

    /// Counts the tasks that wait for a slot of a pool, including those with a lease whose generation is
    /// paused.
    #[must_use]
    pub fn waiting(&self, pool: &str) -> usize {
        self.pools.get(pool).map_or(0, |pool| {
            let paused = pool.active.len().saturating_sub(pool.concurrency);
            pool.interactive.len() + pool.batch.len() + paused
        })
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns the state of every pool.
    #[must_use]
    pub fn view(&self, now: Instant) -> Vec<PoolView> {
        let view = |(name, pool): (&PoolId, &Pool)| PoolView {
            pool: name.clone(),
            ready: pool.is_ready(),
            draining: pool.residency.draining,
            memory: pool.residency.memory,
            unloads_at: pool.unloads_at(now, self.limits.keep_alive),
            active: pool.active.len(),
            waiting: [pool.interactive.len(), pool.batch.len()],
        };
        self.pools.iter().map(view).collect()
    }

    fn with(&mut self, pool: &PoolId, change: impl FnOnce(&mut Pool)) {
        if let Some(pool) = self.pools.get_mut(pool) {
            change(pool);
        }
    }

    fn submit(&mut self, now: Instant, request: Request, actions: &mut Vec<Action>) {
        let task = request.task;
        let Some(pool) = self.pools.get_mut(&request.pool) else {
            actions.push(Action::Refuse { task, refusal: Refusal::PoolUnknown });
            return;
        };
        let position = pool.position_of_next(request.priority);
        let mut predicted_start = pool.predict(now, position);
        if request.priority == Priority::Interactive {
            let pause = pool.pause_for_newcomer(now, caller_of(&request));
            predicted_start = predicted_start.min(pause.unwrap_or(predicted_start));
        }
        if request.deadline.is_some_and(|deadline| now.after(predicted_start) >= deadline) {
            actions.push(Action::Refuse { task, refusal: Refusal::DeadlineUnmet { predicted_start } });
            return;
        }
        let queue = pool.queue(request.priority);
        let share = FullShare::find(queue, caller_of(&request), &self.limits);
        let full = queue.len() >= self.limits.queue_len_max;
        if full || share.is_some() {
            let oldest = match (self.limits.full_policy, &share) {
                (FullPolicy::Reject, _) => None,
                (FullPolicy::DropOldest, None) => queue.take_oldest(),
                (FullPolicy::DropOldest, Some(share)) => share.oldest.and_then(|task| queue.take(task)),
            };
            let Some((_, oldest)) = oldest else {
                let waiting = queue.len();
                let retry_after = pool.predict(now, 0).max(Duration::from_millis(100));
                let refusal = match share.filter(|_| !full) {
                    Some(share) => share.refusal(retry_after),
                    None => Refusal::QueueFull { waiting, retry_after },
                };
                actions.push(Action::Refuse { task, refusal });
                return;
            };
            self.tasks.remove(&oldest.task);
            actions.push(Action::Refuse { task: oldest.task, refusal: Refusal::Dropped });
        }
        let wait_reason = pool.wait_reason();
        if pool.takes_work() && position == 0 && pool.active.len() < pool.concurrency {
            // It is granted in this same step.
        } else {
            actions.push(Action::ReportPosition { task, position, predicted_start, wait_reason });
        }
        self.tasks.insert(task, request.pool.clone());
        pool.queue(request.priority).push(now, predicted_start, request);
    }

    fn cancel(&mut self, task: TaskId, actions: &mut Vec<Action>) {
        self.stop(task, StopCause::Cancelled, actions);
        let Some(pool) = self.tasks.get(&task).and_then(|pool| self.pools.get_mut(pool)) else { return };
        if pool.interactive.take(task).or_else(|| pool.batch.take(task)).is_some() {
            self.tasks.remove(&task);
            actions.push(Action::Refuse { task, refusal: Refusal::Cancelled });
        }
    }

    /// Stops a running task, unless it is stopping already.
    fn stop(&mut self, task: TaskId, cause: StopCause, actions: &mut Vec<Action>) {
        let pool = self.tasks.get(&task).and_then(|pool| self.pools.get_mut(pool));
        if let Some(active) = pool.and_then(|pool| pool.active.get_mut(&task))
            && !std::mem::replace(&mut active.stopping, true)
        {
            actions.push(Action::Stop { task, cause });
        }
    }

    fn set_slot(&mut self, task: TaskId, without: Option<Instant>) {
        let pool = self.tasks.get(&task).and_then(|pool| self.pools.get_mut(pool));
        if let Some(active) = pool.and_then(|pool| pool.active.get_mut(&task)) {
            active.without_slot = without;
        }
    }

    fn confirm_stop(&mut self, now: Instant, task: TaskId) {
        let Some(name) = self.tasks.get(&task) else { return };
        let Some(pool) = self.pools.get_mut(name) else { return };
        if let Some(active) = pool.active.remove(&task) {
            pool.residency.touch(now);
            pool.estimate.add(now.since(active.since));
            self.tasks.remove(&task);
        }
    }

    fn remove(&mut self, name: &PoolId, actions: &mut Vec<Action>) {
        let Some(pool) = self.pools.remove(name) else { return };
        for waiting in pool.interactive.into_iter().chain(pool.batch) {
            self.tasks.remove(&waiting.task);
            actions.push(Action::Refuse { task: waiting.task, refusal: Refusal::PoolUnknown });
        }
        for task in pool.active.into_keys() {
            self.tasks.remove(&task);
        }
    }

    fn fail(&mut self, now: Instant, name: &PoolId, reason: &str, actions: &mut Vec<Action>) {
        let Some(pool) = self.pools.get_mut(name) else { return };
        pool.residency.set_state(Resident::Absent, now);
        let waiting =
            std::mem::take(&mut pool.interactive).into_iter().chain(std::mem::take(&mut pool.batch));
        for waiting in waiting {
            self.tasks.remove(&waiting.task);
            let refusal = Refusal::PoolUnavailable { reason: reason.to_owned() };
            actions.push(Action::Refuse { task: waiting.task, refusal });
        }
    }

    fn expire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for pool in self.pools.values_mut() {
            for (task, active) in &mut pool.active {
                if !active.stopping && active.deadline.is_some_and(|deadline| deadline <= now) {
                    active.stopping = true;
                    actions.push(Action::Stop { task: *task, cause: StopCause::Deadline });
                }
            }
            if let Some((task, at)) = pool.slot_hold_deadline(&self.limits)
                && at <= now
                && let Some(active) = pool.active.get_mut(&task)
            {
                active.stopping = true;
                actions.push(Action::Stop { task, cause: StopCause::SlotHoldLimit });
            }
            for queue in [&mut pool.interactive, &mut pool.batch] {
                for waiting in queue.take_expired(now) {
                    self.tasks.remove(&waiting.task);
                    actions.push(Action::Refuse { task: waiting.task, refusal: Refusal::DeadlineExceeded });
                }
            }
        }
    }

    fn dispatch(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for (name, pool) in &mut self.pools {
            let mut moved = false;
            while let Some((caller, next)) = pool.take_startable(now) {
                moved = true;
                let deadline = next.deadline;
                let active =
                    Active { caller, since: now, deadline, stopping: false, without_slot: Some(now) };
                pool.active.insert(next.task, active);
                actions.push(Action::Grant {
                    task: next.task,
                    pool: name.clone(),
                    predicted: next.predicted,
                    waited: now.since(next.since),
                });
            }
            if moved {
                pool.report_positions(now, actions);
            }
        }
    }
}

impl Pool {
    fn new(concurrency: u32, memory: Bytes, batch_wait_max: Duration) -> Self {
        Self {
            batch_wait_max,
            concurrency: concurrency.max(1) as usize,
            paused_max: 0,
            residency: Residency::new(memory),
            active: BTreeMap::new(),
            interactive: Queue::default(),
            batch: Queue::default(),
            estimate: Estimate::default(),
        }
    }

    fn is_ready(&self) -> bool {
        self.residency.state == Resident::Ready
    }

    fn takes_work(&self) -> bool {
        self.is_ready() && !self.residency.draining
    }

    fn waits(&self) -> bool {
        self.interactive.len() + self.batch.len() > 0
    }

    fn wait_reason(&self) -> WaitReason {
        match self.residency.state {
            Resident::Ready if !self.residency.draining => WaitReason::Busy,
            Resident::Absent if self.residency.short_since.is_some() => WaitReason::Memory,
            Resident::Ready => WaitReason::Memory,
            Resident::Absent | Resident::Loading | Resident::Unloading => WaitReason::Loading,
        }
    }

    fn queue(&mut self, priority: Priority) -> &mut Queue {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }

    fn position_of_next(&self, priority: Priority) -> usize {
        match priority {
            Priority::Interactive => self.interactive.len(),
            Priority::Batch => self.interactive.len() + self.batch.len(),
        }
    }

    /// Takes the next task that can start now: into a free slot, or into one for which another generation is
    /// paused.
    fn take_startable(&mut self, now: Instant) -> Option<(CallerIds, queue::WaitingTask)> {
        if !self.takes_work() {
            return None;
        }
        if self.active.len() < self.concurrency {
            return self.take_next(now);
        }
        let (task, _) = self.next_pause(now).filter(|(_, at)| *at <= now)?;
        self.interactive.take(task)
    }

    fn take_next(&mut self, now: Instant) -> Option<(CallerIds, queue::WaitingTask)> {
        let overdue =
            self.batch.oldest().is_some_and(|oldest| now.since(oldest.since) >= self.batch_wait_max);
        if overdue {
            return self.batch.take_oldest();
        }
        let load = RunningCounts::new(self.active.values());
        self.interactive.take_next(&load).or_else(|| self.batch.take_next(&load))
    }

    /// Estimates the wait of the task at `position`.
    fn predict(&self, now: Instant, position: usize) -> Duration {
        if self.takes_work() && position == 0 && self.active.len() < self.concurrency {
            return Duration::ZERO;
        }
        let running: Vec<Duration> = self.active.values().map(|active| now.since(active.since)).collect();
        self.estimate.start_of(position, &running, self.concurrency, self.is_ready())
    }

    fn report_positions(&self, now: Instant, actions: &mut Vec<Action>) {
        let pause = self.next_pause(now);
        let load = RunningCounts::new(self.active.values());
        let order = self.interactive.in_order(&load).into_iter().chain(self.batch.in_order(&load));
        for (position, task) in order.enumerate() {
            let pause = pause.filter(|(paused_for, _)| *paused_for == task).map(|(_, at)| at.since(now));
            let predicted_start = self.predict(now, position);
            let predicted_start = predicted_start.min(pause.unwrap_or(predicted_start));
            actions.push(Action::ReportPosition {
                task,
                position,
                predicted_start,
                wait_reason: self.wait_reason(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
