//! The wire format of `/v1/messages`, Anthropic's API. The SDKs run in `tests/conformance`.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

fn message(more: Value) -> Value {
    let mut body = json!({
        "model": "default", "max_tokens": 8, "temperature": 0,
        "messages": [{ "role": "user", "content": "Say hello." }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The events of a stream without texts, ids and values that differ from run to run. Equal events in a row
/// are listed once.
fn redacted(answer: &Answer) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    for (name, mut data) in answer.events() {
        assert_eq!(data["type"], name, "the data repeats the name of the event");
        for (pointer, start) in [("/message/id", "msg_"), ("/content_block/id", "toolu_")] {
            if let Some(id) = data.pointer_mut(pointer) {
                assert!(id.as_str().unwrap().starts_with(start), "{id}");
                *id = start.into();
            }
        }
        // The number of cached tokens depends on earlier requests.
        for pointer in ["/message/usage", "/usage"] {
            if let Some(Value::Object(usage)) = data.pointer_mut(pointer) {
                usage.retain(|field, _| field == "output_tokens" || field == "cache_creation_input_tokens");
            }
        }
        for pointer in ["/delta/text", "/delta/partial_json"] {
            if let Some(text) = data.pointer_mut(pointer) {
                *text = "…".into();
            }
        }
        if events.last() != Some(&data) {
            events.push(data);
        }
    }
    events
}

#[test]
fn messages_and_streams_have_anthropics_wire_format() {
    let lar = Lar::start();
    let answer = lar.post("/v1/messages", &message(json!({})));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let whole = answer.json();
    assert!(whole["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(
        (&whole["type"], &whole["role"], &whole["stop_reason"]),
        (&json!("message"), &json!("assistant"), &json!("max_tokens"))
    );
    assert_eq!(whole["usage"]["output_tokens"], 8);
    let text = whole["content"][0]["text"].as_str().unwrap();

    let streamed = lar.post("/v1/messages", &message(json!({ "stream": true })));
    assert!(streamed.head.contains("content-type: text/event-stream"), "{}", streamed.head);
    let pieces: String =
        streamed.events().iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(pieces, text, "greedy decoding gives the same text");
    let message_start = json!({
        "type": "message_start",
        "message": { "id": "msg_", "type": "message", "role": "assistant", "model": "smollm2-135m-instruct", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": { "cache_creation_input_tokens": 0, "output_tokens": 0 } },
    });
    let ended = |reason: &str, tokens: u64| {
        [
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null },
                "usage": { "cache_creation_input_tokens": 0, "output_tokens": tokens } }),
            json!({ "type": "message_stop" }),
        ]
    };
    let events: Vec<Value> =
        redacted(&streamed).into_iter().filter(|event| event["type"] != "ping").collect();
    let mut expected = vec![
        message_start.clone(),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "…" } }),
    ];
    expected.extend(ended("max_tokens", 8));
    assert_eq!(events, expected);

    let tool = json!({ "name": "get_weather", "description": "The weather of a city", "input_schema": {
        "type": "object", "properties": { "city": { "type": "string", "enum": ["Paris"] } }, "required": ["city"],
        "additionalProperties": false } });
    let calling = json!({ "stream": true, "max_tokens": 60, "tools": [tool], "tool_choice": { "type": "any", "disable_parallel_tool_use": true } });
    let called = lar.post("/v1/messages", &message(calling));
    let arguments: String =
        called.events().iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({ "city": "Paris" }));
    let events: Vec<Value> = redacted(&called).into_iter().filter(|event| event["type"] != "ping").collect();
    let tokens = events[events.len() - 2]["usage"]["output_tokens"].as_u64().unwrap();
    let block = json!({ "type": "tool_use", "id": "toolu_", "name": "get_weather", "input": {} });
    let mut expected = vec![
        message_start,
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "input_json_delta", "partial_json": "…" } }),
    ];
    expected.extend(ended("tool_use", tokens));
    assert_eq!(events, expected);
}

#[test]
fn extra_request_fields_are_used_listed_as_ignored_or_refused() {
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 256\n");
    let refused = |more: Value| {
        let answer = lar.post("/v1/messages", &message(more));
        assert_eq!(answer.status, 400, "{}", answer.body);
        answer.json()["error"].clone()
    };
    for thread in [json!({ "type": "create" }), json!({ "type": "continue", "previous_message_id": "msg_x" })]
    {
        assert_eq!(
            refused(json!({ "thread": thread })),
            json!({
                "type": "invalid_request_error",
                "message": "`thread` is not supported: send the whole conversation without it",
                "details": { "error_code": "thread_unsupported_request", "unsupported": ["thread"] },
            })
        );
    }
    assert_eq!(refused(json!({ "compaction": { "type": "enabled" } }))["type"], "invalid_request_error");
    let long = refused(json!({ "messages": [{ "role": "user", "content": "word ".repeat(400) }] }));
    let message_text = long["message"].as_str().unwrap();
    let numbers: Vec<u32> =
        message_text.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok()).collect();
    assert!(
        message_text.starts_with("prompt is too long: ") && message_text.contains(" tokens > 255 maximum"),
        "{message_text}"
    );
    assert!(numbers[0] > 400, "{message_text}");
    let picture =
        json!([{ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "" } }]);
    assert_eq!(
        refused(json!({ "messages": [{ "role": "user", "content": picture }] }))["message"],
        "`messages[0].content[0].type` is `image`, which is not supported: this model reads text only"
    );

    let cache = json!({ "type": "ephemeral" });
    let conversation = json!({
        "fallbacks": "default", "billing_policy": { "type": "billing_policy", "bill_to": "self" },
        "fallback_credit_token": "x", "thread": null, "cache_control": cache,
        "system": [{ "type": "text", "text": "You are brief.", "cache_control": cache }],
        "messages": [
            { "role": "user", "content": [
                { "type": "document", "title": "Note", "source": { "type": "text", "media_type": "text/plain", "data": "The door is red." }, "cache_control": cache },
                { "type": "search_result", "source": "https://x", "title": "T", "content": [{ "type": "text", "text": "y" }] },
                { "type": "text", "text": "What colour is the door?" },
            ] },
            { "role": "assistant", "content": [
                { "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": { "query": "door" } },
                { "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [] },
                { "type": "tool_use", "id": "toolu_1", "name": "look", "input": {} },
            ] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "content": [{ "type": "tool_reference", "tool_name": "look" }] }] },
            { "role": "assistant", "content": [] },
            { "role": "user", "content": "And?" },
        ],
    });
    let read = lar.post("/v1/messages", &message(conversation));
    assert_eq!(read.status, 200, "{}", read.body);
    assert!(
        read.head
            .contains("x-lar-ignored: billing_policy, cache_control, fallback_credit_token, fallbacks\r\n"),
        "{}",
        read.head
    );
    let counted = |text: &str| {
        let content = json!([{ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": text } }]);
        let body = json!({ "model": "default", "messages": [{ "role": "user", "content": content }], "compaction": { "type": "enabled" } });
        lar.post("/v1/messages/count_tokens", &body).json()["input_tokens"].as_u64().unwrap()
    };
    assert_eq!(counted("one two three") - counted("one two"), 1, "the text of a document is in the prompt");
}
