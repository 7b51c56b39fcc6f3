//! Encodes answers as a chat completion: one body, or the chunks of a stream.

use lar_base::Problem;
use lar_inference::{
    CallPart, PrefillProgress, TaskEvent, TaskSummary, TokenLogprobs, ToolCall, cancelled_problem,
};

use super::decode::ChatStyle;
use crate::call_id::call_id;
use crate::openai::error;
use crate::openai::wire::{
    AnswerMessage, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatDelta, ChatLogprobs,
    CompletionUsage, FunctionDelta, MessageToolCall, Timings, TokenLogprob, ToolCallDelta,
};
use crate::token_usage::{
    prompt_progress, timings, timings_of, timings_of_prefill, top_logprob, usage, usage_of,
};
use crate::{Answer, AnswerEvent, Encoder, Frame, Head};

/// Returns the response to a request that is not streamed.
#[must_use]
pub fn whole(head: &Head, answers: Vec<Answer>, style: &ChatStyle) -> ChatCompletion {
    let (usage, timings) = (usage_of(&answers, answers.len()), timings_of(&answers));
    let choices = answers.into_iter().enumerate();
    ChatCompletion {
        id: id(head),
        object: "chat.completion",
        created: head.created(),
        model: head.model.clone(),
        choices: choices.map(|(index, answer)| choice(index, answer, style)).collect(),
        usage,
        system_fingerprint: head.fingerprint.clone(),
        timings,
    }
}

fn id(head: &Head) -> String {
    format!("chatcmpl-{}", head.task)
}

fn choice(index: usize, answer: Answer, style: &ChatStyle) -> ChatChoice {
    let shape = &style.shape;
    let finish_reason = shape.finish_reason(answer.finish_reason());
    let silent = answer.content.is_empty() && !answer.calls.is_empty();
    let mut calls: Vec<MessageToolCall> = answer.calls.into_iter().map(|call| shape.call(call)).collect();
    let function_call = calls.pop_if(|_| shape.legacy).and_then(|call| call.function);
    ChatChoice {
        index,
        logprobs: style.logprobs.then(|| logprobs_to_wire(&answer.logprobs)),
        message: AnswerMessage {
            role: "assistant",
            content: (!silent).then_some(answer.content),
            reasoning_content: (!answer.reasoning.is_empty()).then_some(answer.reasoning),
            refusal: None,
            tool_calls: calls,
            function_call,
        },
        finish_reason,
    }
}

fn logprobs_to_wire(logprobs: &[TokenLogprobs]) -> ChatLogprobs {
    let token = |token: &TokenLogprobs| TokenLogprob {
        chosen: top_logprob(&token.chosen),
        top_logprobs: token.top.iter().map(top_logprob).collect(),
    };
    ChatLogprobs { content: logprobs.iter().map(token).collect(), refusal: None }
}

/// An encoder of the stream of a chat completion.
#[derive(Debug)]
pub struct ChatEncoder {
    head: Head,
    id: String,
    style: ChatStyle,
    /// The summary of each finished answer.
    ends: Vec<Option<TaskSummary>>,
    /// The unfinished call of a custom tool in each answer. Its input is sent when the call is complete.
    custom: Vec<Option<CallPart>>,
    over: bool,
}

impl ChatEncoder {
    /// Creates an encoder.
    #[must_use]
    pub fn new(head: Head, style: ChatStyle) -> Self {
        let (ends, custom) = (vec![None; head.answers()], vec![None; head.answers()]);
        Self { id: id(&head), head, style, ends, custom, over: false }
    }

    /// Encodes the progress of the prefill in a chunk with an empty delta.
    fn prefilling(&self, index: usize, progress: &PrefillProgress) -> Frame {
        let choice =
            ChatChunkChoice { index, delta: ChatDelta::default(), logprobs: None, finish_reason: None };
        let timings = self.style.timings_per_token.then(|| timings_of_prefill(progress)).flatten();
        let prompt_progress = Some(prompt_progress(progress));
        Frame::data(&ChatChunk { prompt_progress, ..self.envelope(vec![choice], None, timings) })
    }

    fn call(&mut self, event: &AnswerEvent<'_>, call: &CallPart) -> Option<Frame> {
        if let Some(earlier) = &mut self.custom[event.answer] {
            earlier.arguments.push_str(&call.arguments);
            return None;
        }
        if call.name.as_deref().is_some_and(|name| self.style.shape.is_custom(name)) {
            self.custom[event.answer] = Some(call.clone());
            return None;
        }
        let first = call.name.is_some();
        let function = Some(FunctionDelta { name: call.name.as_deref(), arguments: &call.arguments });
        if self.style.shape.legacy {
            return Some(self.chunk(event, ChatDelta { function_call: function, ..ChatDelta::default() }));
        }
        let id = first.then(|| call_id(self.head.task, event.answer, call.index));
        let kind = first.then_some("function");
        let delta = ToolCallDelta { index: call.index, id, kind, function, custom: None };
        Some(self.chunk(event, ChatDelta { tool_calls: Some([delta]), ..ChatDelta::default() }))
    }

    /// Encodes a complete call of a custom tool.
    fn custom_call(&self, event: &AnswerEvent<'_>, call: CallPart) -> Frame {
        let CallPart { index, name, arguments } = call;
        let id = call_id(self.head.task, event.answer, index);
        let complete = ToolCall { id, name: name.unwrap_or_default(), arguments };
        let MessageToolCall { id, kind, custom, .. } = self.style.shape.call(complete);
        let delta = ToolCallDelta { index, id: Some(id), kind: Some(kind), function: None, custom };
        self.chunk(event, ChatDelta { tool_calls: Some([delta]), ..ChatDelta::default() })
    }

    /// Encodes the last chunk of an answer. After the last answer, usage and the end of the stream follow.
    fn end(&mut self, event: &AnswerEvent<'_>, end: &TaskSummary) -> Vec<Frame> {
        let last = ChatChunkChoice {
            index: event.answer,
            delta: ChatDelta::default(),
            logprobs: None,
            finish_reason: Some(self.style.shape.finish_reason(end.reason.as_str())),
        };
        self.ends[event.answer] = Some(end.clone());
        if self.ends.iter().any(Option::is_none) {
            return vec![self.choice(event, last)];
        }
        self.over = true;
        let timings = timings(self.ends.iter().flatten());
        if self.style.include_usage {
            let usage = usage(self.ends.iter().flatten(), self.ends.len());
            let with_usage = Frame::data(&self.envelope(Vec::new(), Some(usage), timings));
            vec![self.choice(event, last), with_usage, Frame::Done]
        } else {
            vec![Frame::data(&self.envelope(vec![last], None, timings)), Frame::Done]
        }
    }

    fn fail(&mut self, problem: &Problem) -> Vec<Frame> {
        self.over = true;
        vec![Frame::data(&error::body(problem)), Frame::Done]
    }

    fn chunk(&self, event: &AnswerEvent<'_>, delta: ChatDelta<'_>) -> Frame {
        let index = event.answer;
        self.choice(event, ChatChunkChoice { index, delta, logprobs: None, finish_reason: None })
    }

    fn choice(&self, event: &AnswerEvent<'_>, choice: ChatChunkChoice<'_>) -> Frame {
        // As in llama.cpp, the chunk with the role has no timings, because no token is generated yet.
        let has_timings = self.style.timings_per_token && choice.delta.role.is_none();
        let timings = has_timings.then(|| timings((event.so_far)().as_ref())).flatten();
        Frame::data(&self.envelope(vec![choice], None, timings))
    }

    fn envelope<'a>(
        &'a self,
        choices: Vec<ChatChunkChoice<'a>>,
        usage: Option<CompletionUsage>,
        timings: Option<Timings>,
    ) -> ChatChunk<'a> {
        ChatChunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.head.created(),
            model: &self.head.model,
            system_fingerprint: &self.head.fingerprint,
            choices,
            usage,
            timings,
            prompt_progress: None,
        }
    }
}

impl Encoder for ChatEncoder {
    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame> {
        if self.over {
            return Vec::new();
        }
        let answer = event.answer;
        // A call is complete when another event follows, unless the task failed within the call.
        let continues = |call: &CallPart| match event.event {
            TaskEvent::Call(part) => part.index == call.index,
            TaskEvent::Error(_) | TaskEvent::Cancelled => true,
            _ => false,
        };
        let complete = self.custom[answer].take_if(|call| !continues(call));
        let mut frames: Vec<Frame> = complete.map(|call| self.custom_call(event, call)).into_iter().collect();
        match event.event {
            TaskEvent::Queued { position, predicted_start_ms, .. } => {
                frames.push(Frame::queued(*position, *predicted_start_ms));
            }
            TaskEvent::Started { .. } => {
                let role = Some("assistant");
                frames.push(self.chunk(event, ChatDelta { role, content: Some(""), ..ChatDelta::default() }));
            }
            TaskEvent::Prefilling(progress) => frames.push(self.prefilling(answer, progress)),
            TaskEvent::Token { text, logprobs, .. } if !text.is_empty() || !logprobs.is_empty() => {
                let delta = ChatDelta { content: Some(text), ..ChatDelta::default() };
                let logprobs = (!logprobs.is_empty()).then(|| logprobs_to_wire(logprobs));
                let choice = ChatChunkChoice { index: answer, delta, logprobs, finish_reason: None };
                frames.push(self.choice(event, choice));
            }
            TaskEvent::Reasoning { text, .. } => {
                let delta = ChatDelta { reasoning_content: Some(text), ..ChatDelta::default() };
                frames.push(self.chunk(event, delta));
            }
            TaskEvent::Call(call) => frames.extend(self.call(event, call)),
            TaskEvent::End(end) => frames.extend(self.end(event, end)),
            TaskEvent::Error(problem) => frames.extend(self.fail(problem)),
            TaskEvent::Cancelled => frames.extend(self.fail(&cancelled_problem())),
            TaskEvent::Token { .. } | TaskEvent::Vectors(_) | TaskEvent::Scores(_) => {}
        }
        frames
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
