//! Encodes the answers of chat and generate: the lines of a stream, and the single object.
//!
//! A tool call is in one line, because its arguments are an object. A call whose arguments are none is text
//! ([`object_arguments`]). The last line has the statistics.

use std::time::Duration;

use lar_base::Timestamp;
use lar_inference::{
    CallPart, FinishReason, TaskEvent, TaskSummary, TokenLogprobs, ToolCall, cancelled_problem,
};

use super::input::{OllamaPath, OllamaStyle};
use super::wire::{End, Logprob, OllamaAnswer, OllamaCalledFunction, OllamaMessage, OllamaToolCall};
use super::{context, error};
use crate::answer::object_arguments;
use crate::call_id::call_id;
use crate::openai::wire::TokenLogprob;
use crate::token_usage::token_logprob;
use crate::{Answer, AnswerEvent, Encoder, Frame, Head};

/// Returns the response with a complete answer. A request has one answer; any others are left out.
///
/// It has the contents of all lines of a stream. Its `created_at` is the time at which the task started.
pub(super) fn whole(head: &Head, answers: Vec<Answer>, style: &OllamaStyle) -> OllamaAnswer {
    let answer = answers.into_iter().next().unwrap_or_default();
    let times = AnswerTimes { started_after: answer.started_after, ended_after: answer.ended_after };
    let end = answer.end.as_ref().map(|end| times.end(end, style, &answer.content));
    let thinking = if style.shows_thinking { answer.reasoning } else { String::new() };
    let mut parts = LineParts { content: answer.content, thinking, tool_calls: Vec::new() };
    for (index, call) in answer.calls.into_iter().enumerate() {
        match tool_call(index, call) {
            Ok(call) => parts.tool_calls.push(call),
            Err(text) => parts.content.push_str(&text),
        }
    }
    OllamaAnswer {
        logprobs: answer.logprobs.iter().map(logprob).collect(),
        done: end.is_some(),
        end,
        ..parts.line(style, head.received_at.after(answer.started_after))
    }
}

/// Returns the response to a request that only loads or unloads a model; `at` is the current time.
///
/// `done_reason` is `load` or `unload`. A stream has the response as its only line.
#[must_use]
pub fn load_answer(style: &OllamaStyle, done_reason: &'static str, at: Timestamp) -> OllamaAnswer {
    OllamaAnswer {
        done: true,
        end: Some(End { done_reason, ..End::default() }),
        ..LineParts::default().line(style, at)
    }
}

/// The contents of a line.
#[derive(Debug, Default)]
struct LineParts {
    content: String,
    thinking: String,
    tool_calls: Vec<OllamaToolCall>,
}

impl LineParts {
    /// Returns a line with these contents, which is not the last one.
    fn line(self, style: &OllamaStyle, at: Timestamp) -> OllamaAnswer {
        let Self { content, thinking, tool_calls } = self;
        let line = OllamaAnswer {
            model: style.model.clone(),
            created_at: at.to_string(),
            ..OllamaAnswer::default()
        };
        match style.path {
            OllamaPath::Chat => {
                let role = "assistant".into();
                let message =
                    OllamaMessage { role, content, thinking, tool_calls, ..OllamaMessage::default() };
                OllamaAnswer { message: Some(message), ..line }
            }
            OllamaPath::Generate => OllamaAnswer {
                response: Some(content),
                thinking: (!thinking.is_empty()).then_some(thinking),
                ..line
            },
        }
    }
}

/// The times of an answer since the request arrived.
#[derive(Debug, Clone, Copy)]
struct AnswerTimes {
    /// The time until the task started.
    started_after: Duration,
    /// The time until the task ended.
    ended_after: Duration,
}

impl AnswerTimes {
    /// Returns the end of an answer with this text.
    fn end(self, end: &TaskSummary, style: &OllamaStyle, text: &str) -> End {
        End {
            done_reason: if end.reason == FinishReason::Length { "length" } else { "stop" },
            total_duration: nanos(self.ended_after),
            load_duration: nanos(self.started_after),
            prompt_eval_count: end.tokens_in,
            // The time in the queue is part of `load_duration`.
            prompt_eval_duration: end.ttft_ms.saturating_sub(end.queue_ms).saturating_mul(1_000_000),
            eval_count: end.tokens_out,
            eval_duration: end.decode_ms.saturating_mul(1_000_000),
            context: style.context.as_deref().map(|messages| context::encode(messages, text)),
        }
    }
}

/// Returns a time in nanoseconds.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn logprob(token: &TokenLogprobs) -> Logprob {
    let TokenLogprob { chosen, top_logprobs } = token_logprob(token);
    Logprob { chosen, top_logprobs }
}

/// Converts a tool call, or returns it as text if its arguments are no object.
fn tool_call(index: usize, call: ToolCall) -> Result<OllamaToolCall, String> {
    let arguments = object_arguments(&call)?;
    let function = OllamaCalledFunction { index: Some(index), name: call.name, arguments };
    Ok(OllamaToolCall { id: Some(call.id), function })
}

/// The encoder of a streamed answer of chat or generate.
#[derive(Debug)]
pub struct OllamaEncoder {
    head: Head,
    style: OllamaStyle,
    /// The time from the arrival of the request to the start of the task.
    started_after: Duration,
    /// The text so far, for the `context` of the response; empty if it has none.
    text: String,
    /// The unfinished tool call and its index in the answer.
    call: Option<(usize, ToolCall)>,
    is_over: bool,
}

impl OllamaEncoder {
    pub(super) fn new(head: Head, style: OllamaStyle) -> Self {
        let (started_after, text) = (Duration::ZERO, String::new());
        Self { head, style, started_after, text, call: None, is_over: false }
    }

    /// Returns a line with these contents.
    fn line(&self, parts: LineParts, elapsed: Duration) -> OllamaAnswer {
        parts.line(&self.style, self.head.received_at.after(elapsed))
    }

    /// Adds a part of a tool call. Returns the call before it if this part starts another one.
    fn add_call(&mut self, answer: usize, part: &CallPart) -> Option<(usize, ToolCall)> {
        let finished = self.call.take_if(|(index, _)| *index != part.index);
        let task = self.head.task;
        let (_, call) = self.call.get_or_insert_with(|| {
            let id = call_id(task, answer, part.index);
            (part.index, ToolCall { id, name: String::new(), arguments: String::new() })
        });
        call.name.push_str(part.name.as_deref().unwrap_or_default());
        call.arguments.push_str(&part.arguments);
        finished
    }

    /// Returns the line of a complete tool call.
    fn call_line(&self, (index, call): (usize, ToolCall), elapsed: Duration) -> OllamaAnswer {
        let parts = match tool_call(index, call) {
            Ok(call) => LineParts { tool_calls: vec![call], ..LineParts::default() },
            Err(content) => LineParts { content, ..LineParts::default() },
        };
        self.line(parts, elapsed)
    }

    /// Returns the lines of an event that is not a failure.
    fn lines(&mut self, event: &AnswerEvent<'_>) -> Vec<OllamaAnswer> {
        let elapsed = event.elapsed;
        match event.event {
            TaskEvent::Started { .. } => self.started_after = elapsed,
            TaskEvent::Token { text, logprobs, .. } if !text.is_empty() || !logprobs.is_empty() => {
                if self.style.context.is_some() {
                    self.text.push_str(text);
                }
                let parts = LineParts { content: text.to_string(), ..LineParts::default() };
                let logprobs = logprobs.iter().map(logprob).collect();
                return vec![OllamaAnswer { logprobs, ..self.line(parts, elapsed) }];
            }
            TaskEvent::Reasoning { text, .. } if self.style.shows_thinking => {
                let parts = LineParts { thinking: text.to_string(), ..LineParts::default() };
                return vec![self.line(parts, elapsed)];
            }
            TaskEvent::Call(part) => {
                let finished = self.add_call(event.answer, part);
                return finished.map(|call| self.call_line(call, elapsed)).into_iter().collect();
            }
            TaskEvent::End(end) => {
                self.is_over = true;
                let call = self.call.take().map(|call| self.call_line(call, elapsed));
                let times = AnswerTimes { started_after: self.started_after, ended_after: elapsed };
                let end = Some(times.end(end, &self.style, &self.text));
                let last = OllamaAnswer { done: true, end, ..self.line(LineParts::default(), elapsed) };
                return call.into_iter().chain([last]).collect();
            }
            TaskEvent::Queued { .. }
            | TaskEvent::Prefilling(_)
            | TaskEvent::Token { .. }
            | TaskEvent::Reasoning { .. }
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_)
            | TaskEvent::Error(_)
            | TaskEvent::Cancelled => {}
        }
        Vec::new()
    }
}

impl Encoder for OllamaEncoder {
    const MEDIA_TYPE: &'static str = "application/x-ndjson";

    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame> {
        if self.is_over {
            return Vec::new();
        }
        let problem = match event.event {
            TaskEvent::Error(problem) => problem.clone(),
            TaskEvent::Cancelled => cancelled_problem(),
            _ => return self.lines(event).iter().map(Frame::line).collect(),
        };
        self.is_over = true;
        vec![Frame::line(&error::body(&problem))]
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use lar_base::{Code, Problem};
    use lar_inference::ChatMessage;
    use serde_json::{Value, json};

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

    fn style(path: OllamaPath) -> OllamaStyle {
        let context = (path == OllamaPath::Generate).then(|| vec![ChatMessage::new("user", "?")]);
        OllamaStyle { path, model: "m+memory".into(), shows_thinking: true, context }
    }

    /// The events of an answer with reasoning, text and two tool calls.
    fn events() -> Vec<TaskEvent> {
        let call = |index: usize, name: Option<&str>, arguments: &str| {
            let (name, arguments) = (name.map(ToOwned::to_owned), arguments.to_owned());
            TaskEvent::Call(CallPart { index, name, arguments })
        };
        let end = TaskSummary {
            reason: FinishReason::ToolCalls,
            tokens_in: 7,
            tokens_cached: 2,
            tokens_out: 9,
            queue_ms: 0,
            ttft_ms: 1,
            decode_ms: 2,
        };
        vec![
            TaskEvent::Started { pool: "m".into(), engine: "e".into(), model_digest: String::new() },
            TaskEvent::Reasoning { text: "hm".into(), index: 1 },
            TaskEvent::Token { text: "a".into(), index: 2, logprobs: Vec::new().into() },
            TaskEvent::Token { text: "b".into(), index: 3, logprobs: Vec::new().into() },
            call(0, Some("get"), "{\"x\":"),
            call(0, None, "1}"),
            call(1, Some("put"), "{"),
            TaskEvent::End(end),
        ]
    }

    /// Calls `each` with the events of [`events`]; one arrives every second.
    fn for_each(mut each: impl FnMut(&AnswerEvent<'_>)) {
        for (second, event) in (1..).zip(&events()) {
            each(&AnswerEvent { elapsed: Duration::from_secs(second), ..AnswerEvent::of(event) });
        }
    }

    fn parsed(frame: &Frame) -> Value {
        let Frame::Line(line) = frame else { panic!("{frame:?}") };
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn a_stream_and_a_single_object_have_the_same_contents() {
        for path in [OllamaPath::Chat, OllamaPath::Generate] {
            let mut answers = vec![Answer::default()];
            for_each(|event| Answer::add(&mut answers, head().task, event).unwrap());
            let whole = serde_json::to_value(whole(&head(), answers, &style(path))).unwrap();
            let mut encoder = OllamaEncoder::new(head(), style(path));
            let mut lines = Vec::new();
            for_each(|event| lines.extend(encoder.push(event).iter().map(parsed)));
            assert!(encoder.is_over());
            let last = lines.last().unwrap();
            for name in ["model", "done", "done_reason", "total_duration", "load_duration", "context"] {
                assert_eq!(last[name], whole[name], "{name}");
            }
            assert_eq!((&whole["model"], &whole["done"]), (&json!("m+memory"), &json!(true)));
            let times = (&whole["total_duration"], &whole["load_duration"]);
            assert_eq!(times, (&json!(8_000_000_000_u64), &json!(1_000_000_000_u64)));
            assert_eq!(lines[0]["created_at"], "1970-01-01T00:00:02.000Z");
            assert_eq!(whole["created_at"], "1970-01-01T00:00:01.000Z");
            let joined = |name: &str| {
                let texts = lines.iter().map(|line| match path {
                    OllamaPath::Chat => line["message"][name].as_str(),
                    OllamaPath::Generate => line[name].as_str(),
                });
                texts.flatten().collect::<String>()
            };
            // The second call was cut off, so it is text.
            let content = "abput {";
            match path {
                OllamaPath::Chat => {
                    let message = &whole["message"];
                    assert_eq!((joined("content").as_str(), joined("thinking").as_str()), (content, "hm"));
                    assert_eq!((&message["content"], &message["thinking"]), (&json!(content), &json!("hm")));
                    let calls = lines.iter().filter_map(|line| line["message"]["tool_calls"].as_array());
                    let calls: Vec<Value> = calls.flatten().cloned().collect();
                    assert_eq!(message["tool_calls"], Value::from(calls.clone()));
                    let function = json!({ "index": 0, "name": "get", "arguments": { "x": 1 } });
                    assert_eq!((&calls[0]["function"], calls.len()), (&function, 1));
                }
                OllamaPath::Generate => {
                    assert_eq!((joined("response").as_str(), joined("thinking").as_str()), (content, "hm"));
                    assert_eq!((&whole["response"], &whole["thinking"]), (&json!(content), &json!("hm")));
                    let context: Vec<u32> = serde_json::from_value(whole["context"].clone()).unwrap();
                    assert_eq!(context, context::encode(&[ChatMessage::new("user", "?")], "ab"));
                }
            }
        }
    }

    #[test]
    fn a_failed_stream_ends_with_the_error() {
        let mut encoder = OllamaEncoder::new(head(), style(OllamaPath::Chat));
        let failed = TaskEvent::Error(Problem::new(Code::EngineFailed, "it broke"));
        let lines: Vec<Value> = encoder.push(&AnswerEvent::of(&failed)).iter().map(parsed).collect();
        assert_eq!(lines, [json!({ "error": "it broke" })]);
        assert!(encoder.is_over() && encoder.push(&AnswerEvent::of(&failed)).is_empty());
    }
}
