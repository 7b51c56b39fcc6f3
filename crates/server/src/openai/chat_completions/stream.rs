//! The stream of a chat completion: encodes each event of its answers as a chunk.

use lar_api::openai::{
    ChatChunk, ChatChunkChoice, ChatDelta, CompletionUsage, FunctionDelta, MessageToolCall, Timings,
    ToolCallDelta,
};
use lar_base::Problem;

use lar_inference::{CallPart, PrefillProgress, TaskEvent, TaskSummary, cancelled_problem};

use super::{Style, logprobs_to_wire};
use crate::generate::{self, AnswerStream};
use crate::json::to_json;
use crate::openai::sampling;
use crate::{errors, sse};

/// The stream of a chat completion.
pub(super) struct ChatStream {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) system_fingerprint: String,
    pub(super) include_usage: bool,
    pub(super) answer_stream: AnswerStream,
    /// The summary of each finished answer.
    pub(super) ends: Vec<Option<TaskSummary>>,
    pub(super) style: Style,
    /// The unfinished call of a custom tool in each answer. Its input is sent when the call is complete.
    pub(super) custom: Vec<Option<CallPart>>,
    pub(super) over: bool,
}

impl sse::Source for ChatStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.over {
                return None;
            }
            let (answer, event) = self.answer_stream.next().await?;
            let part = self.part(answer, event);
            if !part.is_empty() {
                return Some(part);
            }
        }
    }
}

impl ChatStream {
    /// Encodes one event of an answer; some events add nothing.
    fn part(&mut self, answer: usize, event: TaskEvent) -> String {
        let same = |call: &CallPart| matches!(&event, TaskEvent::Call(part) if part.index == call.index);
        let whole = self.custom[answer].take_if(|call| !same(call));
        let mut part = whole.map_or_else(String::new, |call| self.custom_call(answer, call));
        part.push_str(&self.event(answer, event));
        part
    }

    fn event(&mut self, answer: usize, event: TaskEvent) -> String {
        match event {
            // A comment keeps the connection alive, and clients do not see it as an event.
            TaskEvent::Queued { position, predicted_start_ms, .. } => {
                format!(": queued, position {position}, starts in about {predicted_start_ms} ms\n\n")
            }
            TaskEvent::Started { .. } => self.chunk(
                answer,
                ChatDelta { role: Some("assistant"), content: Some(""), ..ChatDelta::default() },
            ),
            TaskEvent::Prefilling(progress) => self.prefilling(answer, &progress),
            TaskEvent::Token { text, logprobs, .. } if text.is_empty() && logprobs.is_empty() => {
                String::new()
            }
            TaskEvent::Token { text, logprobs, .. } => {
                let delta = ChatDelta { content: Some(&text), ..ChatDelta::default() };
                let logprobs = (!logprobs.is_empty()).then(|| logprobs_to_wire(&logprobs));
                self.choice(ChatChunkChoice { index: answer, delta, logprobs, finish_reason: None })
            }
            TaskEvent::Reasoning { text, .. } => {
                self.chunk(answer, ChatDelta { reasoning_content: Some(&text), ..ChatDelta::default() })
            }
            TaskEvent::Call(call) => self.call(answer, call),
            TaskEvent::Vectors(_) | TaskEvent::Scores(_) => String::new(),
            TaskEvent::End(end) => self.end(answer, end),
            TaskEvent::Error(problem) => self.fail(&problem),
            TaskEvent::Cancelled => self.fail(&cancelled_problem()),
        }
    }

    /// Encodes the progress of the prefill in a chunk with an empty delta.
    fn prefilling(&self, index: usize, progress: &PrefillProgress) -> String {
        let choice =
            ChatChunkChoice { index, delta: ChatDelta::default(), logprobs: None, finish_reason: None };
        let timings = self.style.timings_per_token.then(|| sampling::timings_of_prefill(progress)).flatten();
        let prompt_progress = Some(sampling::prompt_progress(progress));
        encode(&ChatChunk { prompt_progress, ..self.frame(vec![choice], None, timings) })
    }

    fn call(&mut self, answer: usize, call: CallPart) -> String {
        if let Some(earlier) = &mut self.custom[answer] {
            earlier.arguments.push_str(&call.arguments);
            return String::new();
        }
        if call.name.as_deref().is_some_and(|name| self.style.shape.is_custom(name)) {
            self.custom[answer] = Some(call);
            return String::new();
        }
        let first = call.name.is_some();
        let function = Some(FunctionDelta { name: call.name.as_deref(), arguments: &call.arguments });
        if self.style.shape.legacy {
            return self.chunk(answer, ChatDelta { function_call: function, ..ChatDelta::default() });
        }
        let (id, kind) = (first.then(generate::call_id), first.then_some("function"));
        let delta = ToolCallDelta { index: call.index, id, kind, function, custom: None };
        self.chunk(answer, ChatDelta { tool_calls: Some([delta]), ..ChatDelta::default() })
    }

    /// Encodes a complete call of a custom tool.
    fn custom_call(&self, answer: usize, call: CallPart) -> String {
        let CallPart { index, name, arguments } = call;
        let whole =
            lar_inference::ToolCall { id: generate::call_id(), name: name.unwrap_or_default(), arguments };
        let MessageToolCall { id, kind, custom, .. } = self.style.shape.call(whole);
        let delta = ToolCallDelta { index, id: Some(id), kind: Some(kind), function: None, custom };
        self.chunk(answer, ChatDelta { tool_calls: Some([delta]), ..ChatDelta::default() })
    }

    fn end(&mut self, answer: usize, end: TaskSummary) -> String {
        let last = ChatChunkChoice {
            index: answer,
            delta: ChatDelta::default(),
            logprobs: None,
            finish_reason: Some(self.style.shape.finish_reason(end.reason.as_str())),
        };
        self.ends[answer] = Some(end);
        if self.ends.iter().any(Option::is_none) {
            return self.choice(last);
        }
        self.over = true;
        let timings = sampling::timings(self.ends.iter().flatten());
        let mut part = if self.include_usage {
            let usage = sampling::usage(self.ends.iter().flatten(), self.ends.len());
            self.choice(last) + &self.encode(Vec::new(), Some(usage), timings)
        } else {
            self.encode(vec![last], None, timings)
        };
        part.push_str(sse::DONE);
        part
    }

    fn fail(&mut self, problem: &Problem) -> String {
        self.over = true;
        let body = to_json(&errors::openai(problem));
        sse::event(None, None, &body) + sse::DONE
    }

    fn chunk(&self, answer: usize, delta: ChatDelta<'_>) -> String {
        self.choice(ChatChunkChoice { index: answer, delta, logprobs: None, finish_reason: None })
    }

    fn choice(&self, choice: ChatChunkChoice<'_>) -> String {
        // As in llama.cpp, the chunk with the role has no timings, because no token is generated yet.
        let has_timings = self.style.timings_per_token && choice.delta.role.is_none();
        let timings =
            has_timings.then(|| sampling::timings_so_far(&self.answer_stream, choice.index)).flatten();
        self.encode(vec![choice], None, timings)
    }

    fn encode(
        &self,
        choices: Vec<ChatChunkChoice<'_>>,
        usage: Option<CompletionUsage>,
        timings: Option<Timings>,
    ) -> String {
        encode(&self.frame(choices, usage, timings))
    }

    fn frame<'a>(
        &'a self,
        choices: Vec<ChatChunkChoice<'a>>,
        usage: Option<CompletionUsage>,
        timings: Option<Timings>,
    ) -> ChatChunk<'a> {
        ChatChunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            system_fingerprint: &self.system_fingerprint,
            choices,
            usage,
            timings,
            prompt_progress: None,
        }
    }
}

fn encode(chunk: &ChatChunk<'_>) -> String {
    sse::event(None, None, &to_json(chunk))
}
