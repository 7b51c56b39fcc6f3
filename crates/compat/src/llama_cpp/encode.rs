//! Encodes completions in llama.cpp's native form: each event of a stream as a part, and complete answers as
//! one body.

use lar_base::Problem;
use lar_base::json::to_value;
use lar_inference::{
    Candidate, FinishReason, PrefillProgress, TaskEvent, TaskSummary, TokenLogprobs, cancelled_problem,
};
use serde_json::{Map, Value};

use super::error;
use super::style::LlamaCppStyle;
use super::wire::{LlamaCppAnswer, Part, Probability};
use crate::openai::wire::TopLogprob;
use crate::token_usage::{prompt_progress, timings, timings_of_prefill, top_logprob};
use crate::{Answer, AnswerEvent, Encoder, Frame, Head};

/// The encoder of a streamed completion in llama.cpp's form.
///
/// A stream ends after the last part of its last answer, without a frame of its own.
#[derive(Debug)]
pub struct LlamaCppEncoder {
    model: String,
    style: LlamaCppStyle,
    /// The parts of each answer so far.
    streamed: Vec<StreamedParts>,
    has_failed: bool,
}

/// Facts about the parts of an answer that are already encoded.
#[derive(Debug)]
struct StreamedParts {
    /// The number of prompt tokens; 0 if the engine counts them later.
    tokens_in: u64,
    /// The number of generated tokens.
    tokens: u64,
    has_new_line: bool,
    has_ended: bool,
}

/// The output of an answer, as its last or only part has it.
#[derive(Debug, Default)]
struct AnswerOutput {
    content: String,
    tokens: Vec<u32>,
    logprobs: Vec<TokenLogprobs>,
    /// Whether the whole answer has a line break.
    has_new_line: bool,
    /// Whether a line limit ended the answer.
    is_cut: bool,
}

impl LlamaCppEncoder {
    pub(super) fn new(head: Head, style: LlamaCppStyle) -> Self {
        let unstarted =
            |tokens_in| StreamedParts { tokens_in, tokens: 0, has_new_line: false, has_ended: false };
        let streamed = head.tokens_in.into_iter().map(unstarted).collect();
        Self { model: head.model, style, streamed, has_failed: false }
    }

    /// Encodes a part of an answer's text, with its tokens.
    fn part(&mut self, event: &AnswerEvent<'_>, text: &str, logprobs: &[TokenLogprobs]) -> Option<Frame> {
        let streamed = self.streamed.get_mut(event.answer)?;
        streamed.has_new_line |= text.contains('\n');
        let tokens = token_ids(logprobs);
        streamed.tokens += tokens.len() as u64;
        let part = Part {
            index: event.answer,
            content: text.to_owned(),
            tokens_predicted: streamed.tokens,
            tokens_evaluated: streamed.tokens_in,
            tokens,
            stop: false,
            id_slot: -1,
            timings: self.style.timings_per_token.then(|| timings(event.so_far.as_ref())).flatten(),
            prompt_progress: None,
            completion_probabilities: probabilities(&self.style, logprobs),
        };
        Some(Frame::data(&to_value(part)))
    }

    /// Encodes the progress of the prefill in a part without content.
    fn prefilling(&self, index: usize, progress: &PrefillProgress) -> Frame {
        let timings = self.style.timings_per_token.then(|| timings_of_prefill(progress));
        let part = Part {
            index,
            tokens_evaluated: progress.total,
            id_slot: -1,
            timings: timings.flatten(),
            prompt_progress: Some(prompt_progress(progress)),
            ..Part::default()
        };
        Frame::data(&to_value(part))
    }

    /// Encodes the last part of an answer, which has no content.
    fn end_answer(&mut self, index: usize, is_cut: bool, end: &TaskSummary) -> Option<Frame> {
        let streamed = self.streamed.get_mut(index)?;
        streamed.has_ended = true;
        let output = AnswerOutput { has_new_line: streamed.has_new_line, is_cut, ..AnswerOutput::default() };
        Some(Frame::data(&completion(&self.style, index, &self.model, output, Some(end))))
    }

    fn fail(&mut self, problem: &Problem) -> Frame {
        self.has_failed = true;
        Frame::data(&to_value(error::body(problem)))
    }
}

impl Encoder for LlamaCppEncoder {
    fn needs_timings(&self) -> bool {
        self.style.timings_per_token
    }

    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame> {
        if self.is_over() || event.answer >= self.streamed.len() {
            return Vec::new();
        }
        let frame = match event.event {
            TaskEvent::Queued { position, .. } => {
                Some(Frame::Comment(format!("queued, position {position}")))
            }
            TaskEvent::Prefilling(progress) => Some(self.prefilling(event.answer, progress)),
            TaskEvent::Token { text, logprobs, .. }
                if !self.style.prefill_only && (!text.is_empty() || !logprobs.is_empty()) =>
            {
                self.part(event, text, logprobs)
            }
            TaskEvent::End(end) => self.end_answer(event.answer, event.is_cut, end),
            TaskEvent::Error(problem) => Some(self.fail(problem)),
            TaskEvent::Cancelled => Some(self.fail(&cancelled_problem())),
            TaskEvent::Token { .. }
            | TaskEvent::Started { .. }
            | TaskEvent::Reasoning { .. }
            | TaskEvent::Call(_)
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => None,
        };
        frame.into_iter().collect()
    }

    fn is_over(&self) -> bool {
        self.has_failed || self.streamed.iter().all(|answer| answer.has_ended)
    }
}

/// Returns the response with complete answers: one object, or an array of objects for several answers.
pub(super) fn whole(head: &Head, answers: Vec<Answer>, style: &LlamaCppStyle) -> Value {
    let body = |(index, answer): (usize, Answer)| {
        let output = AnswerOutput {
            has_new_line: answer.content.contains('\n'),
            content: answer.content,
            tokens: token_ids(&answer.logprobs),
            logprobs: answer.logprobs,
            is_cut: answer.is_cut,
        };
        completion(style, index, &head.model, output, answer.end.as_ref())
    };
    let mut bodies: Vec<Value> = answers.into_iter().enumerate().map(body).collect();
    let only = if bodies.len() == 1 { bodies.pop() } else { None };
    only.unwrap_or(Value::Array(bodies))
}

/// Encodes a complete answer, or the last part of a stream, whose output is empty.
fn completion(
    style: &LlamaCppStyle,
    index: usize,
    model: &str,
    output: AnswerOutput,
    end: Option<&TaskSummary>,
) -> Value {
    let (stop_type, stopping_word) = match end.map(|end| end.reason) {
        Some(FinishReason::Length) | None => ("limit", String::new()),
        Some(FinishReason::StopText(which)) => ("word", style.stop.get(which).cloned().unwrap_or_default()),
        Some(FinishReason::Stop | FinishReason::ToolCalls) => ("eos", String::new()),
    };
    let (stop_type, output, end) = match end {
        Some(end) if style.prefill_only => {
            ("limit", AnswerOutput::default(), Some(TaskSummary { tokens_out: 0, ..end.clone() }))
        }
        end => (stop_type, output, end.cloned()),
    };
    let end = end.as_ref();
    let (tokens_in, tokens_out) = end.map_or((0, 0), |end| (end.tokens_in, end.tokens_out));
    let completion = LlamaCppAnswer {
        index,
        has_new_line: output.has_new_line,
        content: output.content,
        tokens: if style.tokens { output.tokens } else { Vec::new() },
        id_slot: -1,
        stop: true,
        model: model.to_owned(),
        tokens_predicted: tokens_out,
        tokens_evaluated: tokens_in,
        generation_settings: style.settings.clone(),
        prompt: style.prompt(index),
        // Whether the context, not a limit of the request, ended the answer.
        truncated: stop_type == "limit"
            && !style.prefill_only
            && !output.is_cut
            && (style.tokens_max == 0 || tokens_out < style.tokens_max),
        stop_type,
        stopping_word,
        tokens_cached: tokens_in + tokens_out,
        timings: timings(end).unwrap_or_default(),
        completion_probabilities: probabilities(style, &output.logprobs),
    };
    select_fields(&style.fields, to_value(completion))
}

/// Returns the requested fields, or all fields if none is requested.
///
/// The path `a/b` selects the member `b` of `a` and is its name in the result.
pub(super) fn select_fields(fields: &[String], whole: Value) -> Value {
    if fields.is_empty() {
        return whole;
    }
    let found = fields.iter().filter_map(|path| {
        let value = path.split('/').try_fold(&whole, |value, name| value.get(name))?;
        Some((path.clone(), value.clone()))
    });
    Value::Object(found.collect::<Map<_, _>>())
}

fn token_ids(logprobs: &[TokenLogprobs]) -> Vec<u32> {
    logprobs.iter().map(|token| token.chosen.id).collect()
}

fn probabilities(style: &LlamaCppStyle, logprobs: &[TokenLogprobs]) -> Option<Vec<Probability>> {
    let one = |token: &TokenLogprobs| {
        let chosen = probability(style, &token.chosen);
        let top = Some(token.top.iter().map(|candidate| probability(style, candidate)).collect());
        match style.post_sampling {
            true => Probability { top_probs: top, ..chosen },
            false => Probability { top_logprobs: top, ..chosen },
        }
    };
    (style.n_probs > 0 && !logprobs.is_empty()).then(|| logprobs.iter().map(one).collect())
}

fn probability(style: &LlamaCppStyle, candidate: &Candidate) -> Probability {
    let TopLogprob { token, bytes, logprob } = top_logprob(candidate);
    let (logprob, prob) = match style.post_sampling {
        true => (None, Some(candidate.logprob.exp())),
        false => (Some(logprob), None),
    };
    Probability { id: candidate.id, token, bytes, logprob, prob, top_logprobs: None, top_probs: None }
}
