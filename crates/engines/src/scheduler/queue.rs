//! The tasks of one pool and priority that wait: callers take turns, each caller's own go in order.

use std::collections::VecDeque;
use std::time::Duration;

use lar_base::{Instant, KeyId, TaskId};

use super::Request;

/// A task that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) task: TaskId,
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) predicted: Duration,
}

/// Each caller has a line; the front line's first task goes next, then that line goes to the back.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<(KeyId, VecDeque<Waiting>)>,
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, now: Instant, predicted: Duration, request: Request) {
        let waiting = Waiting { task: request.task, since: now, deadline: request.deadline, predicted };
        self.len += 1;
        match self.lines.iter_mut().find(|(caller, _)| *caller == request.caller) {
            Some((_, line)) => line.push_back(waiting),
            None => self.lines.push_back((request.caller, VecDeque::from([waiting]))),
        }
    }

    pub(super) fn take_next(&mut self) -> Option<Waiting> {
        let (caller, mut line) = self.lines.pop_front()?;
        let next = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((caller, line));
        }
        self.len -= usize::from(next.is_some());
        next
    }

    pub(super) fn oldest(&self) -> Option<&Waiting> {
        self.lines.iter().filter_map(|(_, line)| line.front()).min_by_key(|waiting| waiting.since)
    }

    pub(super) fn take_oldest(&mut self) -> Option<Waiting> {
        let task = self.oldest()?.task;
        self.take(task)
    }

    pub(super) fn take(&mut self, task: TaskId) -> Option<Waiting> {
        let mut found = None;
        for (_, line) in &mut self.lines {
            if let Some(at) = line.iter().position(|waiting| waiting.task == task) {
                found = line.remove(at);
                break;
            }
        }
        self.len -= usize::from(found.is_some());
        self.lines.retain(|(_, line)| !line.is_empty());
        found
    }

    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Waiting> {
        let expired: Vec<TaskId> = self
            .iter()
            .filter(|waiting| waiting.deadline.is_some_and(|deadline| deadline <= now))
            .map(|waiting| waiting.task)
            .collect();
        expired.into_iter().filter_map(|task| self.take(task)).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.lines.iter().flat_map(|(_, line)| line)
    }

    /// The tasks in the order in which they will be taken, if nothing changes.
    pub(super) fn in_order(&self) -> Vec<TaskId> {
        let longest = self.lines.iter().map(|(_, line)| line.len()).max().unwrap_or(0);
        (0..longest)
            .flat_map(|turn| self.lines.iter().filter_map(move |(_, line)| line.get(turn)))
            .map(|waiting| waiting.task)
            .collect()
    }
}

impl IntoIterator for Queue {
    type Item = Waiting;
    type IntoIter = std::iter::FlatMap<
        std::collections::vec_deque::IntoIter<(KeyId, VecDeque<Waiting>)>,
        VecDeque<Waiting>,
        fn((KeyId, VecDeque<Waiting>)) -> VecDeque<Waiting>,
    >;
    fn into_iter(self) -> Self::IntoIter {
        self.lines.into_iter().flat_map(|(_, line)| line)
    }
}
