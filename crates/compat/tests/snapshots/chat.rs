//! The scripted requests of `POST /v1/chat/completions`.

use lar_base::Problem;
use lar_compat::Frame;
use lar_compat::openai::chat_completions::{self, ChatEncoder, ChatStyle};
use lar_compat::openai::error;
use serde_json::{Value, json};

use crate::output::{Output, output_at, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{Api, answers, check_done, head, pretty, prompt, task, with};
use crate::scripts::Step;

/// A decoded request for a chat completion.
pub(crate) struct Chat {
    style: ChatStyle,
    answers: usize,
}

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let functions = request(json!({ "functions": [{ "name": "weather" }] }));
    let usage = json!({ "include_usage": true });
    crate::play::snapshots::<Chat>(
        "chat",
        [
            ("text", "text", Both, plain()),
            ("reasoning", "reasoning", Both, plain()),
            ("call", "call", Both, with_tools()),
            ("several_calls", "several_calls", Stream, with_tools()),
            ("cut_call", "cut_call", Stream, with_tools()),
            ("text_then_call", "text_then_call", Stream, with_tools()),
            ("custom_call", "custom_call", Both, with_tools()),
            ("cut_custom_call", "cut_custom_call", Both, with_tools()),
            ("function_call", "call", Both, functions),
            // Engines report no refusals: the text is the answer's, and `refusal` is null.
            ("refusal", "refusal", Whole, plain()),
            ("empty", "empty", Both, plain()),
            ("length", "length", Stream, request(json!({ "max_completion_tokens": 2 }))),
            ("stop_text", "stop_text", Whole, request(json!({ "stop": ["###", "three"] }))),
            ("queued", "queued", Stream, plain()),
            ("prefill", "prefill", Stream, request(json!({ "return_progress": true }))),
            ("cancelled_in_queue", "cancelled_in_queue", Stream, plain()),
            ("cancelled_at_start", "cancelled_at_start", Stream, plain()),
            ("cancelled_in_reasoning", "cancelled_in_reasoning", Stream, plain()),
            ("cancelled_in_text", "cancelled_in_text", Stream, plain()),
            ("cancelled_in_call", "cancelled_in_call", Stream, with_tools()),
            ("failed_at_start", "failed_at_start", Both, plain()),
            ("failed_in_text", "failed_in_text", Stream, plain()),
            ("logprobs", "logprobs", Both, request(json!({ "logprobs": true, "top_logprobs": 2 }))),
            ("two_answers", "two_answers", Both, request(json!({ "n": 2, "stream_options": usage }))),
            ("two_answers_one_fails", "two_answers_one_fails", Stream, request(json!({ "n": 2 }))),
            ("usage", "text", Stream, request(json!({ "stream_options": usage }))),
            ("timings_per_token", "reasoning", Stream, request(json!({ "timings_per_token": true }))),
        ],
    )
}

/// Returns a request with these fields.
fn request(more: Value) -> Value {
    with(json!({ "model": "qwen3-4b", "messages": [{ "role": "user", "content": prompt() }] }), more)
}

fn plain() -> Value {
    request(json!({}))
}

/// Returns a request with two functions and a custom tool.
pub(crate) fn with_tools() -> Value {
    let function = |name: &str| json!({ "type": "function", "function": { "name": name } });
    let custom = json!({ "type": "custom", "custom": { "name": "shell" } });
    request(json!({ "tools": [function("weather"), function("time"), custom] }))
}

/// Adds a message, or the part of one that a chunk adds.
fn add(output: &mut Output, message: &Value) {
    output.text += text_of(&message["content"]);
    output.reasoning += text_of(&message["reasoning_content"]);
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        output.add_call(&call["function"]["name"], text_of(&call["function"]["arguments"]));
        output.add_call(&call["custom"]["name"], text_of(&call["custom"]["input"]));
    }
    let call = &message["function_call"];
    output.add_call(&call["name"], text_of(&call["arguments"]));
}

impl Api for Chat {
    type Encoder = ChatEncoder;

    fn decode(body: &Value) -> Self {
        let input = chat_completions::decode(body.to_string().as_bytes(), task()).unwrap();
        Self { style: input.style, answers: input.request.n as usize }
    }

    fn encoder(self) -> ChatEncoder {
        ChatEncoder::new(head(self.answers), self.style)
    }

    fn whole(self, script: &[Step]) -> Result<String, Problem> {
        let answers = answers(self.answers, script)?;
        Ok(pretty(&chat_completions::whole(&head(self.answers), answers, &self.style)))
    }

    fn error(problem: &Problem) -> String {
        pretty(&error::body(problem))
    }

    fn check_frames(frames: &[Frame]) {
        check_done(frames);
    }

    fn streamed(data: &[Value]) -> Vec<Output> {
        let mut outputs = Vec::new();
        for choice in data.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten() {
            add(output_at(&mut outputs, &choice["index"]), &choice["delta"]);
        }
        outputs
    }

    fn collected(body: &Value) -> Vec<Output> {
        let mut outputs = Vec::new();
        for choice in body["choices"].as_array().unwrap() {
            let message = &choice["message"];
            assert_eq!(message.get("refusal"), Some(&Value::Null));
            add(output_at(&mut outputs, &choice["index"]), message);
        }
        outputs
    }
}
