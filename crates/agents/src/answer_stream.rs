//! The events of a request's answers, read from its dispatched tasks.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lar_base::{Instant, Problem, TaskId};
use lar_compat::{Answer, AnswerEvent, Encoder, Frame, LineLimits};
use lar_gateway::{TaskEventReader, TaskHandle};
use lar_inference::{CONSTRAINT_FIELD, TaskEvent, TaskSummary, stopped_problem};

use crate::line_tracker::LineTracker;
use crate::request_errors::about_constraint;

/// The events of a request's dispatched tasks, one task per answer.
pub struct AnswerStream {
    /// The id of the first task.
    task: TaskId,
    model: String,
    received_at: Instant,
    /// The prompt tokens of each answer; 0 if the engine counts them later.
    tokens_in: Vec<u64>,
    /// The reader of each answer; `None` once a line limit ended the answer.
    readers: Vec<Option<TaskEventReader>>,
    /// The line limits of each answer; empty without limits.
    lines: Vec<LineTracker>,
    /// Events with the index of their answer, to be returned before those of the readers.
    first: VecDeque<(usize, TaskEvent)>,
    constraint_field: &'static str,
}

/// An event of an answer that was read from an [`AnswerStream`].
#[derive(Debug)]
pub struct ReadEvent {
    /// The index of the answer, from 0.
    pub answer: usize,
    /// The event.
    pub event: TaskEvent,
}

impl AnswerStream {
    /// Reads the events of dispatched tasks, which must not be empty.
    ///
    /// The errors of a constraint name `constraint_field`.
    pub(crate) fn new(
        handles: &[TaskHandle],
        tokens_in: Vec<u64>,
        received_at: Instant,
        constraint_field: &'static str,
    ) -> Self {
        Self {
            task: handles.first().map_or_else(TaskId::new, TaskHandle::id),
            model: handles.first().map_or_else(String::new, |handle| handle.model().to_owned()),
            received_at,
            tokens_in,
            readers: handles.iter().map(|handle| Some(handle.read(0))).collect(),
            lines: Vec::new(),
            first: VecDeque::new(),
            constraint_field,
        }
    }

    /// Reads the events of one dispatched task, from its first event.
    #[must_use]
    pub fn of(handle: &TaskHandle, received_at: Instant) -> Self {
        Self::new(std::slice::from_ref(handle), vec![0], received_at, CONSTRAINT_FIELD)
    }

    /// Waits for the first event of each task, so that a failure before it is an error of the request.
    pub(crate) async fn wait_for_first(&mut self) -> Result<(), Problem> {
        for (answer, reader) in self.readers.iter_mut().enumerate() {
            let Some(reader) = reader else { continue };
            match reader.next().await {
                Some((_, TaskEvent::Error(problem))) => {
                    return Err(about_constraint(problem, self.constraint_field));
                }
                Some((_, first)) => self.first.push_back((answer, first)),
                None => return Err(stopped_problem()),
            }
        }
        Ok(())
    }

    /// Returns the model that answers, without an alias.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the number of answers.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.readers.len()
    }

    /// Returns the prompt tokens of each answer; 0 where the engine counts them later.
    #[must_use]
    pub fn tokens_in(&self) -> &[u64] {
        &self.tokens_in
    }

    /// Applies line limits to each answer. An answer that a limit ends has the finish reason `length`, and
    /// its task is cancelled.
    pub fn limit_lines(&mut self, limits: LineLimits) {
        self.lines = vec![LineTracker::new(limits); self.answers()];
    }

    /// Returns an event as the codecs read it, without the answer's counts and times so far.
    #[must_use]
    pub fn event<'a>(&self, read: &'a ReadEvent) -> AnswerEvent<'a> {
        AnswerEvent {
            answer: read.answer,
            event: &read.event,
            elapsed: self.received_at.elapsed(),
            so_far: None,
            is_cut: self.lines.get(read.answer).is_some_and(LineTracker::is_over),
        }
    }

    /// Returns an encoder's frames of an event.
    pub fn encode(&self, read: &ReadEvent, encoder: &mut impl Encoder) -> Vec<Frame> {
        let so_far = if encoder.needs_timings() { self.so_far(read.answer) } else { None };
        encoder.push(&AnswerEvent { so_far, ..self.event(read) })
    }

    /// Returns the current token counts and times of an answer.
    fn so_far(&self, answer: usize) -> Option<TaskSummary> {
        if let Some(reader) = self.readers.get(answer)? {
            return reader.so_far();
        }
        // A line limit has just ended the answer, and its end is still in `first`.
        self.first.iter().find_map(|(of, event)| match event {
            TaskEvent::End(end) if *of == answer => Some(end.clone()),
            _ => None,
        })
    }

    /// Returns the next event of any answer; `None` when all have ended.
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<ReadEvent> {
        let (answer, event) = match self.first.pop_front() {
            Some(first) => first,
            None => self.next_read().await?,
        };
        let event = match self.apply_line_limits(answer, event) {
            TaskEvent::Error(problem) => TaskEvent::Error(about_constraint(problem, self.constraint_field)),
            event => event,
        };
        Some(ReadEvent { answer, event })
    }

    /// Shortens an event's text if a line limit ends the answer in it, and queues the answer's end.
    fn apply_line_limits(&mut self, answer: usize, event: TaskEvent) -> TaskEvent {
        let TaskEvent::Token { text, index, logprobs } = &event else { return event };
        let Some(lines) = self.lines.get_mut(answer) else { return event };
        let Some(kept) = lines.add(text, Instant::now()) else { return event };
        let Some(end) = self.so_far(answer) else { return event };
        let left = TaskEvent::Token { text: text[..kept].into(), index: *index, logprobs: logprobs.clone() };
        self.first.push_back((answer, TaskEvent::End(end)));
        // Dropping the reader cancels the task.
        self.readers[answer] = None;
        left
    }

    async fn next_read(&mut self) -> Option<(usize, TaskEvent)> {
        if let [reader] = self.readers.as_mut_slice() {
            return reader.as_mut()?.next().await.map(|(_, event)| (0, event));
        }
        let readers = self.readers.iter_mut().enumerate();
        let readers = readers.filter_map(|(answer, reader)| Some((answer, reader.as_mut()?)));
        let mut waiting: FuturesUnordered<_> =
            readers.map(async |(answer, reader)| (answer, reader.next().await)).collect();
        while let Some((answer, event)) = waiting.next().await {
            if let Some((_, event)) = event {
                return Some((answer, event));
            }
        }
        None
    }

    /// Reads all events and returns the complete answers.
    ///
    /// # Errors
    /// The error of the first task that failed, was cancelled or stopped before its end.
    pub async fn collect(mut self) -> Result<Vec<Answer>, Problem> {
        let mut answers = vec![Answer::default(); self.answers()];
        while let Some(read) = self.next().await {
            Answer::add(&mut answers, self.task, &self.event(&read))?;
        }
        Answer::check_ended(&answers)?;
        Ok(answers)
    }
}
