//! The scripted tasks: sequences of events, as the gateway sends them to a codec.

use std::sync::Arc;

use lar_base::{Code, Problem};
use lar_inference::{
    CallPart, Candidate, FinishReason, PrefillProgress, TaskEvent, TaskSummary, TokenLogprobs, WaitReason,
};

/// The tokens of the prompt of every request.
pub(crate) const PROMPT_TOKENS: [&str; 4] = ["Say", " hi", " to", " Ann"];
/// The number of prompt tokens.
pub(crate) const TOKENS_IN: u64 = PROMPT_TOKENS.len() as u64;
/// The number of prompt tokens found in the prefix cache.
const TOKENS_CACHED: u64 = 1;

/// An event of a script.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The index of the answer, from 0.
    pub(crate) answer: usize,
    /// The event of the answer's task.
    pub(crate) event: TaskEvent,
    /// Whether a line limit has ended the answer.
    pub(crate) is_cut: bool,
}

/// The events of a request's answers. The last one ends the response.
pub(crate) type Script = Vec<Step>;

/// Returns the script with this name.
pub(crate) fn named(name: &str) -> Script {
    let mut all = of_one_answer().into_iter().chain(of_two_answers());
    all.find(|(other, _)| *other == name).unwrap_or_else(|| panic!("there is no script `{name}`")).1
}

/// Returns the scripts of requests for one answer, with their names.
pub(crate) fn of_one_answer() -> Vec<(&'static str, Script)> {
    use FinishReason::{Length, Stop, StopText, ToolCalls};
    let paris = r#"{"city":"Paris"}"#;
    let failed = |code, detail: &str| TaskEvent::Error(Problem::new(code, detail));
    let crashed = || failed(Code::EngineFailed, "the engine stopped");
    let cut = |event| Step { answer: 0, event, is_cut: true };
    vec![
        ("text", one([started(), token(1, "Hello"), token(2, ""), token(3, " Ann."), end(Stop, 3)])),
        (
            "reasoning",
            one([
                started(),
                reasoning(1, "Ann is "),
                reasoning(2, "here."),
                token(3, "Hello."),
                end(Stop, 3),
            ]),
        ),
        (
            "call",
            one([
                started(),
                call(0, "weather", ""),
                call(0, "", r#"{"city":"#),
                call(0, "", r#""Paris"}"#),
                end(ToolCalls, 3),
            ]),
        ),
        (
            "several_calls",
            one([
                started(),
                call(0, "weather", r#"{"city":"#),
                call(0, "", r#""Paris"}"#),
                call(1, "time", "{}"),
                end(ToolCalls, 3),
            ]),
        ),
        (
            "cut_call",
            one([
                started(),
                call(0, "time", "{}"),
                call(1, "weather", r#"{"city":"#),
                call(1, "", r#""Pa"#),
                end(Length, 3),
            ]),
        ),
        ("array_call", one([started(), call(0, "weather", "[1]"), end(ToolCalls, 1)])),
        (
            "text_then_call",
            one([started(), token(1, "I look."), call(0, "weather", paris), end(ToolCalls, 2)]),
        ),
        (
            "custom_call",
            one([
                started(),
                call(0, "shell", r#"{"input":"#),
                call(0, "", r#""ls -l"}"#),
                call(1, "weather", paris),
                end(ToolCalls, 3),
            ]),
        ),
        ("cut_custom_call", one([started(), call(0, "shell", r#"{"input":"ls"#), end(Length, 1)])),
        ("namespaced_call", one([started(), call(0, "files__read", "{}"), end(ToolCalls, 1)])),
        ("refusal", one([started(), token(1, "I cannot help with that."), end(Stop, 1)])),
        ("empty", one([started(), end(Stop, 1)])),
        ("one_token", one([started(), token(1, "Hello"), end(Length, 1)])),
        ("length", one([started(), token(1, "Hello"), token(2, " Ann"), end(Length, 2)])),
        ("stop_text", one([started(), token(1, "One, two, "), end(StopText(1), 2)])),
        ("queued", one([queued(2), queued(1), started(), token(1, "Hello."), end(Stop, 1)])),
        ("prefill", one([started(), prefilling(1), prefilling(4), token(1, "Hello."), end(Stop, 1)])),
        (
            "logprobs",
            one([
                started(),
                likely(1, "Hello", &[b"Hello"]),
                token(2, ""),
                likely(3, "é", &[&[0xc3], &[0xa9]]),
                end(Stop, 3),
            ]),
        ),
        (
            "prompt_logprobs",
            one([
                started(),
                likely(0, "", &PROMPT_TOKENS.map(str::as_bytes)),
                likely(1, "!", &[b"!"]),
                end(Length, 1),
            ]),
        ),
        (
            "cut_line",
            one([started(), token(1, "a = 1\n"), token(2, "  b = 2")])
                .into_iter()
                .chain([cut(token(3, "\n")), cut(end(Length, 3))])
                .collect(),
        ),
        ("cancelled_in_queue", one([queued(1), TaskEvent::Cancelled])),
        ("cancelled_at_start", one([started(), TaskEvent::Cancelled])),
        ("cancelled_in_prefill", one([started(), prefilling(1), TaskEvent::Cancelled])),
        ("cancelled_in_reasoning", one([started(), reasoning(1, "Ann is"), TaskEvent::Cancelled])),
        ("cancelled_in_text", one([started(), token(1, "Hello"), TaskEvent::Cancelled])),
        ("cancelled_in_call", one([started(), call(0, "weather", r#"{"city":"#), TaskEvent::Cancelled])),
        (
            "cancelled_in_custom_call",
            one([started(), call(0, "shell", r#"{"input":"ls"#), TaskEvent::Cancelled]),
        ),
        (
            "failed_in_queue",
            one([queued(1), failed(Code::DeadlineExceeded, "the deadline passed in the queue")]),
        ),
        ("failed_at_start", one([started(), crashed()])),
        ("failed_in_text", one([started(), token(1, "Hello"), crashed()])),
        ("failed_in_call", one([started(), call(0, "weather", r#"{"city":"#), crashed()])),
        ("failed_in_custom_call", one([started(), call(0, "shell", r#"{"input":"ls"#), crashed()])),
    ]
}

/// Returns the scripts of requests for two answers, with their names.
fn of_two_answers() -> Vec<(&'static str, Script)> {
    let step = |answer, event| Step { answer, event, is_cut: false };
    let begin = || vec![step(0, started()), step(1, started()), step(0, token(1, "Hello"))];
    let ends = [
        step(1, token(1, "Hi Ann.")),
        step(0, token(2, " Ann.")),
        step(1, end(FinishReason::Length, 1)),
        step(0, end(FinishReason::Stop, 2)),
    ];
    let fails = [
        step(0, end(FinishReason::Stop, 1)),
        step(1, token(1, "Hi")),
        step(1, TaskEvent::Error(Problem::new(Code::EngineFailed, "the engine stopped"))),
    ];
    vec![
        ("two_answers", begin().into_iter().chain(ends).collect()),
        ("two_answers_one_fails", begin().into_iter().chain(fails).collect()),
    ]
}

/// Adds a token's id to each text without logprobs, as engines report it for every stream of llama.cpp's API.
pub(crate) fn add_token_ids(script: &mut [Step]) {
    for step in script {
        if let TaskEvent::Token { text, logprobs, .. } = &mut step.event
            && logprobs.is_empty()
            && !text.is_empty()
        {
            *logprobs = [TokenLogprobs { top: Vec::new(), ..token_logprobs(text.as_bytes()) }].into();
        }
    }
}

/// Returns the counts and times of a task with this number of generated tokens.
pub(crate) fn summary(reason: FinishReason, tokens_out: u64) -> TaskSummary {
    TaskSummary {
        reason,
        tokens_in: TOKENS_IN,
        tokens_cached: TOKENS_CACHED,
        tokens_out,
        queue_ms: 50,
        ttft_ms: 200,
        decode_ms: 40 * tokens_out.saturating_sub(1),
    }
}

/// Returns the script of the only answer.
fn one<const N: usize>(events: [TaskEvent; N]) -> Script {
    events.into_iter().map(|event| Step { answer: 0, event, is_cut: false }).collect()
}

fn queued(position: usize) -> TaskEvent {
    let predicted_start_ms = 250 * position as u64;
    TaskEvent::Queued { position, predicted_start_ms, wait_reason: WaitReason::Busy }
}

fn started() -> TaskEvent {
    TaskEvent::Started {
        pool: "qwen3-4b".into(),
        engine: "llama.cpp (embedded)".into(),
        model_digest: String::new(),
    }
}

fn prefilling(processed: u64) -> TaskEvent {
    let (total, cached, elapsed_ms) = (TOKENS_IN, TOKENS_CACHED, 50 * (processed - TOKENS_CACHED));
    TaskEvent::Prefilling(PrefillProgress { total, cached, processed, elapsed_ms })
}

fn token(index: u64, text: &str) -> TaskEvent {
    TaskEvent::Token { text: text.into(), index, logprobs: Arc::default() }
}

/// Returns a piece of text with the logprobs of the tokens that it completes.
fn likely(index: u64, text: &str, tokens: &[&[u8]]) -> TaskEvent {
    let logprobs = tokens.iter().map(|bytes| token_logprobs(bytes)).collect();
    TaskEvent::Token { text: text.into(), index, logprobs }
}

/// Returns the logprob of a token, and its only alternative.
fn token_logprobs(bytes: &[u8]) -> TokenLogprobs {
    let chosen =
        Candidate { id: bytes.iter().copied().map(u32::from).sum(), bytes: bytes.to_vec(), logprob: -0.5 };
    let other = Candidate { id: 3, bytes: b"Hm".to_vec(), logprob: -1.5 };
    TokenLogprobs { top: vec![chosen.clone(), other], chosen }
}

fn reasoning(index: u64, text: &str) -> TaskEvent {
    TaskEvent::Reasoning { text: text.into(), index }
}

/// Returns a piece of a tool call. The first piece of a call has a name that is not empty.
fn call(index: usize, name: &str, arguments: &str) -> TaskEvent {
    let name = (!name.is_empty()).then(|| name.to_owned());
    TaskEvent::Call(CallPart { index, name, arguments: arguments.to_owned() })
}

fn end(reason: FinishReason, tokens_out: u64) -> TaskEvent {
    TaskEvent::End(summary(reason, tokens_out))
}
