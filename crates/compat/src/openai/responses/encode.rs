//! Converts the events of a task into a response and the events of its stream.
//!
//! Invariant: the same task events give the same response and the same stream events, apart from the time of
//! the end. A client can therefore read the stream of a background response again.

#[cfg(test)]
mod tests;

use std::time::Duration;

use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_inference::{CallPart, FinishReason, TaskEvent, TaskSummary, TokenLogprobs};

use super::offered_tools::{OfferedTool, OfferedTools, full_name};
use super::response_ids::item_id;
use super::wire::{
    EventKind, IncompleteDetails, InputTokensDetails, OutputItem, OutputPart, OutputTokensDetails, Response,
    ResponseError, ResponseStreamEvent, ResponseUsage, Status,
};
use crate::openai::custom_tools;
use crate::openai::wire::TokenLogprob;
use crate::token_usage::{timings, token_logprob};
use crate::{AnswerEvent, Encoder, Frame};

/// An encoder of one task's response.
///
/// The frames of the terminal event report the end of the response. A caller that stores the response keeps
/// these frames until it is stored. If that fails, [`ResponsesEncoder::fail_before_end`] makes the end a failure.
#[derive(Debug)]
pub struct ResponsesEncoder {
    task: TaskId,
    response: Response,
    tools: OfferedTools,
    received_at: Timestamp,
    open: Option<OpenItem>,
    /// The number of reasoning tokens so far.
    reasoning_tokens_so_far: u64,
    next_sequence_number: u64,
    /// The stream events that are not yet encoded as frames.
    events: Vec<ResponseStreamEvent>,
    /// The number of the last event that is left out, because the client has seen it.
    starting_after: Option<u64>,
}

/// The unfinished last item of the output.
#[derive(Debug)]
enum OpenItem {
    Reasoning(String),
    Text(String, Vec<TokenLogprob>),
    Call { index: usize, tool: OfferedTool, call_id: String, arguments: String },
}

impl ResponsesEncoder {
    /// Creates an encoder for `task`. The output of `response` must be empty.
    ///
    /// The time of the end is computed from `received_at`, the time that the events' `elapsed` counts from.
    #[must_use]
    pub fn new(task: TaskId, response: Response, tools: OfferedTools, received_at: Timestamp) -> Self {
        let mut encoder = Self {
            task,
            response,
            tools,
            received_at,
            open: None,
            reasoning_tokens_so_far: 0,
            next_sequence_number: 0,
            events: Vec::new(),
            starting_after: None,
        };
        let response = encoder.snapshot();
        encoder.push_event(EventKind::Created { response });
        encoder
    }

    /// Leaves out the stream events up to the one with this sequence number, and all queue positions.
    ///
    /// With `None`, nothing is left out.
    #[must_use]
    pub fn starting_after(self, starting_after: Option<u64>) -> Self {
        Self { starting_after, ..self }
    }

    /// Adds an event to the response without encoding frames, for a response that is not streamed.
    pub fn add(&mut self, event: &AnswerEvent<'_>) {
        self.handle(event);
        self.events.clear();
    }

    /// Returns the response in its present state.
    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// Returns the response in its present state, and drops the encoder.
    #[must_use]
    pub fn into_response(self) -> Response {
        self.response
    }

    /// Returns the function calls of the output: the names that the model sees, and the texts of the
    /// arguments.
    #[must_use]
    pub fn function_calls(&self) -> Vec<(String, &str)> {
        let mut calls = Vec::new();
        for item in &self.response.output {
            if let OutputItem::FunctionCall { name, namespace, arguments, .. } = item {
                calls.push((full_name(namespace.as_deref(), name), arguments.as_str()));
            }
        }
        calls
    }

    /// Makes the ended response a failure, and replaces the last of `frames` by the event of the failure.
    ///
    /// `frames` are the frames of the terminal event, which are not yet sent.
    pub fn fail_before_end(&mut self, frames: &mut [Frame], problem: &Problem) {
        self.response.status = Status::Failed;
        self.response.error = Some(failure(problem));
        self.response.completed_at = None;
        self.response.incomplete_details = None;
        let kind = EventKind::Failed { response: self.snapshot() };
        let sequence_number = self.next_sequence_number.saturating_sub(1);
        let failed = self.frame(&ResponseStreamEvent { kind, sequence_number });
        if let (Some(last), Some(failed)) = (frames.last_mut(), failed) {
            *last = failed;
        }
    }

    /// Handles a task event. A queue position gives a stream event only if the response is not queued yet.
    fn handle(&mut self, event: &AnswerEvent<'_>) {
        if self.is_over() {
            return;
        }
        match event.event {
            TaskEvent::Queued { .. } if !self.is_queued() => {
                self.response.status = Status::Queued;
                let response = self.snapshot();
                self.push_event(EventKind::Queued { response });
            }
            TaskEvent::Started { .. } => {
                self.response.status = Status::InProgress;
                let response = self.snapshot();
                self.push_event(EventKind::InProgress { response });
            }
            TaskEvent::Token { text, logprobs, .. } if !(text.is_empty() && logprobs.is_empty()) => {
                self.text(text, logprobs);
            }
            TaskEvent::Reasoning { text, index } => self.reasoning(text, *index),
            TaskEvent::Call(part) => self.call(part),
            TaskEvent::End(end) => self.end(end, event.elapsed),
            TaskEvent::Error(problem) => self.fail(problem),
            TaskEvent::Cancelled => self.cancel(),
            TaskEvent::Queued { .. }
            | TaskEvent::Prefilling(_)
            | TaskEvent::Token { .. }
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => {}
        }
    }

    /// Returns whether the task is in the queue.
    fn is_queued(&self) -> bool {
        self.response.status == Status::Queued
    }

    /// Encodes the stream events that are not yet encoded.
    fn take_frames(&mut self) -> Vec<Frame> {
        let events = std::mem::take(&mut self.events);
        events.iter().filter_map(|event| self.frame(event)).collect()
    }

    /// Encodes a stream event; returns `None` if it is left out.
    fn frame(&self, event: &ResponseStreamEvent) -> Option<Frame> {
        let is_seen = self.starting_after.is_some_and(|last| event.sequence_number <= last);
        (!is_seen).then(|| Frame::event(event.kind.name(), event))
    }

    fn push_event(&mut self, kind: EventKind) {
        self.events.push(ResponseStreamEvent { kind, sequence_number: self.next_sequence_number });
        self.next_sequence_number += 1;
    }

    fn snapshot(&self) -> Box<Response> {
        Box::new(self.response.clone())
    }

    /// Returns the index of the last item.
    fn item_index(&self) -> usize {
        self.response.output.len().saturating_sub(1)
    }

    /// Returns the id of the item at `item_index`.
    fn item_id(&self, prefix: &str, item_index: usize) -> String {
        item_id(prefix, self.task, item_index)
    }

    fn begin(&mut self, open: OpenItem, item: OutputItem, part: Option<OutputPart>) {
        self.open = Some(open);
        self.response.output.push(item.clone());
        let output_index = self.item_index();
        let item_id = id(&item).to_owned();
        self.push_event(EventKind::ItemAdded { output_index, item });
        if let Some(part) = part {
            self.push_event(EventKind::PartAdded { item_id, output_index, content_index: 0, part });
        }
    }

    fn text(&mut self, delta: &str, logprobs: &[TokenLogprobs]) {
        if !matches!(self.open, Some(OpenItem::Text(..))) {
            self.close(Status::Completed);
            let id = self.item_id("msg", self.response.output.len());
            let item = OutputItem::Message {
                id,
                status: Status::InProgress,
                role: "assistant".into(),
                content: Vec::new(),
            };
            self.begin(
                OpenItem::Text(String::new(), Vec::new()),
                item,
                Some(text_part(String::new(), Vec::new())),
            );
        }
        let logprobs: Vec<TokenLogprob> = logprobs.iter().map(token_logprob).collect();
        if let Some(OpenItem::Text(text, all)) = &mut self.open {
            text.push_str(delta);
            all.extend(logprobs.iter().cloned());
        }
        let (output_index, item_id) = (self.item_index(), self.item_id("msg", self.item_index()));
        self.push_event(EventKind::TextDelta {
            item_id,
            output_index,
            content_index: 0,
            delta: delta.to_owned(),
            logprobs,
        });
    }

    fn reasoning(&mut self, delta: &str, tokens: u64) {
        self.reasoning_tokens_so_far = tokens;
        if !matches!(self.open, Some(OpenItem::Reasoning(_))) {
            self.close(Status::Completed);
            let id = self.item_id("rs", self.response.output.len());
            let (summary, content) = (Vec::new(), Vec::new());
            let item = OutputItem::Reasoning { id, status: Status::InProgress, summary, content };
            let part = OutputPart::ReasoningText { text: String::new() };
            self.begin(OpenItem::Reasoning(String::new()), item, Some(part));
        }
        if let Some(OpenItem::Reasoning(text)) = &mut self.open {
            text.push_str(delta);
        }
        let (output_index, item_id) = (self.item_index(), self.item_id("rs", self.item_index()));
        let delta = delta.to_owned();
        self.push_event(EventKind::ReasoningDelta { item_id, output_index, content_index: 0, delta });
    }

    fn call(&mut self, part: &CallPart) {
        if !matches!(self.open, Some(OpenItem::Call { index, .. }) if index == part.index) {
            self.close(Status::Completed);
            let tool = self.tools.get(part.name.as_deref().unwrap_or_default());
            let call_id = self.item_id("call", part.index);
            let item_index = self.response.output.len();
            let item = self.call_item(&tool, item_index, call_id.clone(), Status::InProgress, "");
            let open = OpenItem::Call { index: part.index, tool, call_id, arguments: String::new() };
            self.begin(open, item, None);
        }
        let Some(OpenItem::Call { tool, arguments, .. }) = &mut self.open else { return };
        arguments.push_str(&part.arguments);
        // The input of a custom tool is sent when it is complete, because the model writes it inside JSON
        // arguments.
        if !tool.custom && !part.arguments.is_empty() {
            let (output_index, item_id) = (self.item_index(), self.item_id("fc", self.item_index()));
            let delta = part.arguments.clone();
            self.push_event(EventKind::ArgumentsDelta { item_id, output_index, delta });
        }
    }

    fn call_item(
        &self,
        tool: &OfferedTool,
        item_index: usize,
        call_id: String,
        status: Status,
        arguments: &str,
    ) -> OutputItem {
        let OfferedTool { name, namespace, custom } = tool.clone();
        if custom {
            let id = self.item_id("ctc", item_index);
            return OutputItem::CustomToolCall {
                id,
                status,
                call_id,
                name,
                namespace,
                input: custom_tools::input(arguments),
            };
        }
        let (id, arguments) = (self.item_id("fc", item_index), arguments.to_owned());
        OutputItem::FunctionCall { id, status, call_id, name, namespace, arguments }
    }

    /// Finishes the open item.
    fn close(&mut self, status: Status) {
        let (output_index, content_index) = (self.item_index(), 0);
        let item = match self.open.take() {
            None => return,
            Some(OpenItem::Text(text, logprobs)) => {
                let item_id = self.item_id("msg", output_index);
                self.push_event(EventKind::TextDone {
                    item_id: item_id.clone(),
                    output_index,
                    content_index,
                    text: text.clone(),
                    logprobs: logprobs.clone(),
                });
                let part = text_part(text, logprobs);
                let content = vec![part.clone()];
                self.push_event(EventKind::PartDone {
                    item_id: item_id.clone(),
                    output_index,
                    content_index,
                    part,
                });
                OutputItem::Message { id: item_id, status, role: "assistant".into(), content }
            }
            Some(OpenItem::Reasoning(text)) => {
                let item_id = self.item_id("rs", output_index);
                self.push_event(EventKind::ReasoningDone {
                    item_id: item_id.clone(),
                    output_index,
                    content_index,
                    text: text.clone(),
                });
                let part = OutputPart::ReasoningText { text };
                let content = vec![part.clone()];
                self.push_event(EventKind::PartDone {
                    item_id: item_id.clone(),
                    output_index,
                    content_index,
                    part,
                });
                OutputItem::Reasoning { id: item_id, status, summary: Vec::new(), content }
            }
            Some(OpenItem::Call { tool, call_id, arguments, .. }) => {
                let item = self.call_item(&tool, output_index, call_id, status, &arguments);
                let item_id = id(&item).to_owned();
                match &item {
                    OutputItem::CustomToolCall { input, .. } => {
                        let input = input.clone();
                        let delta = input.clone();
                        self.push_event(EventKind::CustomInputDelta {
                            item_id: item_id.clone(),
                            output_index,
                            delta,
                        });
                        self.push_event(EventKind::CustomInputDone { item_id, output_index, input });
                    }
                    _ => self.push_event(EventKind::ArgumentsDone {
                        item_id,
                        output_index,
                        name: tool.name,
                        arguments,
                    }),
                }
                item
            }
        };
        if let Some(last) = self.response.output.last_mut() {
            *last = item.clone();
        }
        self.push_event(EventKind::ItemDone { output_index, item });
    }

    fn end(&mut self, end: &TaskSummary, elapsed: Duration) {
        let cut = end.reason == FinishReason::Length;
        self.close(if cut { Status::Incomplete } else { Status::Completed });
        self.response.usage = Some(ResponseUsage {
            input_tokens: end.tokens_in,
            input_tokens_details: InputTokensDetails {
                cached_tokens: end.tokens_cached,
                cache_write_tokens: 0,
            },
            output_tokens: end.tokens_out,
            output_tokens_details: OutputTokensDetails { reasoning_tokens: self.reasoning_tokens_so_far },
            total_tokens: end.tokens_in + end.tokens_out,
        });
        self.response.timings = timings([end]);
        if cut {
            self.response.incomplete_details = Some(IncompleteDetails { reason: "max_output_tokens".into() });
            self.response.status = Status::Incomplete;
            let response = self.snapshot();
            return self.push_event(EventKind::Incomplete { response });
        }
        self.response.completed_at = Some(self.received_at.after(elapsed).as_seconds());
        self.response.status = Status::Completed;
        let response = self.snapshot();
        self.push_event(EventKind::Completed { response });
    }

    fn fail(&mut self, problem: &Problem) {
        self.close(Status::Incomplete);
        self.response.status = Status::Failed;
        self.response.error = Some(failure(problem));
        let response = self.snapshot();
        self.push_event(EventKind::Failed { response });
    }

    /// Ends the response as cancelled. OpenAI has no event for this, so the last event is
    /// `response.incomplete`.
    fn cancel(&mut self) {
        self.close(Status::Incomplete);
        self.response.status = Status::Cancelled;
        let response = self.snapshot();
        self.push_event(EventKind::Incomplete { response });
    }
}

impl Encoder for ResponsesEncoder {
    fn start(&mut self) -> Vec<Frame> {
        self.take_frames()
    }

    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame> {
        if let TaskEvent::Queued { position, predicted_start_ms, .. } = event.event
            && self.starting_after.is_none()
            && self.is_queued()
        {
            return vec![Frame::queued(*position, *predicted_start_ms)];
        }
        self.handle(event);
        self.take_frames()
    }

    fn is_over(&self) -> bool {
        !matches!(self.response.status, Status::Queued | Status::InProgress)
    }
}

/// Converts a problem to a response's error.
#[must_use]
pub fn failure(problem: &Problem) -> ResponseError {
    let code = match problem.code {
        Code::RateLimited | Code::QueueFull => "rate_limit_exceeded",
        // Codex looks for this code and then shortens the conversation.
        Code::ContextTooLong => "context_length_exceeded",
        code if code.status() >= 500 => "server_error",
        _ => "invalid_prompt",
    };
    ResponseError { code: code.into(), message: problem.detail.clone() }
}

fn text_part(text: String, logprobs: Vec<TokenLogprob>) -> OutputPart {
    OutputPart::OutputText { text, annotations: Vec::new(), logprobs }
}

fn id(item: &OutputItem) -> &str {
    match item {
        OutputItem::Reasoning { id, .. }
        | OutputItem::Message { id, .. }
        | OutputItem::FunctionCall { id, .. }
        | OutputItem::CustomToolCall { id, .. } => id,
    }
}
