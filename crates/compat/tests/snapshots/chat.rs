//! The scripted requests of `POST /v1/chat/completions`.

use lar_base::Problem;
use lar_compat::openai::chat_completions::ChatCompletions;
use lar_compat::openai::error;
use lar_compat::{Codec as _, Frame};
use serde_json::{Value, json};

use crate::output::{Output, add_usage, includes_usage, output_at, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{Api, CodecRequest, check_done, pretty, prompt, task, with};

/// A decoded request for a chat completion.
pub(crate) type ChatRequest = CodecRequest<ChatCompletions>;

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let functions = request(json!({ "functions": [{ "name": "weather" }] }));
    let usage = json!({ "include_usage": true });
    crate::play::snapshots::<ChatRequest>(
        "chat",
        [
            ("text", "text", Both, plain()),
            ("reasoning", "reasoning", Both, plain()),
            ("call", "call", Both, with_tools()),
            ("several_calls", "several_calls", Stream, with_tools()),
            ("cut_call", "cut_call", Both, with_tools()),
            ("array_call", "array_call", Both, with_tools()),
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
            // The input of a custom tool is sent when the call is complete, so these calls are never sent.
            ("cancelled_in_custom_call", "cancelled_in_custom_call", Stream, with_tools()),
            ("failed_in_custom_call", "failed_in_custom_call", Stream, with_tools()),
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

/// Returns a request with two functions and a custom tool, whose stream reports the usage.
pub(crate) fn with_tools_and_usage() -> Value {
    with(with_tools(), json!({ "stream_options": { "include_usage": true } }))
}

/// Returns a request with two functions and a custom tool.
fn with_tools() -> Value {
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

impl Api for ChatRequest {
    fn decode(body: &Value) -> Self {
        let input = ChatCompletions::decode(body.to_string().as_bytes(), task()).unwrap();
        Self { style: input.style, answers: input.request.n as usize }
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
            let output = output_at(&mut outputs, &choice["index"]);
            add(output, &choice["delta"]);
            output.finish = choice["finish_reason"].clone();
        }
        add_usage(&mut outputs, data);
        outputs
    }

    fn collected(body: &Value) -> Vec<Output> {
        let mut outputs = Vec::new();
        for choice in body["choices"].as_array().unwrap() {
            let message = &choice["message"];
            assert_eq!(message.get("refusal"), Some(&Value::Null));
            let output = output_at(&mut outputs, &choice["index"]);
            add(output, message);
            output.finish = choice["finish_reason"].clone();
        }
        add_usage(&mut outputs, std::slice::from_ref(body));
        outputs
    }

    fn streams_usage(body: &Value) -> bool {
        includes_usage(body)
    }
}
