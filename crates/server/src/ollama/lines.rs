//! Responses of chat and generate, as JSON lines or as a single object.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use lar_api::ollama::{
    Answer, End, Logprob, OllamaCalledFunction, OllamaErrorBody, OllamaMessage, OllamaToolCall,
};
use lar_base::{Instant, Problem, Timestamp};
use lar_inference::{CallPart, ChatMessage, FinishReason, TaskEvent, TokenLogprobs, cancelled_problem};
use serde_json::json;

use crate::compat_caller::with_lar_headers;
use crate::errors::{Audience, redact};
use crate::generate::{self, AnswerStream};
use crate::json::to_json;
use crate::openai::sampling::top_logprob;
use crate::tool_call_check::ToolSchemas;

use super::generate::encode_context;

/// The form of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerForm {
    Chat,
    Generate,
}

impl AnswerForm {
    /// Returns the name of the API in usage records.
    pub(super) const fn api(self) -> &'static str {
        match self {
            AnswerForm::Chat => "ollama.chat",
            AnswerForm::Generate => "ollama.generate",
        }
    }
}

/// The lines of an answer.
pub(super) struct AnswerLines {
    form: AnswerForm,
    /// The model's name in the request.
    model: String,
    answer_stream: AnswerStream,
    thinking: bool,
    /// The conversation with the answer so far, for the `context` of a generate response.
    context: Option<Vec<ChatMessage>>,
    received_at: Instant,
    /// The nanoseconds from the request to the start of the task.
    load_ns: u64,
    /// The index of the unfinished tool call, and an answer with this call only.
    call: Option<(usize, generate::Answer)>,
    parts: VecDeque<Answer>,
    failed: Option<Problem>,
    over: bool,
}

impl AnswerLines {
    pub(super) fn new(
        form: AnswerForm,
        model: String,
        answer_stream: AnswerStream,
        thinking: bool,
        mut context: Option<Vec<ChatMessage>>,
        received_at: Instant,
    ) -> Self {
        if let Some(messages) = &mut context {
            messages.push(ChatMessage::new("assistant", String::new()));
        }
        let (call, parts) = (None, VecDeque::new());
        Self {
            form,
            model,
            answer_stream,
            thinking,
            context,
            received_at,
            load_ns: 0,
            call,
            parts,
            failed: None,
            over: false,
        }
    }

    /// Returns the response, as a stream of lines or as a single object.
    ///
    /// The tool calls of a single object are checked against `schemas`.
    pub(super) async fn respond(mut self, stream: bool, schemas: &ToolSchemas) -> Result<Response, Problem> {
        let (memory_activity, mut ignored) =
            (self.answer_stream.memory_activity.clone(), self.answer_stream.ignored.clone());
        if stream {
            let lines = stream::unfold(self, |mut lines| async move {
                let line = lines.line().await?;
                Some((Ok::<_, Infallible>(Bytes::from(line)), lines))
            });
            return Ok(with_lar_headers(stream_response(lines), &ignored, memory_activity.as_ref()));
        }
        let mut whole = self.part("", "", Vec::new());
        while let Some(part) = self.next().await {
            if let (Some(whole), Some(part)) = (&mut whole.message, part.message) {
                whole.content.push_str(&part.content);
                whole.thinking.push_str(&part.thinking);
                whole.tool_calls.extend(part.tool_calls);
            }
            whole
                .response
                .iter_mut()
                .for_each(|whole| whole.push_str(part.response.as_deref().unwrap_or_default()));
            if let Some(thinking) = part.thinking {
                whole.thinking.get_or_insert_default().push_str(&thinking);
            }
            whole.logprobs.extend(part.logprobs);
            (whole.done, whole.end) = (part.done, part.end.or(whole.end));
        }
        let calls = whole.message.iter().flat_map(|message| &message.tool_calls);
        let calls: Vec<(&str, String)> =
            calls.map(|call| (call.function.name.as_str(), call.function.arguments.to_string())).collect();
        ignored.extend(schemas.violations(calls.iter().map(|(name, arguments)| (*name, arguments.as_str()))));
        match self.failed {
            Some(problem) => Err(problem),
            None => {
                Ok(with_lar_headers(axum::Json(whole).into_response(), &ignored, memory_activity.as_ref()))
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        let line = match self.next().await {
            Some(part) => to_json(&part),
            None => {
                let shown = redact(Audience::Everybody, self.failed.take()?);
                to_json(&OllamaErrorBody { error: shown.detail })
            }
        };
        Some(line + "\n")
    }

    async fn next(&mut self) -> Option<Answer> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Some(part);
            }
            if self.over {
                return None;
            }
            let (_, event) = self.answer_stream.next_unredacted().await?;
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Started { .. } => self.load_ns = nanos(self.received_at),
            TaskEvent::Token { text, logprobs, .. } if !text.is_empty() || !logprobs.is_empty() => {
                if let Some(answer) = self.context.as_mut().and_then(|messages| messages.last_mut()) {
                    answer.content.push_str(&text);
                }
                let mut part = self.part(&text, "", Vec::new());
                part.logprobs = logprobs.iter().map(logprob).collect();
                self.parts.push_back(part);
            }
            TaskEvent::Reasoning { text, .. } if self.thinking => {
                let part = self.part("", &text, Vec::new());
                self.parts.push_back(part);
            }
            TaskEvent::Call(part) => self.add_call(part),
            TaskEvent::End(end) => {
                self.finish_call();
                let done_reason = if end.reason == FinishReason::Length { "length" } else { "stop" };
                let mut last = self.part("", "", Vec::new());
                last.done = true;
                last.end = Some(End {
                    done_reason,
                    total_duration: nanos(self.received_at),
                    load_duration: self.load_ns,
                    prompt_eval_count: end.tokens_in,
                    prompt_eval_duration: end.ttft_ms.saturating_mul(1_000_000),
                    eval_count: end.tokens_out,
                    eval_duration: end.decode_ms.saturating_mul(1_000_000),
                    context: self.context.take().map(|messages| encode_context(&messages)),
                });
                self.parts.push_back(last);
                self.over = true;
            }
            TaskEvent::Error(problem) => (self.failed, self.over) = (Some(problem), true),
            TaskEvent::Cancelled => (self.failed, self.over) = (Some(cancelled_problem()), true),
            TaskEvent::Queued { .. }
            | TaskEvent::Prefilling(_)
            | TaskEvent::Token { .. }
            | TaskEvent::Reasoning { .. }
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => {}
        }
    }

    /// Adds a part of a tool call. A call is sent when it is complete, because its arguments are an object.
    fn add_call(&mut self, mut part: CallPart) {
        if self.call.as_ref().is_some_and(|(index, _)| *index != part.index) {
            self.finish_call();
        }
        let (_, answer) = self.call.get_or_insert_with(|| (part.index, generate::Answer::default()));
        part.index = 0;
        answer.call(part);
    }

    fn finish_call(&mut self) {
        let Some((_, answer)) = self.call.take() else { return };
        let calls = answer.calls.into_iter().map(|call| {
            let arguments = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
            OllamaToolCall {
                id: Some(call.id),
                function: OllamaCalledFunction { name: call.name, arguments },
            }
        });
        let part = self.part("", "", calls.collect());
        self.parts.push_back(part);
    }

    fn part(&self, content: &str, thinking: &str, tool_calls: Vec<OllamaToolCall>) -> Answer {
        let base = Answer {
            model: self.model.clone(),
            created_at: Timestamp::now().to_string(),
            ..Answer::default()
        };
        let (content, thinking) = (content.to_owned(), thinking.to_owned());
        match self.form {
            AnswerForm::Chat => {
                let role = "assistant".into();
                Answer {
                    message: Some(OllamaMessage {
                        role,
                        content,
                        thinking,
                        tool_calls,
                        ..OllamaMessage::default()
                    }),
                    ..base
                }
            }
            AnswerForm::Generate => Answer {
                response: Some(content),
                thinking: (!thinking.is_empty()).then_some(thinking),
                ..base
            },
        }
    }
}

fn logprob(token: &TokenLogprobs) -> Logprob {
    let top_logprobs = token.top.iter().map(top_logprob).collect();
    Logprob { chosen: top_logprob(&token.chosen), top_logprobs }
}

/// Returns the response to a request that only loads or unloads a model.
pub(super) fn load_answer(
    form: AnswerForm,
    model: String,
    done_reason: &'static str,
    stream: bool,
) -> Response {
    let message = OllamaMessage { role: "assistant".into(), ..OllamaMessage::default() };
    let answer = Answer {
        model,
        created_at: Timestamp::now().to_string(),
        message: (form == AnswerForm::Chat).then_some(message),
        response: (form == AnswerForm::Generate).then(String::new),
        done: true,
        end: Some(End { done_reason, ..End::default() }),
        ..Answer::default()
    };
    if !stream {
        return axum::Json(answer).into_response();
    }
    let line = to_json(&answer) + "\n";
    ([(header::CONTENT_TYPE, "application/x-ndjson")], line).into_response()
}

/// Returns a response that streams JSON lines.
pub(super) fn stream_response(
    lines: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    let mut response = Response::new(Body::from_stream(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
