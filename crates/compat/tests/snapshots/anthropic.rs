//! The scripted requests of `POST /v1/messages`.

use lar_base::Problem;
use lar_compat::anthropic::{Messages, error};
use lar_compat::{Codec as _, Frame};
use serde_json::{Value, json};

use crate::output::{Output, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{Api, CodecRequest, check_names, data, pretty, prompt, task, with};

/// A decoded request for a message.
pub(crate) type MessagesRequest = CodecRequest<Messages>;

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let thinking = || request(json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } }));
    crate::play::snapshots::<MessagesRequest>(
        "anthropic",
        [
            ("text", "text", Both, plain()),
            ("thinking", "reasoning", Both, thinking()),
            ("thinking_hidden", "reasoning", Stream, plain()),
            ("call", "call", Both, with_tools()),
            ("several_calls", "several_calls", Stream, with_tools()),
            ("cut_call", "cut_call", Both, with_tools()),
            ("array_call", "array_call", Both, with_tools()),
            ("text_then_call", "text_then_call", Stream, with_tools()),
            ("refusal", "refusal", Whole, plain()),
            ("empty", "empty", Stream, plain()),
            ("length", "length", Stream, request(json!({ "max_tokens": 2 }))),
            ("stop_text", "stop_text", Stream, request(json!({ "stop_sequences": ["###", "three"] }))),
            ("queued", "queued", Stream, plain()),
            ("cancelled_in_queue", "cancelled_in_queue", Stream, plain()),
            ("cancelled_in_reasoning", "cancelled_in_reasoning", Stream, thinking()),
            ("cancelled_in_text", "cancelled_in_text", Stream, plain()),
            ("cancelled_in_call", "cancelled_in_call", Stream, with_tools()),
            ("failed_at_start", "failed_at_start", Whole, plain()),
            ("failed_in_text", "failed_in_text", Stream, plain()),
        ],
    )
}

/// Returns a request with these fields.
fn request(more: Value) -> Value {
    let messages = json!([{ "role": "user", "content": prompt() }]);
    with(json!({ "model": "qwen3-4b", "max_tokens": 64, "messages": messages }), more)
}

fn plain() -> Value {
    request(json!({}))
}

/// Returns a request with two tools.
pub(crate) fn with_tools() -> Value {
    let tool = |name: &str| json!({ "name": name, "input_schema": { "type": "object" } });
    request(json!({ "tools": [tool("weather"), tool("time")] }))
}

/// Adds the end of an answer.
fn add_end(output: &mut Output, ended: &Value, usage: &Value) {
    output.finish = json!([ended["stop_reason"], ended["stop_sequence"]]);
    output.usage = usage.clone();
}

impl Api for MessagesRequest {
    fn decode(body: &Value) -> Self {
        let style = Messages::decode(body.to_string().as_bytes(), task()).unwrap().style;
        Self { style, answers: 1 }
    }

    fn error(problem: &Problem) -> String {
        pretty(&error::body(problem, None))
    }

    /// Checks that blocks start, continue and stop in order, one at a time.
    ///
    /// An error may leave a block open.
    fn check_frames(frames: &[Frame]) {
        check_names(frames);
        let events = data(frames);
        let (mut open, mut blocks) = (None, 0_u64);
        for (number, event) in events.iter().enumerate() {
            let index = event["index"].as_u64();
            let is_last = number + 1 == events.len();
            match text_of(&event["type"]) {
                "message_start" => assert_eq!(number, 0),
                "content_block_start" => {
                    assert_eq!((open, index), (None, Some(blocks)));
                    (open, blocks) = (index, blocks + 1);
                }
                "content_block_delta" => assert!(index.is_some() && index == open, "{event}"),
                "content_block_stop" => {
                    assert!(index.is_some() && index == open, "{event}");
                    open = None;
                }
                "message_delta" => assert!(open.is_none() && number + 2 == events.len(), "{event}"),
                "message_stop" | "error" => assert!(is_last, "{event}"),
                kind => assert_eq!(kind, "ping"),
            }
            assert!(!is_last || matches!(text_of(&event["type"]), "message_stop" | "error"), "{event}");
        }
        assert_eq!(events[0]["type"], "message_start");
    }

    fn streamed(data: &[Value]) -> Vec<Output> {
        let mut output = Output::default();
        for event in data {
            let delta = &event["delta"];
            output.add_call(&event["content_block"]["name"], "");
            output.text += text_of(&delta["text"]);
            output.reasoning += text_of(&delta["thinking"]);
            output.add_call(&Value::Null, text_of(&delta["partial_json"]));
            if event["type"] == "message_delta" {
                add_end(&mut output, delta, &event["usage"]);
            }
        }
        vec![output]
    }

    fn collected(body: &Value) -> Vec<Output> {
        let mut output = Output::default();
        for block in body["content"].as_array().unwrap() {
            output.text += text_of(&block["text"]);
            output.reasoning += text_of(&block["thinking"]);
            if block["type"] == "tool_use" {
                output.add_call(&block["name"], &block["input"].to_string());
            }
        }
        add_end(&mut output, body, &body["usage"]);
        vec![output]
    }

    /// Moves the calls whose arguments are no object into the text.
    ///
    /// A stream sends the arguments before this is known. Without other calls, the body does not ask for results.
    fn whole_of(mut streamed: Vec<Output>) -> Vec<Output> {
        for output in &mut streamed {
            for (name, arguments) in std::mem::take(&mut output.calls) {
                match serde_json::from_str(&arguments) {
                    Ok(Value::Object(_)) => output.calls.push((name, arguments)),
                    _ => output.text += &format!("{name} {arguments}"),
                }
            }
            if output.calls.is_empty() && output.finish == json!(["tool_use", null]) {
                output.finish = json!(["end_turn", null]);
            }
        }
        streamed
    }
}
