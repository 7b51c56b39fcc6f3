//! The waiting tasks of one pool and priority. Callers take turns; the tasks of one caller keep their order.
//!
//! The caller with the fewest running tasks goes next, counted by user and then by key. A caller who has
//! every slot therefore leaves the next one to somebody else.

use std::collections::VecDeque;
use std::time::Duration;

use lar_base::{Instant, TaskId};

use super::events::Request;
use super::running_counts::RunningCounts;
use lar_inference::CallerIds;

/// A task that waits.
#[derive(Debug, Clone)]
pub(super) struct WaitingTask {
    pub(super) task: TaskId,
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) predicted: Duration,
}

/// One line per caller. The first task of the next line is taken, and that line goes to the back.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<(CallerIds, VecDeque<WaitingTask>)>,
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, now: Instant, predicted: Duration, request: Request) {
        let waiting = WaitingTask { task: request.task, since: now, deadline: request.deadline, predicted };
        self.len += 1;
        let from = request.caller_ids();
        match self.lines.iter_mut().find(|(caller, _)| *caller == from) {
            Some((_, line)) => line.push_back(waiting),
            None => self.lines.push_back((from, VecDeque::from([waiting]))),
        }
    }

    /// Counts the waiting tasks of the selected callers.
    pub(super) fn count(&self, of: impl Fn(CallerIds) -> bool) -> usize {
        self.lines.iter().filter(|(caller, _)| of(*caller)).map(|(_, line)| line.len()).sum()
    }

    /// Returns the first task of each caller, in the order in which [`Queue::take_next`] would take them.
    pub(super) fn first_of_each(
        &self,
        load: &RunningCounts,
    ) -> impl Iterator<Item = (CallerIds, &WaitingTask)> {
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|(caller, _)| load.of(*caller));
        lines.into_iter().filter_map(|(caller, line)| Some((*caller, line.front()?)))
    }

    pub(super) fn take_next(&mut self, load: &RunningCounts) -> Option<(CallerIds, WaitingTask)> {
        let callers = self.lines.iter().enumerate();
        let (at, _) = callers.min_by_key(|(at, (caller, _))| (load.of(*caller), *at))?;
        let (caller, mut line) = self.lines.remove(at)?;
        let next = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((caller, line));
        }
        self.len -= usize::from(next.is_some());
        next.map(|next| (caller, next))
    }

    pub(super) fn oldest(&self) -> Option<&WaitingTask> {
        self.oldest_of(|_| true)
    }

    /// Returns the task of the selected callers that has waited longest.
    pub(super) fn oldest_of(&self, of: impl Fn(CallerIds) -> bool) -> Option<&WaitingTask> {
        let lines = self.lines.iter().filter(|(caller, _)| of(*caller));
        lines.filter_map(|(_, line)| line.front()).min_by_key(|waiting| waiting.since)
    }

    pub(super) fn take_oldest(&mut self) -> Option<(CallerIds, WaitingTask)> {
        let task = self.oldest()?.task;
        self.take(task)
    }

    pub(super) fn take(&mut self, task: TaskId) -> Option<(CallerIds, WaitingTask)> {
        let mut found = None;
        for (caller, line) in &mut self.lines {
            if let Some(at) = line.iter().position(|waiting| waiting.task == task) {
                found = line.remove(at).map(|waiting| (*caller, waiting));
                break;
            }
        }
        self.len -= usize::from(found.is_some());
        self.lines.retain(|(_, line)| !line.is_empty());
        found
    }

    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<WaitingTask> {
        let expired: Vec<TaskId> = self
            .iter()
            .filter(|waiting| waiting.deadline.is_some_and(|deadline| deadline <= now))
            .map(|waiting| waiting.task)
            .collect();
        expired.into_iter().filter_map(|task| self.take(task)).map(|(_, waiting)| waiting).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &WaitingTask> {
        self.lines.iter().flat_map(|(_, line)| line)
    }

    /// Returns the tasks in the order in which they will be taken if nothing changes.
    pub(super) fn in_order(&self, load: &RunningCounts) -> Vec<TaskId> {
        let longest = self.lines.iter().map(|(_, line)| line.len()).max().unwrap_or(0);
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|(caller, _)| load.of(*caller));
        (0..longest)
            .flat_map(|turn| lines.iter().filter_map(move |(_, line)| line.get(turn)))
            .map(|waiting| waiting.task)
            .collect()
    }
}

impl IntoIterator for Queue {
    type Item = WaitingTask;
    type IntoIter = std::iter::FlatMap<
        std::collections::vec_deque::IntoIter<(CallerIds, VecDeque<WaitingTask>)>,
        VecDeque<WaitingTask>,
        fn((CallerIds, VecDeque<WaitingTask>)) -> VecDeque<WaitingTask>,
    >;
    fn into_iter(self) -> Self::IntoIter {
        self.lines.into_iter().flat_map(|(_, line)| line)
    }
}
