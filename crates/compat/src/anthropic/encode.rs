//! Encodes an answer: the complete message, and the events of a stream.
//!
//! A stream has one block at a time: a new kind of content ends the block before it. It sends the arguments of a
//! tool call as the model writes them, before it is known whether they are an object. A stream therefore has a call
//! that the complete message has as text ([`object_arguments`]).

use lar_base::{Problem, TaskId};
use lar_inference::{CallPart, FinishReason, TaskEvent, TaskSummary, cancelled_problem};
use serde_json::json;

use super::decode::MessagesStyle;
use super::error;
use super::wire::{AnthropicMessage, AnthropicStreamEvent, AnthropicUsage, Block, BlockDelta, MessageDelta};
use crate::answer::object_arguments;
use crate::call_id::digits;
use crate::{Answer, AnswerEvent, Encoder, Frame, Head};

/// Returns the complete message of an answer. A request has one answer; any others are left out.
///
/// A call whose arguments are no object is a text block. If no other call is left, the message ends the turn: a
/// client expects a call after `tool_use`.
pub(super) fn whole(head: &Head, answers: Vec<Answer>, style: &MessagesStyle) -> AnthropicMessage {
    let answer = answers.into_iter().next().unwrap_or_default();
    let mut content = Vec::new();
    if style.shows_thinking && !answer.reasoning.is_empty() {
        content.push(Block::Thinking { thinking: answer.reasoning, signature: "" });
    }
    if !answer.content.is_empty() {
        content.push(Block::Text { text: answer.content });
    }
    let mut has_calls = false;
    for (index, call) in answer.calls.into_iter().enumerate() {
        content.push(match object_arguments(&call) {
            Ok(input) => {
                has_calls = true;
                Block::ToolUse { id: tool_use_id(head.task, 0, index), name: call.name, input }
            }
            Err(text) => Block::Text { text },
        });
    }
    let end = answer.end.as_ref();
    let reason = end.map(|end| match end.reason {
        FinishReason::ToolCalls if !has_calls => FinishReason::Stop,
        reason => reason,
    });
    let ended = reason.map(|reason| stop_reason(reason, &style.stop_sequences));
    let (stop_reason, stop_sequence) = ended.map_or((None, None), |(word, text)| (Some(word), text));
    let usage = end.map(usage).unwrap_or_default();
    AnthropicMessage { stop_reason, stop_sequence, usage, ..new_message(head, content) }
}

/// Creates a message without a stop reason. Its usage has the prompt tokens known before the answer.
fn new_message(head: &Head, content: Vec<Block>) -> AnthropicMessage {
    let tokens_in = head.tokens_in.first().copied().unwrap_or(0);
    AnthropicMessage {
        id: format!("msg_{:032x}", head.task.as_u128()),
        kind: "message",
        role: "assistant",
        model: head.model.clone(),
        content,
        stop_reason: None,
        stop_sequence: None,
        usage: AnthropicUsage { input_tokens: tokens_in, ..AnthropicUsage::default() },
    }
}

/// Returns the id of a tool call of an answer.
fn tool_use_id(task: TaskId, answer: usize, call: usize) -> String {
    format!("toolu_{}", digits(task, answer, call))
}

/// Returns Anthropic's stop reason and, if it applies, the stop sequence.
///
/// `stops` are the request's stop sequences.
fn stop_reason(reason: FinishReason, stops: &[String]) -> (&'static str, Option<String>) {
    let word = match reason {
        FinishReason::StopText(index) => return ("stop_sequence", stops.get(index).cloned()),
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
    };
    (word, None)
}

fn usage(end: &TaskSummary) -> AnthropicUsage {
    AnthropicUsage {
        input_tokens: end.tokens_in.saturating_sub(end.tokens_cached),
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: end.tokens_cached,
        output_tokens: end.tokens_out,
    }
}

/// The kind of the unfinished content block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenBlock {
    Thinking,
    Text,
    /// A tool call, with its index in the answer.
    Call(usize),
}

/// The encoder of a streamed message.
#[derive(Debug)]
pub struct MessageEncoder {
    head: Head,
    style: MessagesStyle,
    open: Option<OpenBlock>,
    /// The number of blocks that have been started.
    blocks: usize,
    /// The frames of the current event.
    frames: Vec<Frame>,
    is_over: bool,
}

impl MessageEncoder {
    pub(super) fn new(head: Head, style: MessagesStyle) -> Self {
        Self { head, style, open: None, blocks: 0, frames: Vec::new(), is_over: false }
    }

    fn send(&mut self, event: &AnthropicStreamEvent) {
        self.frames.push(Frame::event(event.name(), event));
    }

    /// Starts a block of this kind, unless one is open already.
    fn switch_to(&mut self, kind: OpenBlock, block: impl FnOnce() -> Block) {
        if self.open == Some(kind) {
            return;
        }
        self.close();
        self.open = Some(kind);
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

    fn add_call(&mut self, answer: usize, part: &CallPart) {
        let task = self.head.task;
        self.switch_to(OpenBlock::Call(part.index), || Block::ToolUse {
            id: tool_use_id(task, answer, part.index),
            name: part.name.clone().unwrap_or_default(),
            input: json!({}),
        });
        if !part.arguments.is_empty() {
            self.send_delta(BlockDelta::InputJsonDelta { partial_json: part.arguments.clone() });
        }
    }

    fn end(&mut self, end: &TaskSummary) {
        self.close();
        let (stop_reason, stop_sequence) = stop_reason(end.reason, &self.style.stop_sequences);
        let delta = MessageDelta { stop_reason, stop_sequence };
        self.send(&AnthropicStreamEvent::MessageDelta { delta, usage: usage(end) });
        self.send(&AnthropicStreamEvent::MessageStop);
        self.is_over = true;
    }

    fn fail(&mut self, problem: &Problem) {
        self.frames.push(Frame::event("error", &error::body(problem, None)));
        self.is_over = true;
    }
}

impl Encoder for MessageEncoder {
    fn start(&mut self) -> Vec<Frame> {
        let message = new_message(&self.head, Vec::new());
        self.send(&AnthropicStreamEvent::MessageStart { message });
        std::mem::take(&mut self.frames)
    }

    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame> {
        if self.is_over {
            return Vec::new();
        }
        match event.event {
            TaskEvent::Queued { .. } => self.send(&AnthropicStreamEvent::Ping),
            TaskEvent::Token { text, .. } if !text.is_empty() => {
                self.switch_to(OpenBlock::Text, || Block::Text { text: String::new() });
                self.send_delta(BlockDelta::TextDelta { text: text.to_string() });
            }
            TaskEvent::Reasoning { text, .. } if self.style.shows_thinking => {
                self.switch_to(OpenBlock::Thinking, || Block::Thinking {
                    thinking: String::new(),
                    signature: "",
                });
                self.send_delta(BlockDelta::ThinkingDelta { thinking: text.to_string() });
            }
            TaskEvent::Call(part) => self.add_call(event.answer, part),
            TaskEvent::End(end) => self.end(end),
            TaskEvent::Error(problem) => self.fail(problem),
            TaskEvent::Cancelled => self.fail(&cancelled_problem()),
            TaskEvent::Started { .. }
            | TaskEvent::Prefilling(_)
            | TaskEvent::Token { .. }
            | TaskEvent::Reasoning { .. }
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => {}
        }
        std::mem::take(&mut self.frames)
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use lar_base::Timestamp;
    use serde_json::Value;

    use super::*;

    fn head() -> Head {
        Head {
            task: "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap(),
            model: "m".into(),
            received_at: Timestamp::from_millis(0),
            tokens_in: vec![7],
            fingerprint: String::new(),
        }
    }

    fn call(index: usize, name: &str, arguments: &str) -> TaskEvent {
        let name = (!name.is_empty()).then(|| name.to_owned());
        TaskEvent::Call(CallPart { index, name, arguments: arguments.to_owned() })
    }

    /// The events of an answer with reasoning, text and two tool calls.
    fn events() -> Vec<TaskEvent> {
        let end = TaskSummary {
            reason: FinishReason::ToolCalls,
            tokens_in: 7,
            tokens_cached: 2,
            tokens_out: 9,
            queue_ms: 0,
            ttft_ms: 1,
            decode_ms: 1,
        };
        vec![
            TaskEvent::Reasoning { text: "hm".into(), index: 1 },
            TaskEvent::Token { text: "a".into(), index: 2, logprobs: Vec::new().into() },
            TaskEvent::Token { text: "b".into(), index: 3, logprobs: Vec::new().into() },
            call(0, "get", "{\"x\":"),
            call(0, "", "1}"),
            call(1, "put", "{}"),
            TaskEvent::End(end),
        ]
    }

    /// Returns the data of the frames of a stream.
    fn streamed(style: &MessagesStyle) -> Vec<Value> {
        let mut encoder = MessageEncoder::new(head(), style.clone());
        let mut frames = encoder.start();
        for event in &events() {
            frames.extend(encoder.push(&AnswerEvent::of(event)));
        }
        assert!(encoder.is_over());
        let data = frames.into_iter().map(|frame| match frame {
            Frame::Event { name: Some(name), data } => {
                let data: Value = serde_json::from_str(&data).unwrap();
                assert_eq!(data["type"], name);
                data
            }
            other => panic!("{other:?}"),
        });
        data.collect()
    }

    #[test]
    fn a_stream_has_the_blocks_of_the_complete_message() {
        let mut answers = vec![Answer::default()];
        for event in &events() {
            Answer::add(&mut answers, head().task, &AnswerEvent::of(event)).unwrap();
        }
        for shows_thinking in [true, false] {
            let style = MessagesStyle { shows_thinking, stop_sequences: Vec::new() };
            let message = serde_json::to_value(whole(&head(), answers.clone(), &style)).unwrap();
            let events = streamed(&style);
            assert_eq!(events[0]["message"]["id"], message["id"]);
            assert_eq!(events[0]["message"]["usage"]["input_tokens"], 7);
            let started = events.iter().filter(|event| event["type"] == "content_block_start");
            let started: Vec<&Value> = started.map(|event| &event["content_block"]).collect();
            let content = message["content"].as_array().unwrap();
            assert_eq!(started.len(), content.len());
            for (started, block) in started.into_iter().zip(content) {
                for name in ["type", "id", "name"] {
                    assert_eq!(started[name], block[name], "{block}");
                }
            }
            let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
            assert_eq!(delta["delta"]["stop_reason"], message["stop_reason"]);
            assert_eq!(delta["usage"], message["usage"]);
            let kinds: Vec<&str> = content.iter().filter_map(|block| block["type"].as_str()).collect();
            let expected: &[&str] = match shows_thinking {
                true => &["thinking", "text", "tool_use", "tool_use"],
                false => &["text", "tool_use", "tool_use"],
            };
            assert_eq!(kinds, expected);
            assert_eq!(content[content.len() - 2]["input"], json!({ "x": 1 }));
            assert_eq!(content[content.len() - 1]["input"], json!({}));
        }
    }

    #[test]
    fn a_message_without_a_call_that_can_be_run_ends_the_turn() {
        let style = MessagesStyle::default();
        let message = |arguments: &str| {
            let mut answers = vec![Answer::default()];
            for event in [call(0, "get", arguments), events().remove(6)] {
                Answer::add(&mut answers, head().task, &AnswerEvent::of(&event)).unwrap();
            }
            serde_json::to_value(whole(&head(), answers, &style)).unwrap()
        };
        assert_eq!(message("{}")["stop_reason"], "tool_use");
        let message = message("[1]");
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(message["content"], json!([{ "type": "text", "text": "get [1]" }]));
    }
}
