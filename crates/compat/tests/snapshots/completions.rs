//! The scripted requests of `POST /v1/completions`.

use lar_base::Problem;
use lar_compat::openai::completions::{Completions, CompletionsInput};
use lar_compat::openai::error;
use lar_compat::{Codec as _, Frame};
use serde_json::{Value, json};

use crate::output::{Output, add_usage, includes_usage, output_at, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{Api, CodecRequest, check_done, pretty, prompt, task, with};

/// A decoded request for a completion.
pub(crate) type CompletionsRequest = CodecRequest<Completions>;

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let usage = json!({ "include_usage": true });
    let prompt_logprobs = |tokens: u32| {
        request(json!({ "echo": true, "logprobs": 2, "max_tokens": tokens, "stream_options": usage }))
    };
    crate::play::snapshots::<CompletionsRequest>(
        "completions",
        [
            ("text", "text", Both, plain()),
            ("length", "length", Whole, request(json!({ "max_tokens": 2 }))),
            ("stop_text", "stop_text", Stream, request(json!({ "stop": ["###", "three"] }))),
            ("prefill", "prefill", Stream, request(json!({ "return_progress": true }))),
            ("cancelled_in_text", "cancelled_in_text", Stream, plain()),
            ("failed_at_start", "failed_at_start", Stream, plain()),
            ("failed_in_text", "failed_in_text", Stream, plain()),
            ("logprobs", "logprobs", Both, request(json!({ "logprobs": 2 }))),
            ("two_answers", "two_answers", Both, request(json!({ "n": 2, "stream_options": usage }))),
            ("usage", "text", Stream, request(json!({ "stream_options": usage }))),
            ("echo", "text", Stream, request(json!({ "echo": true }))),
            ("echo_logprobs", "prompt_logprobs", Both, prompt_logprobs(1)),
            ("prefill_only", "one_token", Whole, request(json!({ "max_tokens": 0 }))),
            ("prefill_only_logprobs", "prompt_logprobs", Whole, prompt_logprobs(0)),
        ],
    )
}

/// Returns a request with these fields.
fn request(more: Value) -> Value {
    with(json!({ "model": "qwen3-4b", "prompt": prompt() }), more)
}

/// Returns a request whose stream reports the usage.
pub(crate) fn with_usage() -> Value {
    request(json!({ "stream_options": { "include_usage": true } }))
}

fn plain() -> Value {
    request(json!({}))
}

/// Adds the choices of a whole body, or of a chunk.
fn add(outputs: &mut Vec<Output>, choices: &Value) {
    for choice in choices.as_array().into_iter().flatten() {
        let output = output_at(outputs, &choice["index"]);
        output.text += text_of(&choice["text"]);
        output.finish = choice["finish_reason"].clone();
    }
}

impl Api for CompletionsRequest {
    fn decode(body: &Value) -> Self {
        let input = Completions::decode(body.to_string().as_bytes(), task()).unwrap();
        let CompletionsInput { request, prompts, echo, mut style } = input;
        if echo {
            style.set_echoed(vec![prompt(); prompts.len()]).unwrap();
        }
        Self { style, answers: request.n as usize * prompts.len() }
    }

    fn error(problem: &Problem) -> String {
        pretty(&error::body(problem))
    }

    fn check_frames(frames: &[Frame]) {
        check_done(frames);
    }

    fn streamed(data: &[Value]) -> Vec<Output> {
        let mut outputs = Vec::new();
        data.iter().for_each(|chunk| add(&mut outputs, &chunk["choices"]));
        add_usage(&mut outputs, data);
        outputs
    }

    fn collected(body: &Value) -> Vec<Output> {
        let mut outputs = Vec::new();
        add(&mut outputs, &body["choices"]);
        add_usage(&mut outputs, std::slice::from_ref(body));
        outputs
    }

    fn streams_usage(body: &Value) -> bool {
        includes_usage(body)
    }
}
