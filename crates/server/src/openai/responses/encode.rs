//! Converts the events of a task into a response and the events of its stream.
//!
//! Invariant: the same task events give the same response and the same stream events, apart from timestamps.
//! A client can therefore read the stream of a background response again.

use std::collections::VecDeque;

use lar_api::openai::TokenLogprob;
use lar_api::openai::responses::{
    EventKind, IncompleteDetails, InputTokensDetails, OutputItem, OutputPart, OutputTokensDetails, Response,
    ResponseError, ResponseStreamEvent, ResponseUsage, Status,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_inference::{CallPart, FinishReason, TaskEvent, TaskSummary, TokenLogprobs};

use super::decode::{OfferedTool, OfferedTools};
use crate::openai::custom_tools;
use crate::openai::sampling::{timings, top_logprob};

/// An encoder of one task's response.
pub(crate) struct Encoder {
    task: TaskId,
    pub(crate) response: Response,
    tools: OfferedTools,
    open: Option<OpenItem>,
    /// The number of reasoning tokens so far.
    reasoning_tokens_so_far: u64,
    next_sequence_number: u64,
    events: VecDeque<ResponseStreamEvent>,
}

/// The unfinished last item of the output.
#[derive(Debug)]
enum OpenItem {
    Thinking(String),
    Text(String, Vec<TokenLogprob>),
    Call { index: usize, tool: OfferedTool, call_id: String, arguments: String },
}

impl Encoder {
    /// Creates an encoder for `task`. The output of `response` must be empty.
    pub(crate) fn new(task: TaskId, response: Response, tools: OfferedTools) -> Self {
        let mut encoder = Self {
            task,
            response,
            tools,
            open: None,
            reasoning_tokens_so_far: 0,
            next_sequence_number: 0,
            events: VecDeque::new(),
        };
        let response = encoder.snapshot();
        encoder.push_event(EventKind::Created { response });
        encoder
    }

    /// Takes the next event of the stream, if there is one.
    pub(crate) fn next(&mut self) -> Option<ResponseStreamEvent> {
        self.events.pop_front()
    }

    /// Handles a task event. A queue position gives a stream event only if the response is not queued yet.
    pub(crate) fn handle_event(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Queued { .. } if self.response.status != Status::Queued => {
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
                self.text(&text, &logprobs);
            }
            TaskEvent::Reasoning { text, index } => self.thinking(&text, index),
            TaskEvent::Call(part) => self.call(part),
            TaskEvent::End(end) => self.end(&end),
            TaskEvent::Error(problem) => self.fail(&problem),
            TaskEvent::Cancelled => self.cancel(),
            TaskEvent::Queued { .. }
            | TaskEvent::Prefilling(_)
            | TaskEvent::Token { .. }
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => {}
        }
    }

    /// Replaces the last event, which is not yet sent, by a failure.
    pub(crate) fn fail_before_end(&mut self, problem: &Problem) {
        self.response.status = Status::Failed;
        self.response.error = Some(failure(problem));
        let response = self.snapshot();
        if let Some(last) = self.events.back_mut() {
            last.kind = EventKind::Failed { response };
        }
    }

    /// Returns whether the task is in the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.response.status == Status::Queued
    }

    /// Returns whether the response has ended.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.response.status, Status::Queued | Status::InProgress)
    }

    fn push_event(&mut self, kind: EventKind) {
        self.events.push_back(ResponseStreamEvent { kind, sequence_number: self.next_sequence_number });
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
        format!("{prefix}_{:032x}{item_index:04x}", self.task.as_u128())
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
        let logprobs: Vec<TokenLogprob> = logprobs.iter().map(logprob_to_wire).collect();
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

    fn thinking(&mut self, delta: &str, tokens: u64) {
        self.reasoning_tokens_so_far = tokens;
        if !matches!(self.open, Some(OpenItem::Thinking(_))) {
            self.close(Status::Completed);
            let id = self.item_id("rs", self.response.output.len());
            let (summary, content) = (Vec::new(), Vec::new());
            let item = OutputItem::Reasoning { id, status: Status::InProgress, summary, content };
            let part = OutputPart::ReasoningText { text: String::new() };
            self.begin(OpenItem::Thinking(String::new()), item, Some(part));
        }
        if let Some(OpenItem::Thinking(text)) = &mut self.open {
            text.push_str(delta);
        }
        let (output_index, item_id) = (self.item_index(), self.item_id("rs", self.item_index()));
        let delta = delta.to_owned();
        self.push_event(EventKind::ReasoningDelta { item_id, output_index, content_index: 0, delta });
    }

    fn call(&mut self, part: CallPart) {
        if !matches!(self.open, Some(OpenItem::Call { index, .. }) if index == part.index) {
            self.close(Status::Completed);
            let tool = self.tools.get(part.name.as_deref().unwrap_or_default());
            let call_id = format!("call_{:032x}{:04x}", self.task.as_u128(), part.index);
            let item_index = self.response.output.len();
            let item = self.call_item(&tool, item_index, call_id.clone(), Status::InProgress, "");
            let open = OpenItem::Call { index: part.index, tool, call_id, arguments: String::new() };
            self.begin(open, item, None);
        }
        let Some(OpenItem::Call { tool, arguments, .. }) = &mut self.open else { return };
        arguments.push_str(&part.arguments);
        // The input of a custom tool is sent when it is complete, because the model writes it inside JSON arguments.
        if !tool.custom && !part.arguments.is_empty() {
            let (output_index, item_id) = (self.item_index(), self.item_id("fc", self.item_index()));
            self.push_event(EventKind::ArgumentsDelta { item_id, output_index, delta: part.arguments });
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
            Some(OpenItem::Thinking(text)) => {
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

    fn end(&mut self, end: &TaskSummary) {
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
        self.response.completed_at = Some(Timestamp::now().as_seconds());
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

    /// Ends the response as cancelled. OpenAI has no event for this, so the last event is `response.incomplete`.
    fn cancel(&mut self) {
        self.close(Status::Incomplete);
        self.response.status = Status::Cancelled;
        let response = self.snapshot();
        self.push_event(EventKind::Incomplete { response });
    }
}

/// Converts a problem to a response's error.
pub(crate) fn failure(problem: &Problem) -> ResponseError {
    let code = match problem.code {
        Code::RateLimited | Code::QueueFull => "rate_limit_exceeded",
        code if code.status() >= 500 => "server_error",
        _ => "invalid_prompt",
    };
    ResponseError { code: code.into(), message: problem.detail.clone() }
}

fn text_part(text: String, logprobs: Vec<TokenLogprob>) -> OutputPart {
    OutputPart::OutputText { text, annotations: Vec::new(), logprobs }
}

fn logprob_to_wire(token: &TokenLogprobs) -> TokenLogprob {
    TokenLogprob {
        chosen: top_logprob(&token.chosen),
        top_logprobs: token.top.iter().map(top_logprob).collect(),
    }
}

fn id(item: &OutputItem) -> &str {
    match item {
        OutputItem::Reasoning { id, .. }
        | OutputItem::Message { id, .. }
        | OutputItem::FunctionCall { id, .. }
        | OutputItem::CustomToolCall { id, .. } => id,
    }
}
