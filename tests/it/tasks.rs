//! `/lar/v1/tasks`: tasks are recorded durably, streamed, resumed and cancelled.

use std::io::Read as _;
use std::thread::JoinHandle;
use std::time::Duration;

use lar_base::Instant;
use lar_tests::Lar;
use serde_json::{Value, json};

fn long(more: Value) -> Value {
    let mut body = json!({
        "workload": "completion", "prompt": "Once upon a time", "max_tokens": 400, "detached": true,
        "temperature": 0, // Greedily, this prompt never ends by itself; sampled answers sometimes do.
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn make(lar: &Lar, body: &Value) -> String {
    let taken = lar.post("/lar/v1/tasks", body);
    assert_eq!(taken.status, 202, "{}", taken.body);
    taken.json()["task_id"].as_str().unwrap().to_owned()
}

/// An answer that ends only when its task is cancelled: it outgrows its context. A thread reads it.
struct EndlessAnswer {
    task: String,
    reader: JoinHandle<()>,
}

impl EndlessAnswer {
    /// Starts the answer on a server without earlier tasks, and waits until it has a slot.
    fn start(lar: &Lar) -> Self {
        let body = json!({
            "model": "default", "prompt": "1, 2,", "max_tokens": 1_000_000, "stream": true, "ignore_eos": true,
            "context_shift": true, "temperature": 0,
        })
        .to_string();
        let mut socket = lar.open(&lar.head("POST", "/v1/completions", body.len()), body.as_bytes());
        let reader = std::thread::spawn(move || {
            let _ = std::io::copy(&mut socket, &mut std::io::sink());
        });
        wait_for_leases(lar, 1);
        let task = lar.until("the recording of the endless answer", newest_task);
        Self { task, reader }
    }

    fn cancel(self, lar: &Lar) {
        assert_eq!(lar.post(&format!("/lar/v1/tasks/{}/cancel", self.task), &Value::Null).status, 204);
        self.reader.join().unwrap();
    }
}

/// Waits until the first pool has this number of active leases.
fn wait_for_leases(lar: &Lar, leases: u32) {
    lar.until(&format!("the state with {leases} active leases"), |lar| {
        (lar.get("/lar/v1/pools").json()["data"][0]["active_leases"] == leases).then_some(())
    });
}

/// The id of the task that was made last.
fn newest_task(lar: &Lar) -> Option<String> {
    lar.get("/lar/v1/tasks?limit=1").json()["data"][0]["id"].as_str().map(ToOwned::to_owned)
}

/// The names of events, without those whose number depends on timing.
fn names(events: &[(String, Value)]) -> Vec<&str> {
    events
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !matches!(*name, "metrics" | "queued"))
        .collect()
}

#[test]
fn a_task_stream_has_one_end_and_can_be_resumed() {
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
    assert_eq!(names(&lar.raw(&resume, b"").events()), ["end"], "only the missed event is sent again");
    let task = lar.until("the recording of the task", |lar| {
        let task = lar.get(&format!("/lar/v1/tasks/{id}")).json();
        (task["state"] == "end").then_some(task)
    });
    assert_eq!((task["tokens_out"].clone(), task["finish_reason"].clone()), (json!(20), json!("length")));
}

#[test]
fn a_cancelled_task_ends_once() {
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
    // The other requests wait behind this answer, and are cancelled while they wait.
    let running = EndlessAnswer::start(&lar);
    let chat = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 9 });
    let mut last = running.task.clone();
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
                last = lar.until("the request", |lar| newest_task(lar).filter(|id| *id != last));
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
    running.cancel(&lar);
}

/// The deadline is a second: no machine writes eight thousand tokens in it. On a slow machine the task may
/// not even have started by then, and ends all the same.
#[test]
fn a_deadline_ends_a_running_task() {
    let lar = Lar::start_with("[engines]\nconcurrency = 1\ncontext_tokens_max = 8192\n");
    let first = make(&lar, &long(json!({ "max_tokens": 1 })));
    let events = lar.get(&format!("/lar/v1/tasks/{first}/stream")).events();
    assert_eq!(names(&events).last(), Some(&"end"), "the model is loaded");
    wait_for_leases(&lar, 0);
    let id = make(&lar, &long(json!({ "max_tokens": 8000, "deadline_ms": 1000 })));
    let (_, end) = lar.get(&format!("/lar/v1/tasks/{id}/stream")).events().pop().unwrap();
    assert_eq!(end["code"], "DEADLINE_EXCEEDED", "{end}");
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
    wait_for_leases(&lar, 0);
    let last = lar.until("the recording of the task", |lar| {
        let tasks = lar.get("/lar/v1/tasks?limit=1").json();
        let state = tasks["data"][0]["state"].clone();
        (state.is_string() && state != "running").then_some(state)
    });
    assert_eq!(last, "cancelled");
}

#[test]
fn a_full_queue_refuses_with_numbers() {
    let lar = Lar::start_with("[engines]\nconcurrency = 1\n[limits]\nqueue_len_max = 1\n");
    let running = EndlessAnswer::start(&lar);
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
    running.cancel(&lar);
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
        "`temperature` must be between 0 and 2, got 9"
    );
}

#[test]
fn the_usage_of_a_stream_is_stored_within_a_tenth_of_a_second() {
    let lar = Lar::start();
    let recorded = |lar: &Lar| -> u64 {
        let usage = lar.get("/lar/v1/usage").json();
        usage["data"].as_array().unwrap().iter().map(|day| day["tasks"].as_u64().unwrap()).sum()
    };
    let completion = json!({ "model": "default", "prompt": "1, 2,", "max_tokens": 1, "stream": true });
    let delays = (1..=10).map(|number| {
        let answer = lar.post("/v1/completions", &completion);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let ended_at = Instant::now();
        lar.until("the usage to be stored", |lar| (recorded(lar) >= number).then_some(()));
        ended_at.elapsed()
    });
    // On a busy machine some of them take longer; the delay itself is what all of them have.
    let shortest = delays.min().unwrap();
    assert!(shortest < Duration::from_millis(100), "{shortest:?}");
}

#[test]
fn clients_that_disconnect_leave_no_task_without_an_end() {
    let lar = Lar::start();
    let body =
        json!({ "workload": "completion", "prompt": "Hi", "max_tokens": 2, "detached": true }).to_string();
    for requests in 0..10 {
        let socket = lar.open(&lar.head("POST", "/lar/v1/tasks", body.len()), body.as_bytes());
        // Each client disconnects a little later than the one before.
        for _ in 0..requests {
            assert_eq!(lar.get("/v1/models").status, 200);
        }
        drop(socket);
    }
    // At least this task is accepted.
    assert!(lar.make_task(2).is_some());
    lar.until("the end of all tasks", |lar| {
        let tasks = lar.get("/lar/v1/tasks").json();
        tasks["data"].as_array().unwrap().iter().all(|task| task["state"] == "end").then_some(())
    });
}
