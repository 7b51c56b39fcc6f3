//! The scripted requests of `POST /v1/responses`.

use lar_base::{Code, Problem};
use lar_compat::openai::error;
use lar_compat::openai::responses::{ResponsesEncoder, ResponsesInput, UndecodedResponseRequest};
use lar_compat::{Encoder as _, Frame};
use lar_inference::{TaskEvent, cancelled_problem};
use serde_json::{Value, json};

use crate::output::{Output, text_of};
use crate::play::Forms::{Both, Stream, Whole};
use crate::play::{
    Api, RECEIVED_AT, Respond, check_names, data, for_each_event, pretty, prompt, stream, task, text, with,
};
use crate::scripts::{Step, named};

/// The number of the last event that a returning client has seen.
const SEEN: u64 = 4;

/// A decoded request for a response.
pub(crate) struct ResponsesRequest(ResponsesInput);

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let logprobs = json!({ "include": ["message.output_text.logprobs"], "top_logprobs": 2 });
    let mut snapshots = crate::play::snapshots::<ResponsesRequest>(
        "responses",
        [
            ("text", "text", Both, plain()),
            ("reasoning", "reasoning", Stream, plain()),
            ("call", "call", Stream, with_tools()),
            ("several_calls", "several_calls", Whole, with_tools()),
            ("cut_call", "cut_call", Both, with_tools()),
            ("array_call", "array_call", Whole, with_tools()),
            ("cut_custom_call", "cut_custom_call", Both, with_tools()),
            ("custom_call", "custom_call", Both, with_tools()),
            ("namespaced_call", "namespaced_call", Whole, with_tools()),
            ("refusal", "refusal", Whole, plain()),
            ("empty", "empty", Stream, plain()),
            ("length", "length", Whole, request(json!({ "max_output_tokens": 2 }))),
            ("queued", "queued", Stream, plain()),
            ("cancelled_in_queue", "cancelled_in_queue", Stream, plain()),
            ("cancelled_in_reasoning", "cancelled_in_reasoning", Stream, plain()),
            ("cancelled_in_text", "cancelled_in_text", Stream, plain()),
            ("cancelled_in_call", "cancelled_in_call", Stream, with_tools()),
            ("failed_at_start", "failed_at_start", Stream, plain()),
            ("failed_in_text", "failed_in_text", Stream, plain()),
            ("cancelled_in_custom_call", "cancelled_in_custom_call", Stream, with_tools()),
            ("failed_in_custom_call", "failed_in_custom_call", Stream, with_tools()),
            ("logprobs", "logprobs", Both, request(logprobs)),
        ],
    );
    snapshots.push(("responses_stream_starting_after".into(), text(&frames_starting_after())));
    snapshots.push(("responses_stream_not_stored".into(), text(&frames_of_unstored())));
    snapshots
}

/// Returns a request with these fields.
fn request(more: Value) -> Value {
    with(json!({ "model": "qwen3-4b", "input": prompt() }), more)
}

fn plain() -> Value {
    request(json!({}))
}

/// Returns a request with two functions, a custom tool and a namespace.
pub(crate) fn with_tools() -> Value {
    let function = |name: &str| json!({ "type": "function", "name": name });
    let custom = json!({ "type": "custom", "name": "shell" });
    let namespace = json!({ "type": "namespace", "name": "files", "tools": [function("read")] });
    request(json!({ "tools": [function("weather"), function("time"), custom, namespace] }))
}

/// Returns the frames for a client that returns to a stream.
fn frames_starting_after() -> Vec<Frame> {
    let (encoder, script) = (|| ResponsesRequest::decode(&plain()).encoder(), named("queued"));
    let all = data(&stream(&mut encoder(), &script));
    let frames = stream(&mut encoder().starting_after(Some(SEEN)), &script);
    assert_eq!(frames.len(), data(&frames).len(), "queue positions are left out");
    assert_eq!(data(&frames), all[SEEN as usize + 1..]);
    frames
}

/// Returns the frames of a stream whose response cannot be stored.
fn frames_of_unstored() -> Vec<Frame> {
    let mut encoder = ResponsesRequest::decode(&plain()).encoder();
    let mut frames = stream(&mut encoder, &named("text"));
    let problem = Problem::new(Code::StorageFull, "the disk is full");
    encoder.fail_before_end(&mut frames, &problem);
    ResponsesRequest::check_frames(&frames);
    ResponsesRequest::check_failure(&data(&frames), &problem);
    frames
}

/// Adds the end of an answer, which a complete response has.
fn add_end(output: &mut Output, response: &Value) {
    output.finish = json!([response["status"], response["incomplete_details"]]);
    output.usage = response["usage"].clone();
}

impl Respond for ResponsesRequest {
    type Encoder = ResponsesEncoder;

    fn encoder(self) -> ResponsesEncoder {
        ResponsesEncoder::new(task(), self.0.response, self.0.tools, RECEIVED_AT)
    }

    fn whole(self, script: &[Step]) -> Result<String, Problem> {
        let (mut encoder, mut result) = (self.encoder(), Ok(()));
        for_each_event(script, |event| match event.event {
            TaskEvent::Error(problem) => result = Err(problem.clone()),
            TaskEvent::Cancelled => result = Err(cancelled_problem()),
            _ => encoder.add(event),
        });
        result?;
        assert!(encoder.is_over(), "the response has no end");
        Ok(pretty(&encoder.into_response()))
    }
}

impl Api for ResponsesRequest {
    fn decode(body: &Value) -> Self {
        let undecoded = UndecodedResponseRequest::read(body.to_string().as_bytes()).unwrap();
        Self(undecoded.decode(Vec::new(), task(), RECEIVED_AT).unwrap())
    }

    fn error(problem: &Problem) -> String {
        pretty(&error::body(problem))
    }

    fn check_frames(frames: &[Frame]) {
        check_names(frames);
        let events = data(frames);
        let names: Vec<&str> = events.iter().map(|event| text_of(&event["type"])).collect();
        assert_eq!(names.first(), Some(&"response.created"));
        let end = names.iter().position(|name| {
            matches!(*name, "response.completed" | "response.incomplete" | "response.failed")
        });
        assert_eq!(end, Some(names.len() - 1), "the last event, and no other, ends the response");
        let (mut items, mut is_open) = (Vec::new(), false);
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
            match names[number] {
                "response.output_item.added" => {
                    assert!(!is_open, "the item before it is not done");
                    assert_eq!(event["output_index"], items.len());
                    is_open = true;
                }
                "response.output_item.done" => {
                    assert!(is_open, "the item was not added");
                    items.push(event["item"].clone());
                    is_open = false;
                }
                _ => {}
            }
        }
        assert!(!is_open, "the last item is not done");
        assert_eq!(events[events.len() - 1]["response"]["output"], Value::Array(items));
    }

    /// Checks the last event: its response has the error, or is cancelled.
    fn check_failure(data: &[Value], problem: &Problem) {
        let last = data.last().unwrap();
        let (kind, response) = (text_of(&last["type"]), &last["response"]);
        if problem.code == Code::Cancelled {
            assert_eq!((kind, text_of(&response["status"])), ("response.incomplete", "cancelled"));
        } else {
            assert_eq!((kind, text_of(&response["status"])), ("response.failed", "failed"));
            assert_eq!(text_of(&response["error"]["message"]), problem.detail);
        }
    }

    fn streamed(data: &[Value]) -> Vec<Output> {
        let mut output = Output::default();
        for event in data {
            let delta = text_of(&event["delta"]);
            match text_of(&event["type"]) {
                "response.output_text.delta" => output.text += delta,
                "response.reasoning_text.delta" => output.reasoning += delta,
                "response.output_item.added" => output.add_call(&event["item"]["name"], ""),
                "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                    output.add_call(&Value::Null, delta);
                }
                "response.completed" | "response.incomplete" => add_end(&mut output, &event["response"]),
                _ => {}
            }
        }
        vec![output]
    }

    fn collected(body: &Value) -> Vec<Output> {
        let mut output = Output::default();
        for item in body["output"].as_array().unwrap() {
            let text = text_of(&item["content"][0]["text"]);
            match text_of(&item["type"]) {
                "message" => output.text += text,
                "reasoning" => output.reasoning += text,
                "function_call" => output.add_call(&item["name"], text_of(&item["arguments"])),
                "custom_tool_call" => output.add_call(&item["name"], text_of(&item["input"])),
                kind => panic!("an item has the unknown type `{kind}`"),
            }
        }
        add_end(&mut output, body);
        vec![output]
    }
}
