//! `/v1/responses`, where OpenAI's client does not reach: keys of others, a server that dies.

use lar_tests::Lar;
use serde_json::{Value, json};

fn hello(more: Value) -> Value {
    let mut body = json!({ "model": "default", "input": "Say hello.", "max_output_tokens": 8 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_response_is_its_keys_alone() {
    let lar = Lar::start();
    let made = lar.post("/v1/responses", &hello(json!({})));
    assert_eq!(made.status, 200, "{}", made.body);
    let path = format!("/v1/responses/{}", id(&made.json()));
    assert_eq!(lar.get(&path).json(), made.json());

    let key = lar.post("/lar/v1/keys", &json!({ "name": "another" })).json();
    let other = |method: &str, path: &str, body: &str| {
        let head = lar.head(method, path, body.len()).replace(Lar::KEY, key["secret"].as_str().unwrap());
        lar.raw(&head, body.as_bytes())
    };
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/cancel")),
        ("GET", format!("{path}/input_items")),
        ("GET", format!("{path}?stream=true")),
    ] {
        let refused = other(method, &path, "");
        assert_eq!(refused.status, 404, "{method} {path}: {}", refused.body);
    }
    let on = hello(json!({ "previous_response_id": id(&made.json()) })).to_string();
    assert_eq!(other("POST", "/v1/responses", &on).status, 404);
    assert_eq!(lar.get(&path).status, 200, "it is still there");
    assert_eq!(lar.send("DELETE", &path, &Value::Null).json()["deleted"], true);
    assert_eq!(lar.get(&path).status, 404);
}

#[test]
fn what_is_under_way_when_the_server_dies_has_failed() {
    let directory = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(directory.path());
    let over = lar.post("/v1/responses", &hello(json!({}))).json();
    let long = hello(json!({ "background": true, "max_output_tokens": 6000, "input": "Tell a long story." }));
    let running = lar.post("/v1/responses", &long);
    assert_eq!(running.json()["status"], "queued", "{}", running.body);
    lar.kill();

    let lar = Lar::start_on(directory.path());
    let found = lar.get(&format!("/v1/responses/{}", id(&running.json()))).json();
    assert_eq!((&found["status"], &found["error"]["code"]), (&json!("failed"), &json!("server_error")));
    assert_eq!(lar.get(&format!("/v1/responses/{}", id(&over))).json(), over);
    let on = lar.post("/v1/responses", &hello(json!({ "previous_response_id": id(&over) })));
    assert_eq!(on.status, 200, "{}", on.body);
}

#[test]
fn references_to_stored_items_are_read_as_the_items() {
    let lar = Lar::start();
    let weather = json!({ "type": "function", "name": "weather", "parameters": {
        "type": "object", "properties": { "city": { "enum": ["Oslo"] } }, "required": ["city"] } });
    let ask = json!({ "type": "message", "role": "user", "content": "Weather in Oslo?" });
    let first = lar.post(
        "/v1/responses",
        &hello(
            json!({ "input": [ask], "tools": [weather], "tool_choice": "required", "max_output_tokens": 64 }),
        ),
    );
    assert_eq!(first.status, 200, "{}", first.body);
    let call = first.json()["output"][0].clone();
    assert_eq!(call["type"], "function_call", "{}", first.body);
    let result = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "Sunny" });
    let asked = |referred: Value| {
        lar.post("/v1/responses", &hello(json!({ "input": [ask, referred, result], "tools": [weather] })))
    };
    let reference = json!({ "type": "item_reference", "id": call["id"] });
    let (sent, referred) = (asked(call.clone()), asked(reference.clone()));
    assert_eq!(referred.status, 200, "{}", referred.body);
    assert_eq!(referred.json()["usage"]["input_tokens"], sent.json()["usage"]["input_tokens"]);
    assert_eq!(asked(json!({ "id": call["id"] })).status, 200, "the type may be left out");
    // What was stored holds the item itself, so that the next request may go on from it.
    let on = lar.post("/v1/responses", &hello(json!({ "previous_response_id": id(&referred.json()) })));
    assert_eq!(on.status, 200, "{}", on.body);

    let gone = asked(json!({ "type": "item_reference", "id": "msg_1" }));
    assert_eq!((gone.status, &gone.json()["error"]["param"]), (404, &json!("input[1].id")), "{}", gone.body);
    let key = lar.post("/lar/v1/keys", &json!({ "name": "another" })).json();
    let body = hello(json!({ "input": [ask, reference, result] })).to_string();
    let head =
        lar.head("POST", "/v1/responses", body.len()).replace(Lar::KEY, key["secret"].as_str().unwrap());
    assert_eq!(lar.raw(&head, body.as_bytes()).status, 404, "another key's items are not there");
}
