//! The stream of a chat completion: what each event of its answers adds.

use lar_api::openai::{
    ChatChunk, ChatChunkChoice, Delta, FunctionDelta, MessageToolCall, Timings, ToolCallDelta, Usage,
};
use lar_base::Problem;
use lar_engines::chat_format::CallPart;
use lar_engines::driver;
use lar_gateway::{End, PrefillProgress, TaskEvent, cancelled_problem};

use super::{Style, logprobs_to_wire};
use crate::generate::{self, AnswerStream};
use crate::openai::sampling;
use crate::{errors, sse};

/// A stream that is under way.
pub(super) struct ChatStream {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) system_fingerprint: String,
    pub(super) include_usage: bool,
    pub(super) answer_stream: AnswerStream,
    /// Of the answers that are whole.
    pub(super) ends: Vec<Option<End>>,
    pub(super) style: Style,
    /// Each answer's call of a custom tool that is being written: its input is told whole.
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
    /// What one event adds to the stream; nothing for some.
    fn part(&mut self, answer: usize, event: TaskEvent) -> String {
        let same = |call: &CallPart| matches!(&event, TaskEvent::Call(part) if part.index == call.index);
        let whole = self.custom[answer].take_if(|call| !same(call));
        let mut part = whole.map_or_else(String::new, |call| self.custom_call(answer, call));
        part.push_str(&self.event(answer, event));
        part
    }

    fn event(&mut self, answer: usize, event: TaskEvent) -> String {
        match event {
            // Clients and proxies learn that it is alive; a comment is no event to them.
            TaskEvent::Queued { position, predicted_start_ms, .. } => {
                format!(": queued, position {position}, starts in about {predicted_start_ms} ms\n\n")
            }
            TaskEvent::Started { .. } => {
                self.chunk(answer, Delta { role: Some("assistant"), content: Some(""), ..Delta::default() })
            }
            TaskEvent::Prefilling(progress) => self.prefilling(answer, &progress),
            TaskEvent::Token { text, logprobs, .. } if text.is_empty() && logprobs.is_empty() => {
                String::new()
            }
            TaskEvent::Token { text, logprobs, .. } => {
                let delta = Delta { content: Some(&text), ..Delta::default() };
                let logprobs = (!logprobs.is_empty()).then(|| logprobs_to_wire(&logprobs));
                self.choice(ChatChunkChoice { index: answer, delta, logprobs, finish_reason: None })
            }
            TaskEvent::Reasoning { text, .. } => {
                self.chunk(answer, Delta { reasoning_content: Some(&text), ..Delta::default() })
            }
            TaskEvent::Call(call) => self.call(answer, call),
            TaskEvent::Vectors(_) | TaskEvent::Scores(_) => String::new(),
            TaskEvent::End(end) => self.end(answer, end),
            TaskEvent::Error(problem) => self.fail(&problem),
            TaskEvent::Cancelled => self.fail(&cancelled_problem()),
        }
    }

    /// How much of the prompt was read, in a chunk that adds nothing.
    fn prefilling(&self, index: usize, progress: &PrefillProgress) -> String {
        let choice = ChatChunkChoice { index, delta: Delta::default(), logprobs: None, finish_reason: None };
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
            return self.chunk(answer, Delta { function_call: function, ..Delta::default() });
        }
        let (id, kind) = (first.then(generate::call_id), first.then_some("function"));
        let delta = ToolCallDelta { index: call.index, id, kind, function, custom: None };
        self.chunk(answer, Delta { tool_calls: Some([delta]), ..Delta::default() })
    }

    /// The call of a custom tool, whole.
    fn custom_call(&self, answer: usize, call: CallPart) -> String {
        let CallPart { index, name, arguments } = call;
        let whole = driver::ToolCall { id: generate::call_id(), name: name.unwrap_or_default(), arguments };
        let MessageToolCall { id, kind, custom, .. } = self.style.shape.call(whole);
        let delta = ToolCallDelta { index, id: Some(id), kind: Some(kind), function: None, custom };
        self.chunk(answer, Delta { tool_calls: Some([delta]), ..Delta::default() })
    }

    fn end(&mut self, answer: usize, end: End) -> String {
        let last = ChatChunkChoice {
            index: answer,
            delta: Delta::default(),
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
        let body = serde_json::to_string(&errors::openai(problem)).unwrap_or_default();
        sse::event(None, None, &body) + sse::DONE
    }

    fn chunk(&self, answer: usize, delta: Delta<'_>) -> String {
        self.choice(ChatChunkChoice { index: answer, delta, logprobs: None, finish_reason: None })
    }

    fn choice(&self, choice: ChatChunkChoice<'_>) -> String {
        // As with llama.cpp, the chunk that tells the role comes before there is anything to tell of.
        let has_timings = self.style.timings_per_token && choice.delta.role.is_none();
        let timings =
            has_timings.then(|| sampling::timings_so_far(&self.answer_stream, choice.index)).flatten();
        self.encode(vec![choice], None, timings)
    }

    fn encode(
        &self,
        choices: Vec<ChatChunkChoice<'_>>,
        usage: Option<Usage>,
        timings: Option<Timings>,
    ) -> String {
        encode(&self.frame(choices, usage, timings))
    }

    fn frame<'a>(
        &'a self,
        choices: Vec<ChatChunkChoice<'a>>,
        usage: Option<Usage>,
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
    sse::event(None, None, &serde_json::to_string(chunk).unwrap_or_default())
}
