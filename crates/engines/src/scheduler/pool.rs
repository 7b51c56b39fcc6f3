//! One pool of the scheduler: its queues and its running tasks, and the task that starts next.

use std::collections::BTreeMap;
use std::time::Duration;

use lar_base::{Bytes, Instant, TaskId};
use lar_inference::{CallerIds, Priority, WaitReason};

use super::events::Action;
use super::load_state::{LoadPhase, LoadState};
use super::queue::{Queue, WaitingTask};
use super::running_counts::RunningCounts;
use super::start_estimate::StartEstimate;

/// One pool: its model, the tasks that run, and those that wait.
#[derive(Debug)]
pub(super) struct Pool {
    /// The number of slots that the engine reported when it was last ready.
    pub(super) concurrency: usize,
    /// The number of further leases, for which the engine pauses other generations.
    pub(super) paused_max: usize,
    /// The same as [`super::Limits::batch_wait_max`].
    pub(super) batch_wait_max: Duration,
    pub(super) load_state: LoadState,
    pub(super) active: BTreeMap<TaskId, Active>,
    pub(super) interactive: Queue,
    pub(super) batch: Queue,
    pub(super) start_estimate: StartEstimate,
}

/// A task that has a lease.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) caller: CallerIds,
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) stopping: bool,
    /// Since when the task has waited for a slot of the engine; `None` while it has one. Used only with
    /// engines that pause generations.
    pub(super) without_slot: Option<Instant>,
}

impl Pool {
    pub(super) fn new(concurrency: u32, memory: Bytes, batch_wait_max: Duration) -> Self {
        Self {
            batch_wait_max,
            concurrency: concurrency.max(1) as usize,
            paused_max: 0,
            load_state: LoadState::new(memory),
            active: BTreeMap::new(),
            interactive: Queue::default(),
            batch: Queue::default(),
            start_estimate: StartEstimate::default(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.load_state.phase == LoadPhase::Ready
    }

    pub(super) fn takes_work(&self) -> bool {
        self.is_ready() && !self.load_state.draining
    }

    pub(super) fn waits(&self) -> bool {
        self.interactive.len() + self.batch.len() > 0
    }

    pub(super) fn wait_reason(&self) -> WaitReason {
        match self.load_state.phase {
            LoadPhase::Ready if !self.load_state.draining => WaitReason::Busy,
            LoadPhase::Absent if self.load_state.short_since.is_some() => WaitReason::Memory,
            LoadPhase::Ready => WaitReason::Memory,
            LoadPhase::Absent | LoadPhase::Loading | LoadPhase::Unloading => WaitReason::Loading,
        }
    }

    pub(super) fn queue(&mut self, priority: Priority) -> &mut Queue {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }

    pub(super) fn position_of_next(&self, priority: Priority) -> usize {
        match priority {
            Priority::Interactive => self.interactive.len(),
            Priority::Batch => self.interactive.len() + self.batch.len(),
        }
    }

    /// Takes the next task that can start now: into a free slot, or into one for which another generation is
    /// paused.
    pub(super) fn take_startable(&mut self, now: Instant) -> Option<(CallerIds, WaitingTask)> {
        if !self.takes_work() {
            return None;
        }
        if self.active.len() < self.concurrency {
            return self.take_next(now);
        }
        let (task, _) = self.next_pause(now).filter(|(_, at)| *at <= now)?;
        self.interactive.take(task)
    }

    /// Counts the running tasks of each user and key.
    pub(super) fn running_counts(&self) -> RunningCounts {
        RunningCounts::new(self.active.values().map(|active| active.caller))
    }

    fn take_next(&mut self, now: Instant) -> Option<(CallerIds, WaitingTask)> {
        let overdue =
            self.batch.oldest().is_some_and(|oldest| now.since(oldest.since) >= self.batch_wait_max);
        if overdue {
            return self.batch.take_oldest();
        }
        let load = self.running_counts();
        self.interactive.take_next(&load).or_else(|| self.batch.take_next(&load))
    }

    /// Estimates the wait of the task at `position`.
    pub(super) fn predict(&self, now: Instant, position: usize) -> Duration {
        if self.takes_work() && position == 0 && self.active.len() < self.concurrency {
            return Duration::ZERO;
        }
        let running: Vec<Duration> = self.active.values().map(|active| now.since(active.since)).collect();
        self.start_estimate.start_of(position, &running, self.concurrency, self.is_ready())
    }

    pub(super) fn report_positions(&self, now: Instant, actions: &mut Vec<Action>) {
        let pause = self.next_pause(now);
        let load = self.running_counts();
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
