//! The scripted requests of `POST /api/chat` and `POST /api/generate`.

use lar_base::Problem;
use lar_compat::ollama::{OllamaChat, OllamaGenerate, OllamaInput, OllamaStyle, error};
use lar_compat::{Codec, Frame};
use serde_json::{Value, json};

use crate::output::{Output, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{Api, CodecRequest, Respond, data, pretty, prompt, task, with};
use crate::scripts::Step;

/// A decoded request.
pub(crate) enum OllamaRequest {
    /// A request of `/api/chat`.
    Chat(CodecRequest<OllamaChat>),
    /// A request of `/api/generate`.
    Generate(CodecRequest<OllamaGenerate>),
}

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let plain = || chat(json!({}));
    let chats = crate::play::snapshots::<OllamaRequest>(
        "ollama_chat",
        [
            ("text", "text", Both, plain()),
            ("thinking", "reasoning", Both, plain()),
            ("thinking_hidden", "reasoning", Whole, chat(json!({ "think": false }))),
            ("call", "call", Both, chat_with_tools()),
            ("several_calls", "several_calls", Stream, chat_with_tools()),
            ("cut_call", "cut_call", Both, chat_with_tools()),
            ("array_call", "array_call", Both, chat_with_tools()),
            ("refusal", "refusal", Whole, plain()),
            ("length", "length", Whole, chat(json!({ "options": { "num_predict": 2 } }))),
            ("stop_text", "stop_text", Stream, chat(json!({ "options": { "stop": ["###", "three"] } }))),
            ("cancelled_in_queue", "cancelled_in_queue", Stream, plain()),
            ("cancelled_in_text", "cancelled_in_text", Stream, plain()),
            ("cancelled_in_call", "cancelled_in_call", Stream, chat_with_tools()),
            ("failed_at_start", "failed_at_start", Whole, plain()),
            ("failed_in_text", "failed_in_text", Stream, plain()),
            ("logprobs", "logprobs", Stream, chat(json!({ "logprobs": true, "top_logprobs": 2 }))),
        ],
    );
    let earlier = json!([["user", "Hi"], ["assistant", "Hello."]]).to_string().into_bytes();
    let prompts = crate::play::snapshots::<OllamaRequest>(
        "ollama_generate",
        [
            ("text", "text", Both, generate()),
            ("thinking", "reasoning", Stream, with(generate(), json!({ "raw": true }))),
            ("raw", "text", Whole, with(generate(), json!({ "raw": true }))),
            ("continued", "text", Whole, with(generate(), json!({ "context": earlier }))),
        ],
    );
    [chats, prompts].concat()
}

/// Returns a chat with these fields.
fn chat(more: Value) -> Value {
    with(json!({ "model": "qwen3-4b:latest", "messages": [{ "role": "user", "content": prompt() }] }), more)
}

/// Returns a chat with two tools.
pub(crate) fn chat_with_tools() -> Value {
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
    chat(json!({ "tools": [tool("weather"), tool("time")] }))
}

/// Returns a request of `/api/generate` without further fields.
pub(crate) fn generate() -> Value {
    json!({ "model": "qwen3-4b:latest", "prompt": prompt() })
}

/// Adds a whole response, or a line of a stream.
fn add(output: &mut Output, line: &Value) {
    for part in [&line["message"], line] {
        output.text += text_of(&part["content"]);
        output.text += text_of(&part["response"]);
        output.reasoning += text_of(&part["thinking"]);
        for call in part["tool_calls"].as_array().into_iter().flatten() {
            output.add_call(&call["function"]["name"], &call["function"]["arguments"].to_string());
        }
    }
    if line["done"] == true {
        output.finish = line["done_reason"].clone();
        output.usage = json!([line["prompt_eval_count"], line["eval_count"]]);
    }
}

/// Decodes a request and prepares its style as the server does.
fn decode<C: Codec<Input = OllamaInput, Style = OllamaStyle>>(body: &Value) -> CodecRequest<C> {
    let OllamaInput { request, mut style, .. } = C::decode(body.to_string().as_bytes(), task()).unwrap();
    style.set_context(&request.unwrap().prompt);
    CodecRequest { style, answers: 1 }
}

impl Respond for OllamaRequest {
    type Encoder = <OllamaChat as Codec>::Encoder;

    fn encoder(self) -> Self::Encoder {
        match self {
            OllamaRequest::Chat(chat) => chat.encoder(),
            OllamaRequest::Generate(prompt) => prompt.encoder(),
        }
    }

    fn whole(self, script: &[Step]) -> Result<String, Problem> {
        match self {
            OllamaRequest::Chat(chat) => chat.whole(script),
            OllamaRequest::Generate(prompt) => prompt.whole(script),
        }
    }
}

impl Api for OllamaRequest {
    fn decode(body: &Value) -> Self {
        match body.get("messages") {
            Some(_) => OllamaRequest::Chat(decode(body)),
            None => OllamaRequest::Generate(decode(body)),
        }
    }

    fn error(problem: &Problem) -> String {
        pretty(&error::body(problem))
    }

    /// Checks that only the last line is complete, or has an error.
    fn check_frames(frames: &[Frame]) {
        assert!(frames.iter().all(|frame| matches!(frame, Frame::Line(_))), "{frames:?}");
        let lines = data(frames);
        let end = lines.iter().position(|line| line["done"] == true || line["error"].is_string());
        assert_eq!(end, Some(lines.len() - 1));
    }

    fn streamed(data: &[Value]) -> Vec<Output> {
        let mut output = Output::default();
        data.iter().for_each(|line| add(&mut output, line));
        vec![output]
    }

    fn collected(body: &Value) -> Vec<Output> {
        assert_eq!(body["done"], true);
        let mut output = Output::default();
        add(&mut output, body);
        vec![output]
    }
}
