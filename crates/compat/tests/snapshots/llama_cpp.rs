//! The scripted requests of llama.cpp's `POST /completion`.

use lar_base::Problem;
use lar_compat::llama_cpp::{LlamaCppCompletion, LlamaCppInput, error};
use lar_compat::{Codec as _, Frame};
use serde_json::{Value, json};

use crate::output::{Output, output_at, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{Api, CodecRequest, data, pretty, prompt, task, with};
use crate::scripts::{Step, add_token_ids};

/// The response fields of most requests. They leave out `generation_settings`, which are long.
const RESPONSE_FIELDS: [&str; 11] = [
    "index",
    "content",
    "tokens",
    "stop",
    "tokens_predicted",
    "tokens_evaluated",
    "has_new_line",
    "truncated",
    "stop_type",
    "stopping_word",
    "completion_probabilities",
];

/// A decoded request for a completion.
pub(crate) type LlamaCppRequest = CodecRequest<LlamaCppCompletion>;

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let some = ["content", "timings/predicted_n", "generation_settings/seed", "unknown"];
    let sampled = json!({ "n_probs": 2, "post_sampling_probs": true });
    let limited = json!({ "n_indent": 2, "t_max_predict_ms": 1000 });
    crate::play::snapshots::<LlamaCppRequest>(
        "llama_cpp",
        [
            ("text", "text", Both, json!({ "prompt": prompt() })),
            ("return_tokens", "text", Whole, request(json!({ "return_tokens": true }))),
            ("length", "length", Whole, request(json!({ "n_predict": 2 }))),
            ("context_full", "length", Whole, plain()),
            ("stop_text", "stop_text", Whole, request(json!({ "stop": ["###", "three"] }))),
            ("queued", "queued", Stream, plain()),
            ("prefill", "prefill", Stream, request(json!({ "return_progress": true }))),
            ("cancelled_in_queue", "cancelled_in_queue", Stream, plain()),
            (
                "cancelled_in_prefill",
                "cancelled_in_prefill",
                Stream,
                request(json!({ "return_progress": true })),
            ),
            ("cancelled_in_text", "cancelled_in_text", Stream, plain()),
            ("failed_at_start", "failed_at_start", Whole, plain()),
            ("failed_in_text", "failed_in_text", Stream, plain()),
            ("probabilities", "logprobs", Both, request(json!({ "n_probs": 2 }))),
            ("post_sampling", "logprobs", Stream, request(sampled)),
            ("two_answers", "two_answers", Both, request(json!({ "n_cmpl": 2 }))),
            ("timings_per_token", "text", Stream, request(json!({ "timings_per_token": true }))),
            ("response_fields", "text", Both, request(json!({ "response_fields": some }))),
            ("cut_line", "cut_line", Both, request(limited)),
            ("prefill_only", "one_token", Whole, request(json!({ "n_predict": 0 }))),
        ],
    )
}

/// Returns a request with these fields.
fn request(more: Value) -> Value {
    with(json!({ "prompt": prompt(), "response_fields": RESPONSE_FIELDS }), more)
}

/// Returns a request with [`RESPONSE_FIELDS`] alone.
pub(crate) fn plain() -> Value {
    request(json!({}))
}

/// Adds a part of a stream, or a whole answer.
fn add(outputs: &mut Vec<Output>, part: &Value) {
    let output = output_at(outputs, &part["index"]);
    output.text += text_of(&part["content"]);
    if part["stop"] != false {
        output.finish = json!([part["stop_type"], part["stopping_word"], part["truncated"]]);
        output.usage = json!([part["tokens_evaluated"], part["tokens_predicted"]]);
    }
}

impl Api for LlamaCppRequest {
    fn decode(body: &Value) -> Self {
        let input = LlamaCppCompletion::decode(body.to_string().as_bytes(), task()).unwrap();
        let LlamaCppInput { request, prompts, mut style, .. } = input;
        if style.has_prompts() {
            style.set_prompts(vec![prompt(); prompts.len()]);
        }
        Self { style, answers: request.n as usize * prompts.len() }
    }

    fn complete(script: &mut [Step]) {
        add_token_ids(script);
    }

    fn error(problem: &Problem) -> String {
        pretty(&error::body(problem))
    }

    /// Checks that the last frame ends an answer, or has the only error.
    fn check_frames(frames: &[Frame]) {
        let parts = data(frames);
        assert!(parts[parts.len() - 1]["stop"] != false, "the last part is missing");
        let error = parts.iter().position(|part| part.get("error").is_some());
        assert!(error.is_none_or(|at| at + 1 == parts.len()), "an error ends the stream");
    }

    fn streamed(data: &[Value]) -> Vec<Output> {
        let mut outputs = Vec::new();
        data.iter().for_each(|part| add(&mut outputs, part));
        outputs
    }

    fn collected(body: &Value) -> Vec<Output> {
        let mut outputs = Vec::new();
        match body {
            Value::Array(bodies) => bodies.iter().for_each(|body| add(&mut outputs, body)),
            body => add(&mut outputs, body),
        }
        outputs
    }
}
