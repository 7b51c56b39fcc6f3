//! The events of one task, stored in order, so that any number of readers can follow, fall behind and come
//! back. A slow reader delays neither the engine nor the lease.
//!
//! The size of a log is bounded by the task's token limit and, if prefill is reported, by the tokens of its
//! prompt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::Instant;
use lar_inference::{FinishReason, TaskEvent, TaskSummary};
use tokio::sync::watch;

use crate::active_tasks::ActiveTask;

#[derive(Debug)]
pub(crate) struct EventLog {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<TaskEvent>,
    /// For each reader, since when it has unread events and reads none; `None` if it is up to date.
    readers: BTreeMap<u64, Option<Instant>>,
    next_reader: u64,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// Adds an event, unless a terminal one precedes it. Returns whether it was added.
    pub(crate) fn push(&self, event: TaskEvent) -> bool {
        let mut state = self.lock();
        match (state.events.last(), &event) {
            (Some(last), _) if last.is_terminal() => return false,
            // Readers need only the current queue position, not earlier ones.
            (Some(TaskEvent::Queued { .. }), TaskEvent::Queued { .. }) => {
                if let Some(last) = state.events.last_mut() {
                    *last = event;
                }
            }
            _ => state.events.push(event),
        }
        let now = Instant::now();
        for behind_since in state.readers.values_mut() {
            behind_since.get_or_insert(now);
        }
        drop(state);
        self.changed.send_replace(());
        true
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().events.last().is_some_and(TaskEvent::is_terminal)
    }

    pub(crate) fn readers(&self) -> usize {
        self.lock().readers.len()
    }

    /// Returns how long every reader has had unread events and has read none; `None` if one is up to date or
    /// there is no reader.
    pub(crate) fn unread_for(&self, now: Instant) -> Option<Duration> {
        let state = self.lock();
        let since: Option<Vec<Instant>> = state.readers.values().copied().collect();
        since?.into_iter().max().map(|last| now.since(last))
    }

    /// Returns the approximate size of the events, to limit the memory for finished tasks.
    pub(crate) fn bytes(&self) -> usize {
        let size = |event: &TaskEvent| match event {
            TaskEvent::Token { text, logprobs, .. } => {
                let candidates: usize = logprobs.iter().map(|token| 1 + token.top.len()).sum();
                text.len() + 64 + candidates * 64
            }
            TaskEvent::Reasoning { text, .. } => text.len() + 64,
            TaskEvent::Call(call) => call.arguments.len() + 128,
            TaskEvent::Scores(ranking) => ranking.scores.len() * 4,
            TaskEvent::Vectors(vectors) => vectors.vectors.iter().map(|vector| vector.len() * 4).sum(),
            _ => 256,
        };
        self.lock().events.iter().map(size).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows a task's events from a given number on.
#[derive(Debug)]
pub struct TaskEventReader {
    log: Arc<EventLog>,
    changed: watch::Receiver<()>,
    number: u64,
    next: usize,
    last_queued: Option<TaskEvent>,
    on_drop: Option<OnDrop>,
    /// The task, for its measurements.
    task: Option<Arc<ActiveTask>>,
}

/// Called when the last reader is dropped.
pub(crate) struct OnDrop(pub(crate) Box<dyn FnOnce() + Send + Sync>);

impl std::fmt::Debug for OnDrop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnDrop")
    }
}

impl TaskEventReader {
    pub(crate) fn new(log: Arc<EventLog>, from: usize, on_drop: OnDrop) -> Self {
        let number = {
            let mut state = log.lock();
            let number = state.next_reader;
            state.next_reader += 1;
            let behind = (from < state.events.len()).then(Instant::now);
            state.readers.insert(number, behind);
            number
        };
        let changed = log.changed.subscribe();
        Self { log, changed, number, next: from, last_queued: None, on_drop: Some(on_drop), task: None }
    }

    pub(crate) fn with_task(mut self, task: Arc<ActiveTask>) -> Self {
        self.task = Some(task);
        self
    }

    /// Returns the summary of the task so far, as if the answer were cut off now. It may include more than
    /// this reader has read.
    #[must_use]
    pub fn so_far(&self) -> Option<TaskSummary> {
        self.task.as_ref().map(|task| task.so_far(FinishReason::Length))
    }

    /// Waits for the next event and returns it with its number, from 0; `None` after the terminal event. A
    /// new queue position is returned again under the same number.
    pub async fn next(&mut self) -> Option<(usize, TaskEvent)> {
        loop {
            match self.poll() {
                Poll::Event(number, event) => return Some((number, event)),
                Poll::Over => return None,
                Poll::Wait => self.changed.changed().await.ok()?,
            }
        }
    }

    fn poll(&mut self) -> Poll {
        let mut state = self.log.lock();
        if let Some(event) = state.events.get(self.next) {
            let (number, event) = (self.next, event.clone());
            self.next += 1;
            let behind = (self.next < state.events.len()).then(Instant::now);
            state.readers.insert(self.number, behind);
            if matches!(event, TaskEvent::Queued { .. }) {
                self.last_queued = Some(event.clone());
            }
            return Poll::Event(number, event);
        }
        state.readers.insert(self.number, None);
        match state.events.last() {
            Some(last) if last.is_terminal() => Poll::Over,
            Some(queued_event @ TaskEvent::Queued { .. })
                if self.last_queued.as_ref() != Some(queued_event) =>
            {
                self.last_queued = Some(queued_event.clone());
                Poll::Event(self.next.saturating_sub(1), queued_event.clone())
            }
            _ => Poll::Wait,
        }
    }
}

impl Drop for TaskEventReader {
    fn drop(&mut self) {
        let none_left = {
            let mut state = self.log.lock();
            state.readers.remove(&self.number);
            state.readers.is_empty()
        };
        if let Some(OnDrop(callback)) = self.on_drop.take().filter(|_| none_left) {
            callback();
        }
    }
}

enum Poll {
    Event(usize, TaskEvent),
    Wait,
    Over,
}

#[cfg(test)]
mod tests {
    use lar_inference::WaitReason;

    use super::*;

    fn reader(log: &Arc<EventLog>, from: usize) -> TaskEventReader {
        TaskEventReader::new(log.clone(), from, OnDrop(Box::new(|| {})))
    }

    fn token(text: &str, index: u64) -> TaskEvent {
        TaskEvent::Token { text: text.into(), index, logprobs: Arc::default() }
    }

    fn queued(position: usize) -> TaskEvent {
        TaskEvent::Queued { position, predicted_start_ms: 1, wait_reason: WaitReason::Busy }
    }

    #[tokio::test]
    async fn readers_resume_and_nothing_follows_the_end() {
        let log = Arc::new(EventLog::new());
        log.push(queued(2));
        log.push(queued(1));
        log.push(token("a", 1));
        log.push(token("b", 2));
        assert!(log.push(TaskEvent::Cancelled));
        assert!(!log.push(TaskEvent::Cancelled));
        let mut all = reader(&log, 0);
        let mut seen = Vec::new();
        while let Some(event) = all.next().await {
            seen.push(event);
        }
        let rest = [(1, token("a", 1)), (2, token("b", 2)), (3, TaskEvent::Cancelled)];
        assert_eq!(seen, [vec![(0, queued(1))], rest.to_vec()].concat());
        assert_eq!(reader(&log, 2).next().await, Some((2, token("b", 2))));
        assert_eq!(reader(&log, 9).next().await, None);
    }

    #[tokio::test]
    async fn a_log_knows_how_long_no_reader_has_read() {
        let log = Arc::new(EventLog::new());
        let soon = |seconds| Instant::now().after(Duration::from_secs(seconds));
        assert_eq!(log.unread_for(soon(9)), None, "there is no reader");
        let mut first = reader(&log, 0);
        log.push(token("a", 1));
        log.push(token("b", 2));
        let unread = log.unread_for(soon(9)).unwrap();
        assert!((8..=9).contains(&unread.as_secs()), "{unread:?}");
        first.next().await;
        assert!(log.unread_for(soon(9)).is_some(), "one event is unread");
        first.next().await;
        assert_eq!(log.unread_for(soon(9)), None, "the reader is up to date");
        log.push(token("c", 3));
        let second = reader(&log, 3);
        assert_eq!(log.unread_for(soon(9)), None, "another reader is up to date");
        drop(second);
        assert!(log.unread_for(soon(9)).is_some());
    }

    #[tokio::test]
    async fn a_waiting_reader_gets_every_queue_position() {
        let log = Arc::new(EventLog::new());
        let mut reader = reader(&log, 0);
        log.push(queued(2));
        assert_eq!(reader.next().await, Some((0, queued(2))));
        log.push(queued(1));
        assert_eq!(reader.next().await, Some((0, queued(1))));
        log.push(token("a", 1));
        assert_eq!(reader.next().await, Some((1, token("a", 1))));
    }
}
