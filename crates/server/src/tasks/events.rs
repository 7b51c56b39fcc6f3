//! The events of a task on the wire, with `metrics` events between them.

use std::time::Duration;

use lar_api::tasks::{TaskEvent as Wire, WaitReason as WireWaitReason};
use lar_base::Instant;
use lar_engines::Engines;
use lar_gateway::{TaskEventReader, TaskHandle};
use lar_inference::{TaskEvent, WaitReason};
use lar_store::{Outcome, TaskEnd};

use super::error::task_error;
use crate::sse;

/// The minimum time between two `metrics` events.
const METRICS_EVERY: Duration = Duration::from_secs(1);

/// The stream of a task's events, from a given event on.
pub(crate) struct TaskStream {
    handle: TaskHandle,
    engines: Engines,
    reader: TaskEventReader,
    metrics_at: Instant,
    tokens: u64,
    tokens_at_metrics: u64,
}

impl TaskStream {
    pub(crate) fn new(handle: TaskHandle, engines: Engines, from: usize) -> Self {
        let reader = handle.read(from);
        Self { handle, engines, reader, metrics_at: Instant::now(), tokens: 0, tokens_at_metrics: 0 }
    }

    /// Returns a `metrics` event if one is due. It is created when it is sent, so that a reader that fell
    /// behind gets the current values and no outdated ones.
    fn metrics(&mut self) -> Option<String> {
        let since = self.metrics_at.elapsed();
        if since < METRICS_EVERY {
            return None;
        }
        let produced = self.tokens.saturating_sub(self.tokens_at_metrics);
        (self.metrics_at, self.tokens_at_metrics) = (Instant::now(), self.tokens);
        let pool = self.engines.status().into_iter().find(|pool| pool.pool == self.handle.model());
        let event = Wire::Metrics {
            queue_depth: pool.map_or(0, |pool| pool.waiting.iter().sum::<usize>() as u64),
            tokens_per_s: produced as f64 / since.as_secs_f64(),
        };
        Some(sse::event(Some(event.name()), None, &event.data().to_string()))
    }
}

impl sse::Source for TaskStream {
    async fn next(&mut self) -> Option<String> {
        self.next_event().await.map(|(text, _)| text)
    }
}

impl TaskStream {
    /// Returns the next part of the stream, and whether it is the last.
    pub(crate) async fn next_event(&mut self) -> Option<(String, bool)> {
        let (number, event, wire) = loop {
            let (number, event) = self.reader.next().await?;
            if let Some(wire) = to_wire(&event) {
                break (number, event, wire);
            }
        };
        if let TaskEvent::Token { index, .. } = &event {
            self.tokens = *index;
        }
        let text = sse::event(Some(wire.name()), Some(number), &wire.data().to_string());
        match self.metrics().filter(|_| !event.is_terminal()) {
            Some(metrics) => Some((text + &metrics, false)),
            None => Some((text, event.is_terminal())),
        }
    }
}

/// A stream of one event or none.
pub(crate) struct SingleEvent(pub(crate) Option<String>);

impl sse::Source for SingleEvent {
    async fn next(&mut self) -> Option<String> {
        self.0.take()
    }
}

/// Returns an event in its wire format. Returns `None` for prefill progress, which this API does not report.
fn to_wire(event: &TaskEvent) -> Option<Wire> {
    Some(match event {
        TaskEvent::Prefilling(_) => return None,
        TaskEvent::Queued { position, predicted_start_ms, wait_reason } => Wire::Queued {
            position: *position as u64,
            predicted_start_ms: *predicted_start_ms,
            why: match wait_reason {
                WaitReason::Loading => WireWaitReason::Loading,
                WaitReason::Memory => WireWaitReason::Memory,
                WaitReason::Busy => WireWaitReason::Busy,
            },
        },
        TaskEvent::Started { pool, engine, model_digest } => Wire::Started {
            pool: pool.clone(),
            model_digest: model_digest.clone(),
            engine_version: engine.clone(),
        },
        TaskEvent::Token { text, index, .. } => Wire::Token { t: text.to_string(), i: *index },
        TaskEvent::Reasoning { text, index } => Wire::Reasoning { t: text.to_string(), i: *index },
        TaskEvent::Call(call) => Wire::ToolCall {
            index: call.index as u64,
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        },
        TaskEvent::Vectors(found) => {
            Wire::Vectors { data: found.vectors.clone(), truncated: found.truncated.clone() }
        }
        TaskEvent::Scores(found) => {
            Wire::Scores { data: found.scores.clone(), truncated: found.truncated.clone() }
        }
        TaskEvent::End(end) => Wire::End {
            tokens_in: end.tokens_in,
            tokens_cached: Some(end.tokens_cached),
            tokens_out: end.tokens_out,
            ttft_ms: end.ttft_ms,
            decode_ms: end.decode_ms,
            finish_reason: end.reason.as_str().into(),
        },
        TaskEvent::Error(problem) => {
            Wire::Error(task_error(problem.code, &problem.detail, problem.retry_after))
        }
        TaskEvent::Cancelled => Wire::Cancelled {},
    })
}

/// Returns the events of a task of which only the answer and the record are left.
pub(crate) fn stored_events(
    content: &str,
    tokens_out: Option<u64>,
    end: Option<&TaskEnd>,
) -> impl Iterator<Item = String> {
    let token = Wire::Token { t: content.to_owned(), i: tokens_out.unwrap_or_default() };
    let token = (!content.is_empty()).then_some(token);
    token
        .into_iter()
        .chain(end.map(of_record))
        .map(|event| sse::event(Some(event.name()), None, &event.data().to_string()))
}

/// Returns the terminal event of a task of which only the record is left.
pub(super) fn of_record(end: &TaskEnd) -> Wire {
    match &end.outcome {
        Outcome::End { finish_reason } => Wire::End {
            tokens_in: end.tokens_in,
            tokens_cached: None,
            tokens_out: end.tokens_out,
            ttft_ms: end.ttft_ms.unwrap_or_default(),
            decode_ms: end.decode_ms.unwrap_or_default(),
            finish_reason: finish_reason.clone(),
        },
        Outcome::Error { code, message } => Wire::Error(task_error(*code, message, None)),
        Outcome::Cancelled => Wire::Cancelled {},
    }
}
