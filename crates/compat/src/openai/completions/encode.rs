//! Encodes completions: each event of a stream as a chunk, and complete answers as one body.

use std::borrow::Cow;

use lar_base::Problem;
use lar_inference::{FinishReason, TaskEvent, TaskSummary, TokenLogprobs, cancelled_problem};

use super::style::CompletionStyle;
use super::wire::{TextCompletion, TextCompletionChoice};
use crate::openai::error;
use crate::openai::wire::{CompletionLogprobs, CompletionUsage, Timings};
use crate::token_usage::{prompt_progress, timings, timings_of, top_logprob, usage, usage_of};
use crate::{Answer, AnswerEvent, Encoder, Frame, Head};

/// The encoder of a streamed completion.
#[derive(Debug)]
pub struct CompletionEncoder {
    /// The completion without choices, with the fields that all chunks share.
    envelope: TextCompletion<'static>,
    style: CompletionStyle,
    /// The state of each answer.
    answers: Vec<CompletionAnswerState>,
    is_over: bool,
}

/// The state of an answer in a stream.
#[derive(Debug)]
struct CompletionAnswerState {
    /// The summary of the answer, once it has ended.
    end: Option<TaskSummary>,
    /// The number of characters before the next token.
    written: usize,
}

impl CompletionEncoder {
    pub(super) fn new(head: Head, style: CompletionStyle) -> Self {
        let state = |answer: usize| {
            // With logprobs of the prompt, the offsets start at the prompt, else after it.
            let written = if style.prompt_logprobs { 0 } else { style.prompt(answer).chars().count() };
            CompletionAnswerState { end: None, written }
        };
        let answers = (0..head.answers()).map(state).collect();
        Self { envelope: envelope(&head), answers, style, is_over: false }
    }

    /// Encodes a part of an answer's text with the logprobs of its tokens.
    fn token(&mut self, answer: usize, text: &str, logprobs: &[TokenLogprobs], index: u64) -> Option<Frame> {
        let written = &mut self.answers.get_mut(answer)?.written;
        let (before, begins_prompt) = (*written, index == 0 && *written == 0);
        let lists = self.style.logprobs.then(|| logprob_lists(logprobs, before, begins_prompt));
        let tokens = lists.iter().flat_map(|lists| &lists.tokens);
        *written = before + tokens.map(|token| token.chars().count()).sum::<usize>();
        Some(self.chunk(vec![TextCompletionChoice { logprobs: lists, ..part(answer, text) }], None, None))
    }

    /// Encodes the last chunk of an answer. After the last answer, usage and the end of the stream follow.
    fn end_answer(&mut self, answer: usize, end: TaskSummary) -> Vec<Frame> {
        let finish_reason = Some(end.reason.as_str());
        let last = TextCompletionChoice { finish_reason, ..part(answer, "") };
        if let Some(state) = self.answers.get_mut(answer) {
            state.end = Some(end);
        }
        let ends: Option<Vec<&TaskSummary>> = self.answers.iter().map(|state| state.end.as_ref()).collect();
        let Some(ends) = ends else { return vec![self.chunk(vec![last], None, None)] };
        let timings = timings(ends.iter().copied());
        let usage = self.style.include_usage.then(|| usage(ends, self.style.answers_per_prompt));
        self.is_over = true;
        if usage.is_some() {
            let usage = self.chunk(Vec::new(), usage, timings);
            vec![self.chunk(vec![last], None, None), usage, Frame::Done]
        } else {
            vec![self.chunk(vec![last], None, timings), Frame::Done]
        }
    }

    fn fail(&mut self, problem: &Problem) -> Vec<Frame> {
        self.is_over = true;
        vec![Frame::data(&error::body(problem)), Frame::Done]
    }

    fn chunk(
        &self,
        choices: Vec<TextCompletionChoice<'_>>,
        usage: Option<CompletionUsage>,
        timings: Option<Timings>,
    ) -> Frame {
        Frame::data(&completion(&self.envelope, choices, usage, timings))
    }
}

impl Encoder for CompletionEncoder {
    fn push(&mut self, event: &AnswerEvent<'_>) -> Vec<Frame> {
        let answer = event.answer;
        if self.is_over || answer >= self.answers.len() {
            return Vec::new();
        }
        match event.event {
            TaskEvent::Started { .. } => match self.style.prompt(answer) {
                "" => Vec::new(),
                prompt => vec![self.chunk(vec![part(answer, prompt)], None, None)],
            },
            TaskEvent::Prefilling(progress) => {
                let prompt_progress = Some(prompt_progress(progress));
                let chunk = completion(&self.envelope, vec![part(answer, "")], None, None);
                vec![Frame::data(&TextCompletion { prompt_progress, ..chunk })]
            }
            TaskEvent::Token { index, .. } if self.style.prefill_only && *index > 0 => Vec::new(),
            TaskEvent::Token { text, logprobs, index } if !text.is_empty() || !logprobs.is_empty() => {
                self.token(answer, text, logprobs, *index).into_iter().collect()
            }
            TaskEvent::End(end) if self.style.prefill_only => {
                self.end_answer(answer, without_answer(end.clone()))
            }
            TaskEvent::End(end) => self.end_answer(answer, end.clone()),
            TaskEvent::Error(problem) => self.fail(problem),
            TaskEvent::Cancelled => self.fail(&cancelled_problem()),
            TaskEvent::Token { .. }
            | TaskEvent::Queued { .. }
            | TaskEvent::Reasoning { .. }
            | TaskEvent::Call(_)
            | TaskEvent::Vectors(_)
            | TaskEvent::Scores(_) => Vec::new(),
        }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

/// Returns the response with complete answers.
pub(super) fn whole(
    head: &Head,
    mut answers: Vec<Answer>,
    style: &CompletionStyle,
) -> TextCompletion<'static> {
    if style.prefill_only {
        answers.iter_mut().for_each(leave_out_answer);
    }
    let (usage, timings) = (usage_of(&answers, style.answers_per_prompt), timings_of(&answers));
    let choice = |(index, answer): (usize, Answer)| {
        let prompt = style.prompt(index);
        let logprobs = style.logprobs.then(|| {
            let written = if style.prompt_logprobs { 0 } else { prompt.chars().count() };
            logprob_lists(&answer.logprobs, written, style.prompt_logprobs)
        });
        let finish_reason = Some(answer.finish_reason());
        let text = Cow::Owned(prompt.to_owned() + &answer.content);
        TextCompletionChoice { index, text, logprobs, finish_reason }
    };
    let choices = answers.into_iter().enumerate().map(choice).collect();
    TextCompletion { choices, usage: Some(usage), timings, ..envelope(head) }
}

/// Returns a completion without choices, with the fields that all chunks share.
fn envelope(head: &Head) -> TextCompletion<'static> {
    TextCompletion {
        id: Cow::Owned(format!("cmpl-{}", head.task)),
        object: "text_completion",
        created: head.created(),
        model: Cow::Owned(head.model.clone()),
        system_fingerprint: Cow::Owned(head.fingerprint.clone()),
        choices: Vec::new(),
        usage: None,
        timings: None,
        prompt_progress: None,
    }
}

/// Returns a completion that borrows the fields of an [`envelope`].
fn completion<'a>(
    envelope: &'a TextCompletion<'static>,
    choices: Vec<TextCompletionChoice<'a>>,
    usage: Option<CompletionUsage>,
    timings: Option<Timings>,
) -> TextCompletion<'a> {
    TextCompletion {
        id: Cow::Borrowed(envelope.id.as_ref()),
        object: envelope.object,
        created: envelope.created,
        model: Cow::Borrowed(envelope.model.as_ref()),
        system_fingerprint: Cow::Borrowed(envelope.system_fingerprint.as_ref()),
        choices,
        usage,
        timings,
        prompt_progress: None,
    }
}

/// Returns a part of an answer with this text and nothing else.
fn part(index: usize, text: &str) -> TextCompletionChoice<'_> {
    TextCompletionChoice { index, text: Cow::Borrowed(text), logprobs: None, finish_reason: None }
}

/// Removes the generated token from an answer with `max_tokens: 0` and keeps the logprobs of its prompt.
///
/// The engine generates one token, because it reads a prompt only to generate.
fn leave_out_answer(answer: &mut Answer) {
    answer.content.clear();
    if let Some(end) = &mut answer.end {
        answer.logprobs.truncate(usize::try_from(end.tokens_in).unwrap_or(usize::MAX));
        *end = without_answer(end.clone());
    }
}

fn without_answer(end: TaskSummary) -> TaskSummary {
    TaskSummary { reason: FinishReason::Length, tokens_out: 0, ..end }
}

/// Returns the logprobs of tokens as OpenAI's parallel lists.
///
/// `written` is the number of characters before the first token. The first token of a prompt has no logprob.
fn logprob_lists(logprobs: &[TokenLogprobs], mut written: usize, begins_prompt: bool) -> CompletionLogprobs {
    let mut lists = CompletionLogprobs::default();
    for (index, token) in logprobs.iter().enumerate() {
        let known = !(begins_prompt && index == 0);
        let chosen = top_logprob(&token.chosen);
        lists.text_offset.push(written);
        written += chosen.token.chars().count();
        lists.tokens.push(chosen.token);
        lists.token_logprobs.push(known.then_some(chosen.logprob));
        let top = token.top.iter().map(top_logprob);
        lists.top_logprobs.push(known.then(|| top.map(|top| (top.token, top.logprob)).collect()));
    }
    lists
}

#[cfg(test)]
mod tests {
    use lar_base::Timestamp;
    use lar_inference::Candidate;
    use serde_json::{Value, json};

    use super::*;
    use crate::openai::completions::decode::decode;

    /// Returns the head and the style of a request with one prompt, `é`.
    fn request(mut body: Value) -> (Head, CompletionStyle) {
        body["prompt"] = json!("é");
        let task = "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap();
        let input = decode(body.to_string().as_bytes(), task).unwrap();
        let mut style = input.style;
        if input.echo {
            style.set_echoed(vec!["é".into()]).unwrap();
        }
        let head = Head {
            task,
            model: "m".into(),
            received_at: Timestamp::from_millis(2000),
            tokens_in: vec![1; input.request.n as usize],
            fingerprint: "f".into(),
        };
        (head, style)
    }

    fn started() -> TaskEvent {
        TaskEvent::Started { pool: "m".into(), engine: String::new(), model_digest: String::new() }
    }

    fn token(text: &str) -> TaskEvent {
        TaskEvent::Token { text: text.into(), index: 1, logprobs: vec![logprobs_of(text)].into() }
    }

    fn logprobs_of(text: &str) -> TokenLogprobs {
        TokenLogprobs { chosen: Candidate { id: 5, bytes: text.into(), logprob: -0.5 }, top: Vec::new() }
    }

    fn end() -> TaskSummary {
        TaskSummary {
            reason: FinishReason::Stop,
            tokens_in: 1,
            tokens_cached: 0,
            tokens_out: 1,
            queue_ms: 0,
            ttft_ms: 0,
            decode_ms: 0,
        }
    }

    /// Returns the choices of each chunk, or the whole data of other events.
    fn choices(frames: &[Frame]) -> Vec<Value> {
        let choices = |frame: &Frame| match frame {
            Frame::Event { data, .. } => {
                let data: Value = serde_json::from_str(data).unwrap();
                data.get("choices").cloned().unwrap_or(data)
            }
            frame => json!(format!("{frame:?}")),
        };
        frames.iter().map(choices).collect()
    }

    fn push(stream: &mut CompletionEncoder, answer: usize, event: &TaskEvent) -> Vec<Value> {
        choices(&stream.push(&AnswerEvent { answer, ..AnswerEvent::of(event) }))
    }

    #[test]
    fn a_stream_echoes_the_prompt_and_is_done_after_the_last_answer() {
        let (head, style) = request(json!({ "echo": true, "n": 2 }));
        let mut stream = CompletionEncoder::new(head, style);
        let choice = |index: usize, text: &str, reason: Option<&str>| {
            let choice = json!({ "index": index, "text": text, "logprobs": null, "finish_reason": reason });
            json!([choice])
        };
        assert_eq!(push(&mut stream, 1, &started()), [choice(1, "é", None)]);
        assert_eq!(push(&mut stream, 1, &token("b")), [choice(1, "b", None)]);
        assert_eq!(push(&mut stream, 1, &TaskEvent::End(end())), [choice(1, "", Some("stop"))]);
        assert!(!stream.is_over());
        let last = [choice(0, "", Some("stop")), json!("Done")];
        assert_eq!(push(&mut stream, 0, &TaskEvent::End(end())), last);
        assert!(stream.is_over());
    }

    #[test]
    fn a_cancelled_stream_ends_with_an_error_and_done_even_before_a_token() {
        let (head, style) = request(json!({}));
        let mut stream = CompletionEncoder::new(head, style);
        let error = json!({
            "error": {
                "message": "the task was cancelled", "type": "cancelled", "param": null, "code": "cancelled",
            },
        });
        assert_eq!(push(&mut stream, 0, &TaskEvent::Cancelled), [error, json!("Done")]);
        assert!(stream.is_over());
    }

    #[test]
    fn offsets_count_characters_from_the_start_of_the_text() {
        let answer =
            || Answer { content: "ü".into(), logprobs: vec![logprobs_of("ü")], ..Answer::default() };
        let offsets = |body: Value, answer: Answer| {
            let (head, style) = request(body);
            let whole = serde_json::to_value(whole(&head, vec![answer], &style)).unwrap();
            assert_eq!((&whole["created"], &whole["system_fingerprint"]), (&json!(2), &json!("f")));
            let choice = &whole["choices"][0];
            (choice["text"].clone(), choice["logprobs"]["text_offset"].clone())
        };
        assert_eq!(offsets(json!({ "logprobs": 0 }), answer()), (json!("ü"), json!([0])));
        assert_eq!(offsets(json!({ "echo": true }), answer()), (json!("éü"), Value::Null));
        let with_prompt =
            Answer { logprobs: vec![logprobs_of("é"), logprobs_of("ü")], end: Some(end()), ..answer() };
        let body = json!({ "echo": true, "logprobs": 0 });
        assert_eq!(offsets(body, with_prompt.clone()), (json!("éü"), json!([0, 1])));
        // Without an answer, only the logprobs of the prompt are left.
        let prefill = json!({ "echo": true, "logprobs": 0, "max_tokens": 0 });
        assert_eq!(offsets(prefill, with_prompt), (json!("é"), json!([0])));
    }

    #[test]
    fn several_answers_do_not_repeat_long_prompts() {
        let (_, mut style) = request(json!({ "echo": true, "n": 2 }));
        assert!(style.set_echoed(vec!["a".repeat(8 << 20)]).is_ok());
        let refused = style.set_echoed(vec!["a".repeat((8 << 20) + 1)]).unwrap_err();
        assert_eq!(refused.fields[0].field, "echo");
    }
}
