//! A complete answer, collected from the events of its task.

use std::time::Duration;

use lar_base::{Problem, TaskId};
use lar_inference::{
    CallPart, TaskEvent, TaskSummary, TokenLogprobs, ToolCall, cancelled_problem, stopped_problem,
};
use serde_json::{Value, json};

use crate::AnswerEvent;
use crate::call_id::call_id;

/// A complete answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The text.
    pub content: String,
    /// The reasoning before it.
    pub reasoning: String,
    /// The tool calls.
    pub calls: Vec<ToolCall>,
    /// The logprobs of the tokens, if they were requested.
    pub logprobs: Vec<TokenLogprobs>,
    /// The token counts and times of the task; `None` until it has ended.
    pub end: Option<TaskSummary>,
    /// Whether a line limit ended the answer.
    pub is_cut: bool,
    /// The time from the arrival of the request until an engine started the task; zero until then.
    pub started_after: Duration,
    /// The time from the arrival of the request to the end of the task; zero until then.
    pub ended_after: Duration,
}

impl Answer {
    /// Collects the answers to a request from their events; `task` is the id of the request's first task.
    ///
    /// # Errors
    /// The error of the first task that failed or was cancelled.
    pub fn add(answers: &mut [Answer], task: TaskId, event: &AnswerEvent<'_>) -> Result<(), Problem> {
        let Some(answer) = answers.get_mut(event.answer) else { return Ok(()) };
        match event.event {
            TaskEvent::Token { text, logprobs, .. } => {
                answer.content.push_str(text);
                answer.logprobs.extend(logprobs.iter().cloned());
            }
            TaskEvent::Reasoning { text, .. } => answer.reasoning.push_str(text),
            TaskEvent::Call(part) => answer.add_call(part, || call_id(task, event.answer, part.index)),
            TaskEvent::Started { .. } => answer.started_after = event.elapsed,
            TaskEvent::End(end) => {
                (answer.end, answer.is_cut) = (Some(end.clone()), event.is_cut);
                answer.ended_after = event.elapsed;
            }
            TaskEvent::Error(problem) => return Err(problem.clone()),
            TaskEvent::Cancelled => return Err(cancelled_problem()),
            TaskEvent::Queued { .. }
            | TaskEvent::Prefilling(_)
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => {}
        }
        Ok(())
    }

    /// Checks that every answer has ended.
    ///
    /// # Errors
    /// [`lar_base::Code::EngineFailed`] if the events of a task stopped before its end.
    pub fn check_ended(answers: &[Answer]) -> Result<(), Problem> {
        match answers.iter().all(|answer| answer.end.is_some()) {
            true => Ok(()),
            false => Err(stopped_problem()),
        }
    }

    /// Adds a part of a tool call. `id` makes the id of a new call.
    pub(crate) fn add_call(&mut self, part: &CallPart, id: impl FnOnce() -> String) {
        if part.index >= self.calls.len() {
            self.calls.push(ToolCall { id: id(), name: String::new(), arguments: String::new() });
        }
        if let Some(call) = self.calls.get_mut(part.index) {
            call.name.push_str(part.name.as_deref().unwrap_or_default());
            call.arguments.push_str(&part.arguments);
        }
    }

    /// Returns the name and the arguments of each call.
    pub fn named_calls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str()))
    }

    /// Returns OpenAI's finish reason.
    pub(crate) fn finish_reason(&self) -> &'static str {
        self.end.as_ref().map_or("stop", |end| end.reason.as_str())
    }
}

/// Returns the arguments of a complete tool call as an object, or the call as text if they are none.
///
/// A token limit cuts arguments off, and models write other JSON values or invalid JSON. OpenAI's APIs send the
/// arguments as text, so they send them as the model wrote them. Where the arguments must be an object, Lar does
/// not guess one, because the client would run a call that the model did not make. It leaves the call out and
/// adds its text to the text of the answer: the tool's name, a space, and the arguments as the model wrote them.
///
/// Empty arguments are an empty object.
pub(crate) fn object_arguments(call: &ToolCall) -> Result<Value, String> {
    if call.arguments.trim().is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str(&call.arguments) {
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        _ => Err(format!("{} {}", call.name, call.arguments)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_whose_arguments_are_no_object_is_text() {
        let arguments = |arguments: &str| {
            let (id, name) = ("call_0000".to_owned(), "look".to_owned());
            object_arguments(&ToolCall { id, name, arguments: arguments.to_owned() })
        };
        for text in ["", " ", "{}"] {
            assert_eq!(arguments(text), Ok(json!({})), "{text}");
        }
        assert_eq!(arguments("{\"at\": 1}\n"), Ok(json!({ "at": 1 })));
        for text in ["{", "{\"at\": 1", "[1]", "\"x\"", "null", "at 1", "{} {}"] {
            assert_eq!(arguments(text), Err(format!("look {text}")));
        }
    }
}
