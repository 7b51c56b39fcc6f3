//! `POST /v1/messages`: the complete response and its stream.

use std::collections::VecDeque;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::anthropic::{
    AnthropicMessage, AnthropicStreamEvent, AnthropicUsage, Block, BlockDelta, MessageDelta,
};
use lar_base::{Problem, TaskId};
use lar_inference::{CallPart, TaskEvent, TaskSummary, cancelled_problem};
use serde_json::{Value, json};

use super::{decode_messages, stop_reason, usage};
use crate::compat_caller::{CompatCaller, with_lar_headers};
use crate::errors::{self, Failure};
use crate::generate::{self, Answer, AnswerStream};
use crate::json::to_json;
use crate::tool_call_check::ToolSchemas;
use crate::{State, extract, sse};

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let (generation, thinking) = decode_messages(&extract::body(request, &app).await?, TaskId::new())?;
    let (stream, stops) = (generation.stream, generation.sampling.stop.clone());
    let id = format!("msg_{:032x}", generation.id.as_u128());
    let schemas = ToolSchemas::of(&generation);
    let answer_stream = generate::begin(&app, &compat_caller, "anthropic.messages", generation).await?;
    let (memory_activity, mut ignored) =
        (answer_stream.memory_activity.clone(), answer_stream.ignored.clone());
    let response = if stream {
        sse::response(MessageStream::new(id, answer_stream, thinking, stops))
    } else {
        let model = answer_stream.model.clone();
        let answers = answer_stream.collect().await?;
        let answer = answers.into_iter().next().ok_or_else(|| Problem::not_found("the answer"))?;
        ignored.extend(schemas.violations(answer.named_calls()));
        axum::Json(whole(id, model, answer, thinking, &stops)).into_response()
    };
    Ok(with_lar_headers(response, &ignored, memory_activity.as_ref()))
}

fn whole(id: String, model: String, answer: Answer, thinking: bool, stops: &[String]) -> AnthropicMessage {
    let mut content = Vec::new();
    if thinking && !answer.reasoning.is_empty() {
        content.push(Block::Thinking { thinking: answer.reasoning, signature: "" });
    }
    if !answer.content.is_empty() {
        content.push(Block::Text { text: answer.content });
    }
    content.extend(answer.calls.into_iter().map(|call| Block::ToolUse {
        id: tool_use_id(),
        name: call.name,
        input: serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({})),
    }));
    let end = answer.end.as_ref();
    let ended = end.map(|end| stop_reason(end.reason, stops));
    let (stop_reason, stop_sequence) = ended.map_or((None, None), |(word, text)| (Some(word), text));
    AnthropicMessage {
        stop_reason,
        stop_sequence,
        usage: end.map(usage).unwrap_or_default(),
        ..new_message(id, model, content, 0)
    }
}

fn new_message(id: String, model: String, content: Vec<Block>, tokens_in: u64) -> AnthropicMessage {
    let usage = AnthropicUsage { input_tokens: tokens_in, ..AnthropicUsage::default() };
    let (kind, role) = ("message", "assistant");
    AnthropicMessage { id, kind, role, model, content, stop_reason: None, stop_sequence: None, usage }
}

fn tool_use_id() -> String {
    format!("toolu_{:032x}", TaskId::new().as_u128())
}

/// The kind of the unfinished content block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenBlock {
    Thinking,
    Text,
    Call(usize),
}

struct MessageStream {
    answer_stream: AnswerStream,
    /// Whether thinking is shown.
    thinking: bool,
    /// The request's stop sequences.
    stops: Vec<String>,
    open: Option<OpenBlock>,
    /// The number of blocks that have been started.
    blocks: usize,
    parts: VecDeque<String>,
    over: bool,
}

impl MessageStream {
    fn new(id: String, answer_stream: AnswerStream, thinking: bool, stops: Vec<String>) -> Self {
        let message = new_message(id, answer_stream.model.clone(), Vec::new(), answer_stream.tokens_in(0));
        let mut stream = Self {
            answer_stream,
            thinking,
            stops,
            open: None,
            blocks: 0,
            parts: VecDeque::new(),
            over: false,
        };
        stream.send(&AnthropicStreamEvent::MessageStart { message });
        stream
    }

    fn send(&mut self, event: &AnthropicStreamEvent) {
        let data = to_json(event);
        self.parts.push_back(sse::event(Some(event.name()), None, &data));
    }

    /// Starts a block of this kind, unless one is open already.
    fn switch_to(&mut self, block_kind: OpenBlock, block: impl FnOnce() -> Block) {
        if self.open == Some(block_kind) {
            return;
        }
        self.close();
        self.open = Some(block_kind);
        self.blocks += 1;
        self.send(&AnthropicStreamEvent::ContentBlockStart {
            index: self.blocks - 1,
            content_block: block(),
        });
    }

    fn send_delta(&mut self, delta: BlockDelta) {
        self.send(&AnthropicStreamEvent::ContentBlockDelta { index: self.blocks.saturating_sub(1), delta });
    }

    fn close(&mut self) {
        if self.open == Some(OpenBlock::Thinking) {
            self.send_delta(BlockDelta::SignatureDelta { signature: "" });
        }
        if self.open.take().is_some() {
            self.send(&AnthropicStreamEvent::ContentBlockStop { index: self.blocks - 1 });
        }
    }

    fn handle_event(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Queued { .. } => self.send(&AnthropicStreamEvent::Ping),
            TaskEvent::Token { text, .. } if !text.is_empty() => {
                self.switch_to(OpenBlock::Text, || Block::Text { text: String::new() });
                self.send_delta(BlockDelta::TextDelta { text: text.to_string() });
            }
            TaskEvent::Reasoning { text, .. } if self.thinking => {
                self.switch_to(OpenBlock::Thinking, || Block::Thinking {
                    thinking: String::new(),
                    signature: "",
                });
                self.send_delta(BlockDelta::ThinkingDelta { thinking: text.to_string() });
            }
            TaskEvent::Call(CallPart { index, name, arguments }) => {
                let name = name.unwrap_or_default();
                let input = Value::Object(serde_json::Map::new());
                self.switch_to(OpenBlock::Call(index), || Block::ToolUse { id: tool_use_id(), name, input });
                if !arguments.is_empty() {
                    self.send_delta(BlockDelta::InputJsonDelta { partial_json: arguments });
                }
            }
            TaskEvent::End(end) => self.end(&end),
            TaskEvent::Error(problem) => self.fail(&problem),
            TaskEvent::Cancelled => self.fail(&cancelled_problem()),
            TaskEvent::Started { .. }
            | TaskEvent::Prefilling(_)
            | TaskEvent::Token { .. }
            | TaskEvent::Reasoning { .. }
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => {}
        }
    }

    fn end(&mut self, end: &TaskSummary) {
        self.close();
        let (stop_reason, stop_sequence) = stop_reason(end.reason, &self.stops);
        let delta = MessageDelta { stop_reason, stop_sequence };
        self.send(&AnthropicStreamEvent::MessageDelta { delta, usage: usage(end) });
        self.send(&AnthropicStreamEvent::MessageStop);
        self.over = true;
    }

    fn fail(&mut self, problem: &Problem) {
        let data = to_json(&errors::anthropic(problem, None));
        self.parts.push_back(sse::event(Some("error"), None, &data));
        self.over = true;
    }
}

impl sse::Source for MessageStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Some(part);
            }
            if self.over {
                return None;
            }
            let (_, event) = self.answer_stream.next().await?;
            self.handle_event(event);
        }
    }
}
