//! `/lar/v1/tasks`: made durably, followed, resumed, stopped.

use std::io::Read as _;

use lar_tests::Lar;
use serde_json::{Value, json};

fn long(more: Value) -> Value {
    let mut body = json!({
        "workload": "completion", "prompt": "Once upon a time", "max_tokens": 400, "detached": true,
        "temperature": 0, // This one goes on; sampled ones end early now and then.
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn make(lar: &Lar, body: &Value) -> String {
    let taken = lar.post("/lar/v1/tasks", body);
    assert_eq!(taken.status, 202, "{}", taken.body);
    taken.json()["task_id"].as_str().unwrap().to_owned()
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !matches!(*name, "metrics" | "queued"))
        .collect()
}

#[test]
fn a_task_streams_to_one_end_and_resumes() {
    let lar = Lar::start();
    let id = make(&lar, &long(json!({ "max_tokens": 20 })));
    let all = lar.get(&format!("/lar/v1/tasks/{id}/stream"));
    let events = all.events();
    let kinds = names(&events);
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("started", "end"));
    assert_eq!(kinds.iter().filter(|kind| matches!(**kind, "end" | "error" | "cancelled")).count(), 1);
    let last = all
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back()
        .unwrap()
        .parse::<usize>()
        .unwrap();
    let resume = lar
        .head("GET", &format!("/lar/v1/tasks/{id}/stream"), 0)
        .replace("\r\n\r\n", &format!("\r\nlast-event-id: {}\r\n\r\n", last - 1));
    assert_eq!(names(&lar.raw(&resume, b"").events()), ["end"], "only what was missed comes again");
    let task = lar.until("the record", |lar| {
        let task = lar.get(&format!("/lar/v1/tasks/{id}")).json();
        (task["state"] == "end").then_some(task)
    });
    assert_eq!((task["tokens_out"].clone(), task["finish_reason"].clone()), (json!(20), json!("length")));
}

#[test]
fn cancelling_is_confirmed_and_ends_once() {
    let lar = Lar::start();
    let id = make(&lar, &long(json!({ "max_tokens": 4000 })));
    for _ in 0..2 {
        assert_eq!(lar.post(&format!("/lar/v1/tasks/{id}/cancel"), &Value::Null).status, 204);
    }
    let events = lar.get(&format!("/lar/v1/tasks/{id}/stream")).events();
    assert_eq!(names(&events).last(), Some(&"cancelled"));
    assert_eq!(
        lar.post("/lar/v1/tasks/task_00000000000000000000000000000000/cancel", &Value::Null).status,
        404
    );
}

#[test]
fn cancelled_tasks_are_reported_as_cancelled_in_every_api() {
    let lar = Lar::start_with("[engines]\nconcurrency = 1\n");
    // Greedily it counts on for as long as it may: the others wait, and are cancelled while they do.
    let running = make(&lar, &long(json!({ "prompt": "1, 2,", "max_tokens": 3000 })));
    lar.until("it to run", |lar| {
        (lar.get("/lar/v1/pools").json()["data"][0]["active_leases"] == 1).then_some(())
    });
    let chat = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 9 });
    let mut last = running.clone();
    for (path, body) in [
        ("/v1/chat/completions", chat.clone()),
        ("/v1/completions", json!({ "prompt": "hi" })),
        ("/v1/responses", json!({ "input": "hi" })),
        ("/v1/messages", chat.clone()),
        ("/api/chat", json!({ "messages": chat["messages"] })),
        ("/api/generate", json!({ "prompt": "hi" })),
        ("/completion", json!({ "prompt": "hi" })),
    ] {
        for streams in [false, true] {
            let mut body = body.clone();
            (body["model"], body["stream"]) = (json!("default"), json!(streams));
            let answer = std::thread::scope(|threads| {
                let asked = threads.spawn(|| lar.post(path, &body));
                last = lar.until("the request to wait", |lar| {
                    let task = lar.get("/lar/v1/tasks?limit=1").json()["data"][0].clone();
                    task["id"].as_str().filter(|id| *id != last).map(ToOwned::to_owned)
                });
                assert_eq!(lar.post(&format!("/lar/v1/tasks/{last}/cancel"), &Value::Null).status, 204);
                asked.join().unwrap()
            });
            assert_eq!(answer.status, if streams { 200 } else { 499 }, "{path}: {}", answer.body);
            assert_eq!(answer.head.contains("x-should-retry: false"), !streams, "{path}: {}", answer.head);
            let reported = if !streams {
                answer.json()
            } else if path.starts_with("/api/") {
                serde_json::from_str(answer.body.lines().last().unwrap()).unwrap()
            } else {
                let events = answer.events().into_iter().rev();
                events.map(|(_, data)| data).find(Value::is_object).unwrap()
            };
            let message = "the task was cancelled";
            match path {
                "/v1/responses" if streams => {
                    assert_eq!(reported["response"]["status"], "cancelled", "{reported}")
                }
                "/api/chat" | "/api/generate" => assert_eq!(reported, json!({ "error": message })),
                _ => {
                    let error = &reported["error"];
                    assert_eq!((&error["type"], &error["message"]), (&json!("cancelled"), &json!(message)));
                    let code = match path {
                        "/v1/messages" => Value::Null,
                        "/completion" => json!(499),
                        _ => json!("cancelled"),
                    };
                    assert_eq!(error["code"], code, "{path}: {reported}");
                }
            }
        }
    }
    assert_eq!(lar.post(&format!("/lar/v1/tasks/{running}/cancel"), &Value::Null).status, 204);
}

#[test]
fn a_deadline_ends_a_running_task() {
    let lar = Lar::start();
    let _ = make(&lar, &long(json!({ "max_tokens": 1 })));
    let id = make(&lar, &long(json!({ "max_tokens": 4000, "deadline_ms": 8000 })));
    let short = make(&lar, &long(json!({ "max_tokens": 4000, "deadline_ms": 2500 })));
    let (_, end) = lar.get(&format!("/lar/v1/tasks/{short}/stream")).events().pop().unwrap();
    assert_eq!(end["code"], "DEADLINE_EXCEEDED", "{end}");
    let _ = lar.post(&format!("/lar/v1/tasks/{id}/cancel"), &Value::Null);
}

#[test]
fn a_disconnect_frees_the_slot() {
    let lar = Lar::start_with("[engines]\nconcurrency = 1\n");
    let body = json!({
        "model": "default", "stream": true, "max_tokens": 4000,
        "messages": [{ "role": "user", "content": "Tell me a very long story." }],
    })
    .to_string();
    let mut socket = lar.open(&lar.head("POST", "/v1/chat/completions", body.len()), body.as_bytes());
    let mut first = [0; 64];
    socket.read_exact(&mut first).unwrap();
    drop(socket);
    lar.until("the place to be free", |lar| {
        (lar.get("/lar/v1/pools").json()["data"][0]["active_leases"] == 0).then_some(())
    });
    let last = lar.until("the record", |lar| {
        let tasks = lar.get("/lar/v1/tasks?limit=1").json();
        let state = tasks["data"][0]["state"].clone();
        (state.is_string() && state != "running").then_some(state)
    });
    assert_eq!(last, "cancelled");
}

#[test]
fn a_full_queue_refuses_with_numbers() {
    let lar = Lar::start_with("[engines]\nconcurrency = 1\n[limits]\nqueue_len_max = 1\n");
    let running = make(&lar, &long(json!({ "max_tokens": 4000 })));
    lar.until("the first to run", |lar| {
        (lar.get("/lar/v1/pools").json()["data"][0]["active_leases"] == 1).then_some(())
    });
    let waiting = lar.post("/lar/v1/tasks", &long(json!({})));
    assert_eq!((waiting.status, waiting.json()["queue_position"].clone()), (202, json!(0)));
    let refused = lar.post("/lar/v1/tasks", &long(json!({})));
    assert_eq!(
        (refused.status, refused.json()["code"].clone()),
        (429, json!("QUEUE_FULL")),
        "{}",
        refused.body
    );
    assert!(refused.head.contains("retry-after: "));
    let _ = lar.post(&format!("/lar/v1/tasks/{running}/cancel"), &Value::Null);
}

#[test]
fn errors_of_strict_bodies_name_the_field() {
    let lar = Lar::start();
    let detail_of = |body: Value| {
        lar.post("/lar/v1/tasks", &body).json()["detail"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(
        detail_of(json!({ "workload": "completion", "promt": "x" })),
        "`promt` is unknown; did you mean `prompt`?"
    );
    assert_eq!(detail_of(json!({})), "`workload` is missing");
    assert_eq!(
        detail_of(json!({ "workload": "completion" })),
        "`messages` or `prompt` is needed for a completion"
    );
    assert_eq!(
        detail_of(json!({ "workload": "completion", "prompt": "x", "temperature": 9 })),
        "`temperature` must be from 0 to 2, is 9"
    );
}
