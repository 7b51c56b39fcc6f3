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

mod events;
mod eviction;
mod fairness;
mod load_state;
mod loading;
mod pool;
mod queue;
mod queue_share;
mod running_counts;
mod start_estimate;

use std::collections::BTreeMap;
use std::time::Duration;

use lar_base::{Bytes, Instant, TaskId};

pub use events::{
    Action, FullPolicy, Limits, PoolId, Refusal, Request, SchedulerEvent, ShareOwner, StopCause,
};
use lar_inference::Priority;
use load_state::LoadPhase;
use pool::{Active, Pool};
use queue_share::FullShare;

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
    /// The number of leases that are granted and not freed.
    pub active: usize,
    /// The numbers of interactive and of batch tasks that wait.
    pub waiting: [usize; 2],
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
                pool.load_state.set_phase(LoadPhase::Ready, now);
                pool.concurrency = concurrency.max(1) as usize;
                pool.paused_max = paused_max as usize;
            }),
            SchedulerEvent::PoolDown { pool } => {
                self.with(&pool, |pool| pool.load_state.set_phase(LoadPhase::Absent, now))
            }
            SchedulerEvent::PoolLoadRequested { pool } => {
                self.with(&pool, |pool| pool.load_state.request_load(now))
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
        running.chain(waiting).chain(hold_deadlines).chain(pauses).chain(self.next_eviction_deadline()).min()
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
            draining: pool.load_state.draining,
            memory: pool.load_state.memory,
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
            let pause = pool.pause_for_newcomer(now, request.caller_ids());
            predicted_start = predicted_start.min(pause.unwrap_or(predicted_start));
        }
        if request.deadline.is_some_and(|deadline| now.after(predicted_start) >= deadline) {
            actions.push(Action::Refuse { task, refusal: Refusal::DeadlineUnmet { predicted_start } });
            return;
        }
        let queue = pool.queue(request.priority);
        let share = FullShare::find(queue, request.caller_ids(), &self.limits);
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
            pool.load_state.touch(now);
            pool.start_estimate.add(now.since(active.since));
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
        pool.load_state.set_phase(LoadPhase::Absent, now);
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

#[cfg(test)]
mod tests;
