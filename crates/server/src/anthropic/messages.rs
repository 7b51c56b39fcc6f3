//! `POST /v1/messages`.

use std::collections::VecDeque;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::anthropic::{Block, Delta, Message, MessageDelta, StreamEvent, Usage};
use lar_base::{Problem, TaskId};
use lar_engines::chat_format::CallPart;
use lar_gateway::{End, TaskEvent, cancelled_problem};
use serde_json::{Value, json};

use super::{decode_messages, stop_reason, usage};
use crate::asker::{Asker, with_told};
use crate::errors::{self, Failure};
use crate::generate::{self, Answer, Begun};
use crate::misfits::Schemas;
use crate::{State, extract, sse};

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let (wanted, thinking) = decode_messages(&extract::body(request, &app).await?, TaskId::new())?;
    let (stream, stops) = (wanted.stream, wanted.sampling.stop.clone());
    let id = format!("msg_{:032x}", wanted.id.as_u128());
    let schemas = Schemas::of(&wanted);
    let begun = generate::begin(&app, &asker, "anthropic.messages", wanted).await?;
    let (noted, mut ignored) = (begun.noted.clone(), begun.ignored.clone());
    let response = if stream {
        sse::response(Stream::new(id, begun, thinking, stops))
    } else {
        let model = begun.model.clone();
        let answers = begun.collect().await?;
        let answer = answers.into_iter().next().ok_or_else(|| Problem::not_found("the answer"))?;
        ignored.extend(schemas.misfits(answer.named_calls()));
        axum::Json(whole(id, model, answer, thinking, &stops)).into_response()
    };
    Ok(with_told(response, &ignored, noted.as_ref()))
}

fn whole(id: String, model: String, answer: Answer, thinking: bool, stops: &[String]) -> Message {
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
    Message {
        stop_reason,
        stop_sequence,
        usage: end.map(usage).unwrap_or_default(),
        ..started(id, model, content, 0)
    }
}

fn started(id: String, model: String, content: Vec<Block>, tokens_in: u64) -> Message {
    let usage = Usage { input_tokens: tokens_in, ..Usage::default() };
    let (kind, role) = ("message", "assistant");
    Message { id, kind, role, model, content, stop_reason: None, stop_sequence: None, usage }
}

fn tool_use_id() -> String {
    format!("toolu_{:032x}", TaskId::new().as_u128())
}

/// What the block that is being written holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
    Call(usize),
}

struct Stream {
    begun: Begun,
    /// Whether thinking is shown.
    thinking: bool,
    /// The request's stop texts.
    stops: Vec<String>,
    open: Option<Open>,
    /// Blocks that were begun.
    blocks: usize,
    parts: VecDeque<String>,
    over: bool,
}

impl Stream {
    fn new(id: String, begun: Begun, thinking: bool, stops: Vec<String>) -> Self {
        let message = started(id, begun.model.clone(), Vec::new(), begun.tokens_in(0));
        let mut stream =
            Self { begun, thinking, stops, open: None, blocks: 0, parts: VecDeque::new(), over: false };
        stream.send(&StreamEvent::MessageStart { message });
        stream
    }

    fn send(&mut self, event: &StreamEvent) {
        let data = serde_json::to_string(event).unwrap_or_default();
        self.parts.push_back(sse::event(Some(event.name()), None, &data));
    }

    /// Sees to it that a block of this kind is being written.
    fn turn_to(&mut self, wanted: Open, block: impl FnOnce() -> Block) {
        if self.open == Some(wanted) {
            return;
        }
        self.close();
        self.open = Some(wanted);
        self.blocks += 1;
        self.send(&StreamEvent::ContentBlockStart { index: self.blocks - 1, content_block: block() });
    }

    fn grow(&mut self, delta: Delta) {
        self.send(&StreamEvent::ContentBlockDelta { index: self.blocks.saturating_sub(1), delta });
    }

    fn close(&mut self) {
        if self.open == Some(Open::Thinking) {
            self.grow(Delta::SignatureDelta { signature: "" });
        }
        if self.open.take().is_some() {
            self.send(&StreamEvent::ContentBlockStop { index: self.blocks - 1 });
        }
    }

    fn hear(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Queued { .. } => self.send(&StreamEvent::Ping),
            TaskEvent::Token { text, .. } if !text.is_empty() => {
                self.turn_to(Open::Text, || Block::Text { text: String::new() });
                self.grow(Delta::TextDelta { text: text.to_string() });
            }
            TaskEvent::Reasoning { text, .. } if self.thinking => {
                self.turn_to(Open::Thinking, || Block::Thinking { thinking: String::new(), signature: "" });
                self.grow(Delta::ThinkingDelta { thinking: text.to_string() });
            }
            TaskEvent::Call(CallPart { index, name, arguments }) => {
                let name = name.unwrap_or_default();
                let input = Value::Object(serde_json::Map::new());
                self.turn_to(Open::Call(index), || Block::ToolUse { id: tool_use_id(), name, input });
                if !arguments.is_empty() {
                    self.grow(Delta::InputJsonDelta { partial_json: arguments });
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

    fn end(&mut self, end: &End) {
        self.close();
        let (stop_reason, stop_sequence) = stop_reason(end.reason, &self.stops);
        let delta = MessageDelta { stop_reason, stop_sequence };
        self.send(&StreamEvent::MessageDelta { delta, usage: usage(end) });
        self.send(&StreamEvent::MessageStop);
        self.over = true;
    }

    fn fail(&mut self, problem: &Problem) {
        let data = serde_json::to_string(&errors::anthropic(problem, None)).unwrap_or_default();
        self.parts.push_back(sse::event(Some("error"), None, &data));
        self.over = true;
    }
}

impl sse::Source for Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Some(part);
            }
            if self.over {
                return None;
            }
            let (_, event) = self.begun.next().await?;
            self.hear(event);
        }
    }
}
