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
    CompletionUsage, FunctionDelta, MessageToolCall, Timings, ToolCallDelta,
};
use crate::token_usage::{
    prompt_progress, timings, timings_of, timings_of_prefill, token_logprob, usage, usage_of,
};
use crate::{Answer, AnswerEvent, Encoder, Frame, Head};

/// Returns the response to a request that is not streamed.
pub(super) fn whole(head: &Head, answers: Vec<Answer>, style: &ChatStyle) -> ChatCompletion {
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
    let has_only_calls = answer.content.is_empty() && !answer.calls.is_empty();
    let mut calls: Vec<MessageToolCall> = answer.calls.into_iter().map(|call| shape.call(call)).collect();
    let function_call = calls.pop_if(|_| shape.legacy).and_then(|call| call.function);
    ChatChoice {
        index,
        logprobs: style.logprobs.then(|| logprobs_to_wire(&answer.logprobs)),
        message: AnswerMessage {
            role: "assistant",
            content: (!has_only_calls).then_some(answer.content),
            reasoning_content: (!answer.reasoning.is_empty()).then_some(answer.reasoning),
            refusal: None,
            tool_calls: calls,
            function_call,
        },
        finish_reason,
    }
}

fn logprobs_to_wire(logprobs: &[TokenLogprobs]) -> ChatLogprobs {
    ChatLogprobs { content: logprobs.iter().map(token_logprob).collect(), refusal: None }
}

/// The encoder of a streamed chat completion.
///
/// A call of a custom tool is sent when it is complete, because the model writes its input inside JSON arguments.
/// If the task fails or is cancelled within such a call, the call is not sent.
#[derive(Debug)]
pub struct ChatEncoder {
    head: Head,
    id: String,
    style: ChatStyle,
    /// The state of each answer.
    answers: Vec<ChatAnswerState>,
    is_over: bool,
}

/// The state of an answer in a stream.
#[derive(Debug, Clone, Default)]
struct ChatAnswerState {
    /// The summary of the answer, once it has ended.
    end: Option<TaskSummary>,
    /// The unfinished call of a custom tool.
    custom_call: Option<CallPart>,
}

impl ChatAnswerState {
    /// Takes the call of a custom tool if it is complete.
    ///
    /// It is complete when another event follows, unless the task failed within the call.
    fn take_complete_call(&mut self, next: &TaskEvent) -> Option<CallPart> {
        self.custom_call.take_if(|call| match next {
            TaskEvent::Call(part) => part.index != call.index,
            TaskEvent::Error(_) | TaskEvent::Cancelled => false,
            _ => true,
        })
    }
}

impl ChatEncoder {
    pub(super) fn new(head: Head, style: ChatStyle) -> Self {
        let answers = vec![ChatAnswerState::default(); head.answers()];
        Self { id: id(&head), head, style, answers, is_over: false }
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
        let answer = self.answers.get_mut(event.answer)?;
        if let Some(earlier) = &mut answer.custom_call {
            earlier.arguments.push_str(&call.arguments);
            return None;
        }
        if call.name.as_deref().is_some_and(|name| self.style.shape.is_custom(name)) {
            answer.custom_call = Some(call.clone());
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
        if let Some(answer) = self.answers.get_mut(event.answer) {
            answer.end = Some(end.clone());
        }
        let ends: Option<Vec<&TaskSummary>> = self.answers.iter().map(|answer| answer.end.as_ref()).collect();
        let Some(ends) = ends else { return vec![self.choice(event, last)] };
        let timings = timings(ends.iter().copied());
        let usage = self.style.include_usage.then(|| usage(ends.iter().copied(), ends.len()));
        self.is_over = true;
        if let Some(usage) = usage {
            let with_usage = Frame::data(&self.envelope(Vec::new(), Some(usage), timings));
            vec![self.choice(event, last), with_usage, Frame::Done]
        } else {
            vec![Frame::data(&self.envelope(vec![last], None, timings)), Frame::Done]
        }
    }

    fn fail(&mut self, problem: &Problem) -> Vec<Frame> {
        self.is_over = true;
        vec![Frame::data(&error::body(problem)), Frame::Done]
    }

    fn chunk(&self, event: &AnswerEvent<'_>, delta: ChatDelta<'_>) -> Frame {
        let index = event.answer;
        self.choice(event, ChatChunkChoice { index, delta, logprobs: None, finish_reason: None })
    }

    fn choice(&self, event: &AnswerEvent<'_>, choice: ChatChunkChoice<'_>) -> Frame {
        // As in llama.cpp, the chunk with the role has no timings, because no token is generated yet.
        let has_timings = self.style.timings_per_token && choice.delta.role.is_none();
        let timings = has_timings.then(|| timings(event.so_far.as_ref())).flatten();
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
    fn needs_timings(&self) -> bool {
        self.style.timings_per_token
    }

    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame> {
        if self.is_over {
            return Vec::new();
        }
        let Some(answer) = self.answers.get_mut(event.answer) else { return Vec::new() };
        let complete = answer.take_complete_call(event.event);
        let mut frames: Vec<Frame> = complete.map(|call| self.custom_call(event, call)).into_iter().collect();
        match event.event {
            TaskEvent::Queued { position, predicted_start_ms, .. } => {
                frames.push(Frame::queued(*position, *predicted_start_ms));
            }
            TaskEvent::Started { .. } => {
                let role = Some("assistant");
                frames.push(self.chunk(event, ChatDelta { role, content: Some(""), ..ChatDelta::default() }));
            }
            TaskEvent::Prefilling(progress) => frames.push(self.prefilling(event.answer, progress)),
            TaskEvent::Token { text, logprobs, .. } if !text.is_empty() || !logprobs.is_empty() => {
                let delta = ChatDelta { content: Some(text), ..ChatDelta::default() };
                let logprobs = (!logprobs.is_empty()).then(|| logprobs_to_wire(logprobs));
                let choice = ChatChunkChoice { index: event.answer, delta, logprobs, finish_reason: None };
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
        self.is_over
    }
}
