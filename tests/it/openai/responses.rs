//! `/v1/responses` beyond what OpenAI's client tests: other keys, a server that dies, failed tasks, clients
//! that disconnect, null fields, and truncation.

use std::io::Read as _;

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
fn a_response_is_visible_to_its_own_key_only() {
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
    assert_eq!(lar.get(&path).status, 200, "the response still exists");
    assert_eq!(lar.send("DELETE", &path, &Value::Null).json()["deleted"], true);
    assert_eq!(lar.get(&path).status, 404);
}

#[test]
fn responses_in_progress_fail_when_the_server_dies() {
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
fn a_background_response_is_stored_before_its_end_is_streamed() {
    let lar = Lar::start();
    let body = hello(json!({ "background": true, "stream": true })).to_string();
    let ends = ["event: response.completed\n", "event: response.incomplete\n"];
    for _ in 0..5 {
        let mut socket = lar.open(&lar.head("POST", "/v1/responses", body.len()), body.as_bytes());
        let (mut streamed, mut part) = (String::new(), [0; 4096]);
        let end = loop {
            let bytes = socket.read(&mut part).unwrap();
            assert_ne!(bytes, 0, "{streamed}");
            streamed += &String::from_utf8_lossy(&part[..bytes]);
            if let Some(end) = ends.iter().find(|end| streamed.contains(**end)) {
                break end;
            }
        };
        let id: String = streamed[streamed.find("resp_").unwrap()..].chars().take(37).collect();
        let found = lar.get(&format!("/v1/responses/{id}")).json();
        assert!(end.contains(found["status"].as_str().unwrap()), "{end} {found}");
        let on = lar.post("/v1/responses", &hello(json!({ "previous_response_id": id })));
        assert_eq!(on.status, 200, "{}", on.body);
        let again = lar.get(&format!("/v1/responses/{id}?stream=true"));
        assert!(again.body.contains(end), "{}", again.body);
    }
}

#[test]
fn clients_that_disconnect_leave_no_response_without_an_end() {
    let lar = Lar::start();
    let body = hello(json!({ "background": true })).to_string();
    for requests in 0..10 {
        let socket = lar.open(&lar.head("POST", "/v1/responses", body.len()), body.as_bytes());
        // Each client disconnects a little later than the one before.
        for _ in 0..requests {
            assert_eq!(lar.get("/v1/models").status, 200);
        }
        drop(socket);
    }
    let last = lar.post("/v1/responses", &hello(json!({})));
    assert_eq!(last.status, 200, "{}", last.body);
    lar.until("the end of all responses", |lar| {
        let tasks = lar.get("/lar/v1/tasks").json();
        let has_ended = |task: &Value| {
            let id = task["id"].as_str().unwrap().replace("task_", "resp_");
            let status = lar.get(&format!("/v1/responses/{id}")).json()["status"].clone();
            status == "completed" || status == "incomplete"
        };
        tasks["data"].as_array().unwrap().iter().all(has_ended).then_some(())
    });
}

#[test]
fn null_fields_of_stored_items_and_tools_are_absent() {
    let lar = Lar::start();
    let input = json!([
        { "type": null, "id": null, "role": "user", "content": "Say hello." },
        { "type": "reasoning", "summary": null, "content": [{ "type": "reasoning_text", "text": "Hm." }] },
        { "type": "message", "role": "assistant", "content": "Hello." },
        { "role": "user", "content": "Note that." },
    ]);
    let first = lar.post("/v1/responses", &hello(json!({ "input": input })));
    assert_eq!(first.status, 200, "{}", first.body);
    let on = lar.post("/v1/responses", &hello(json!({ "previous_response_id": id(&first.json()) })));
    assert_eq!(on.status, 200, "{}", on.body);
    let items = lar.get(&format!("/v1/responses/{}/input_items?order=asc", id(&first.json()))).json();
    let first_item = &items["data"][0];
    assert_eq!(first_item["type"], "message");
    assert!(first_item["id"].as_str().unwrap().starts_with("item_"), "{first_item}");

    let tool =
        json!({ "type": "custom", "name": "note", "description": null, "format": null, "tools": null });
    let more =
        json!({ "background": true, "tools": [tool], "tool_choice": "required", "max_output_tokens": 64 });
    let path = format!("/v1/responses/{}", id(&lar.post("/v1/responses", &hello(more)).json()));
    let ended = lar.until("the end of the response", |lar| {
        let found = lar.get(&path).json();
        (found["status"] != "queued").then_some(found)
    });
    assert_eq!(ended["output"][0]["type"], "custom_tool_call", "{ended}");
}

/// Kills a worker during an answer. The failure is logged where the task ends, and not again by those who
/// read the task.
#[test]
fn a_failed_task_is_logged_in_one_line_with_its_request_id() {
    let messages = json!([{ "role": "user", "content": "Tell a long story." }]);
    let chat = |stream: bool| json!({ "model": "default", "messages": messages, "max_tokens": 3000, "temperature": 0, "stream": stream });
    // A streamed background response has two readers: one streams it, one stores it.
    let followed = hello(json!({
        "background": true, "stream": true, "input": "Tell a long story.", "max_output_tokens": 3000, "temperature": 0,
    }));
    for (path, body, expected) in [
        ("/v1/responses", followed, "event: response.failed\n"),
        ("/v1/chat/completions", chat(true), "data: {\"error\":"),
        ("/v1/chat/completions", chat(false), "HTTP/1.1 502 "),
    ] {
        let mut lar = Lar::start_logging("", "warn");
        let body = body.to_string();
        let head = lar.head("POST", path, body.len());
        let head = head.replace("\r\n\r\n", "\r\nx-request-id: request-of-a-fault\r\n\r\n");
        let mut socket = lar.open(&head, body.as_bytes());
        lar.kill_workers();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(expected), "{path}: {answer}");
        let tasks = lar.until("the recording of the task", |lar| {
            let tasks = lar.get("/lar/v1/tasks").json();
            (tasks["data"][0]["state"] == "error").then_some(tasks)
        });
        assert_eq!(tasks["data"].as_array().unwrap().len(), 1, "{tasks}");
        let task = &tasks["data"][0];
        let _ = lar.get(&format!("/lar/v1/tasks/{}/stream", task["id"].as_str().unwrap()));

        assert_eq!(lar.stop(), Some(0), "the log is written when the server stops");
        let log = std::fs::read_to_string(lar.data().join("log")).unwrap();
        let lines: Vec<Value> = log
            .lines()
            .filter(|line| line.contains("request-of-a-fault"))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 1, "{path}: {log}");
        let line = &lines[0];
        let logged = json!([line["level"], line["message"], line["request_id"], line["task"], line["code"]]);
        let failed = json!(["warn", "a task failed", "request-of-a-fault", task["id"], "ENGINE_FAILED"]);
        assert_eq!(logged, failed, "{path}: {log}");
        assert_eq!(log.matches("\"message\":\"a task failed").count(), 1, "{path}: {log}");
    }
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
    // The stored response contains the item itself, so the next request can continue from it.
    let on = lar.post("/v1/responses", &hello(json!({ "previous_response_id": id(&referred.json()) })));
    assert_eq!(on.status, 200, "{}", on.body);

    let gone = asked(json!({ "type": "item_reference", "id": "msg_1" }));
    assert_eq!((gone.status, &gone.json()["error"]["param"]), (404, &json!("input[1].id")), "{}", gone.body);
    let key = lar.post("/lar/v1/keys", &json!({ "name": "another" })).json();
    let body = hello(json!({ "input": [ask, reference, result] })).to_string();
    let head =
        lar.head("POST", "/v1/responses", body.len()).replace(Lar::KEY, key["secret"].as_str().unwrap());
    assert_eq!(lar.raw(&head, body.as_bytes()).status, 404, "the items of another key are not found");
}

#[test]
fn truncation_auto_drops_the_oldest_items_of_an_input_beyond_the_context() {
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 256\n");
    let mut input: Vec<Value> = (0..40)
        .flat_map(|turn| {
            let text = format!("This is what I say in turn {turn} of our talk.");
            [json!({ "role": "user", "content": text }), json!({ "role": "assistant", "content": "I see." })]
        })
        .collect();
    input.push(json!({ "role": "user", "content": "Say hello." }));
    let ask = |more: Value| {
        let mut body = hello(json!({ "input": input, "instructions": "You are brief." }));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for whole in [json!({}), json!({ "truncation": null }), json!({ "truncation": "disabled" })] {
        assert_eq!(lar.post("/v1/responses", &ask(whole.clone())).status, 400, "{whole}");
    }
    let refused = lar.post("/v1/responses", &ask(json!({ "truncation": "later" })));
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("truncation")));

    let cut = lar.post("/v1/responses", &ask(json!({ "truncation": "auto" })));
    assert_eq!(cut.status, 200, "{}", cut.body);
    let left_out = cut.head.lines().find_map(|line| line.strip_prefix("x-lar-truncated: ")).unwrap();
    let left_out: usize = left_out.parse().unwrap();
    assert!((40..80).contains(&left_out), "{left_out}");
    let response = cut.json();
    assert_eq!(response["truncation"], "auto");
    let tokens_in = response["usage"]["input_tokens"].as_u64().unwrap();
    assert!((60..256).contains(&tokens_in), "{tokens_in}");
    assert_eq!(response["timings"]["predicted_n"], response["usage"]["output_tokens"]);
    // As if the client had left the oldest items out, but all that it sent is stored.
    let shorter = lar.post("/v1/responses", &ask(json!({ "input": input[left_out..] })));
    assert_eq!(shorter.json()["usage"]["input_tokens"], tokens_in);
    let items = lar.get(&format!("/v1/responses/{}/input_items?limit=100", id(&response))).json();
    assert_eq!(items["data"].as_array().unwrap().len(), input.len());

    let body = |truncation: &str| json!({ "model": "default", "input": input, "instructions": "You are brief.", "truncation": truncation });
    let counted = |truncation: &str| {
        lar.post("/v1/responses/input_tokens", &body(truncation)).json()["input_tokens"].as_u64().unwrap()
    };
    // This request sets no limit for the answer, so more space is left for one.
    assert!((60..=tokens_in).contains(&counted("auto")));
    assert!(counted("disabled") > 256);
    // A single item that is too long is not cut.
    let long = ask(json!({ "input": "word ".repeat(2000), "truncation": "auto" }));
    assert_eq!(lar.post("/v1/responses", &long).status, 400);
}
