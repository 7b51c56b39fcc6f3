//! `/mcp` with bodies that a strict JSON parser rejects and the SDKs never send. The SDKs run in
//! `tests/conformance`.

use lar_tests::{Answer, Lar};
use serde_json::Value;

fn post(lar: &Lar, path: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        lar.address,
        Lar::KEY,
        body.len()
    );
    lar.raw(&head, body)
}

#[test]
fn tool_call_bodies_are_parsed_as_leniently_as_in_other_apis() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let call = |id: u32, content: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"memory_save\",\
             \"arguments\":{{\"content\":\"{content}\",\"kind\":\"note\"}}}}}}"
        )
    };
    let saved = |answer: &Answer| -> Value {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let result = answer.json()["result"].clone();
        assert_ne!(result["isError"], true, "{result}");
        result["structuredContent"]["memory"]["content"].clone()
    };
    // Half of an emoji, as JavaScript and Python write a text that was cut in its middle, and duplicate
    // member names.
    let half = post(&lar, "/mcp", call(1, "The fern needs water \\ud83d").as_bytes());
    assert_eq!(saved(&half), "The fern needs water \u{fffd}");
    let marked = [b"\xef\xbb\xbf", call(2, "Ada flies to Oslo in May").as_bytes()].concat();
    assert_eq!(saved(&post(&lar, "/mcp", &marked)), "Ada flies to Oslo in May");
    for broken in [b"{".as_slice(), b"\xff\xfe", b""] {
        assert_eq!(post(&lar, "/mcp", broken).status, 400, "{broken:?}");
    }

    let half = post(&lar, "/bridge/ingest", b"\xef\xbb\xbf{\"content\":\"The moss is wet \\ud83d\"}");
    assert_eq!((half.status, &half.json()["success"]), (200, &Value::Bool(true)), "{}", half.body);
}
