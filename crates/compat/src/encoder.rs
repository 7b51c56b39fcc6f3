//! The interface of the encoders of streams.

use std::time::Duration;

use lar_base::{TaskId, Timestamp};
use lar_inference::{TaskEvent, TaskSummary};

use crate::Frame;

/// Facts about a request that are known when its tasks are dispatched.
#[derive(Debug, Clone)]
pub struct Head {
    /// The id of the request's first task, from which the ids in the response are derived.
    pub task: TaskId,
    /// The model that answers, without an alias.
    pub model: String,
    /// The time at which the request arrived.
    pub received_at: Timestamp,
    /// The prompt tokens of each answer; 0 if the engine counts them later. Its length is the number of answers.
    pub tokens_in: Vec<u64>,
    /// OpenAI's `system_fingerprint`. The same seed can give the same answer only if it is equal.
    pub fingerprint: String,
}

impl Head {
    /// Returns the number of answers.
    pub(crate) fn answers(&self) -> usize {
        self.tokens_in.len()
    }

    /// Returns the time at which the request arrived, in seconds since the Unix epoch.
    pub(crate) fn created(&self) -> i64 {
        self.received_at.as_seconds()
    }
}

/// An event of one of a request's answers.
#[derive(Debug, Clone)]
pub struct AnswerEvent<'a> {
    /// The index of the answer, from 0.
    pub answer: usize,
    /// The event of the answer's task. Its error is shown to the client as it is.
    pub event: &'a TaskEvent,
    /// The time since the request arrived.
    pub elapsed: Duration,
    /// The answer's token counts and times up to this event.
    ///
    /// `None` if they are unknown, and unless [`Encoder::needs_timings`] asks for them.
    pub so_far: Option<TaskSummary>,
    /// Whether a line limit has ended the answer.
    pub is_cut: bool,
}

impl<'a> AnswerEvent<'a> {
    /// Creates an event of the only answer, without further facts.
    #[must_use]
    pub fn of(event: &'a TaskEvent) -> Self {
        Self { answer: 0, event, elapsed: Duration::ZERO, so_far: None, is_cut: false }
    }
}

/// An encoder of the streamed response to one request.
pub trait Encoder {
    /// The media type of the response.
    const MEDIA_TYPE: &'static str = "text/event-stream; charset=utf-8";

    /// Returns the frames before those of the first event.
    fn start(&mut self) -> Vec<Frame> {
        Vec::new()
    }

    /// Returns whether events need [`AnswerEvent::so_far`].
    fn needs_timings(&self) -> bool {
        false
    }

    /// Returns the frames of an event; some events have none.
    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame>;

    /// Returns whether the stream is complete. Later events are ignored.
    fn is_over(&self) -> bool;
}
