//! The scripted requests of `POST /v1/completions`.

use lar_base::Problem;
use lar_compat::Frame;
use lar_compat::openai::completions::{self, CompletionEncoder, CompletionStyle, CompletionsInput};
use lar_compat::openai::error;
use serde_json::{Value, json};

use crate::output::{Output, output_at, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{Api, answers, check_done, head, pretty, prompt, task, with};
use crate::scripts::Step;

/// A decoded request for a completion.
pub(crate) struct Completions {
    style: CompletionStyle,
    answers: usize,
}

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let usage = json!({ "include_usage": true });
    let prompt_logprobs = |tokens: u32| {
        request(json!({ "echo": true, "logprobs": 2, "max_tokens": tokens, "stream_options": usage }))
    };
    crate::play::snapshots::<Completions>(
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

/// Returns a request without further fields.
pub(crate) fn plain() -> Value {
    request(json!({}))
}

/// Adds the choices of a whole body, or of a chunk.
fn add(outputs: &mut Vec<Output>, choices: &Value) {
    for choice in choices.as_array().into_iter().flatten() {
        output_at(outputs, &choice["index"]).text += text_of(&choice["text"]);
    }
}

impl Api for Completions {
    type Encoder = CompletionEncoder;

    fn decode(body: &Value) -> Self {
        let input = completions::decode(body.to_string().as_bytes(), task()).unwrap();
        let CompletionsInput { request, prompts, echo, mut style } = input;
        if echo {
            style.set_echoed(vec![prompt(); prompts.len()]).unwrap();
        }
        Self { style, answers: request.n as usize * prompts.len() }
    }

    fn encoder(self) -> CompletionEncoder {
        CompletionEncoder::new(head(self.answers), self.style)
    }

    fn whole(self, script: &[Step]) -> Result<String, Problem> {
        let answers = answers(self.answers, script)?;
        Ok(pretty(&completions::whole(&head(self.answers), answers, &self.style)))
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
        outputs
    }

    fn collected(body: &Value) -> Vec<Output> {
        let mut outputs = Vec::new();
        add(&mut outputs, &body["choices"]);
        outputs
    }
}
