//! `Idempotency-Key`: a repeated request creates nothing new, even after a crash.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

const SHORT: &str = "[engines]\ncontext_tokens_max = 512\n";

/// Posts under an idempotency key.
fn post(lar: &Lar, key: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let head = lar.head("POST", path, body.len());
    let head = head.replace("\r\n\r\n", &format!("\r\nidempotency-key: {key}\r\n\r\n"));
    lar.raw(&head, body.as_bytes())
}

fn replayed(answer: &Answer) -> bool {
    answer.head.contains("\r\nidempotent-replayed: true")
}

/// The text of a stream's tokens.
fn text(answer: &Answer) -> String {
    let tokens = answer.events().into_iter().filter(|(name, _)| name == "token");
    tokens.map(|(_, data)| data["t"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_repeated_turn_is_replayed_before_and_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lar.toml"), SHORT).unwrap();
    let mut lar = Lar::start_on(directory.path());
    let made = post(&lar, "start", "/lar/v1/conversations", &json!({}));
    let again = post(&lar, "start", "/lar/v1/conversations", &json!({}));
    assert_eq!((made.status, again.status), (201, 201));
    assert_eq!((made.json()["id"].clone(), replayed(&made)), (again.json()["id"].clone(), false));
    assert!(replayed(&again));

    let path = format!("/lar/v1/conversations/{}/messages", made.json()["id"].as_str().unwrap());
    let body = json!({ "content": "Name a bird.", "max_tokens": 8 });
    let first = post(&lar, "say", &path, &body);
    let second = post(&lar, "say", &path, &body);
    assert_eq!(second.events()[0].1["answer"]["id"], first.events()[0].1["answer"]["id"]);
    assert_eq!((text(&second), replayed(&second)), (text(&first), true));

    lar.until("the storing of the answer", |lar| {
        let found = lar.get(path.trim_end_matches("/messages")).json();
        (found["messages"][1]["status"] == "complete").then_some(())
    });
    lar.kill();
    let lar = Lar::start_on(directory.path());
    let third = post(&lar, "say", &path, &body);
    let names: Vec<String> = third.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["message", "token", "end"], "the event log is gone, so the stored answer is sent");
    assert_eq!(text(&third), text(&first));
    let kept = lar.get(path.trim_end_matches("/messages")).json();
    assert_eq!(kept["messages"].as_array().unwrap().len(), 2);
}

#[test]
fn a_task_is_created_once() {
    let lar = Lar::start();
    let body = json!({ "workload": "completion", "prompt": "One", "max_tokens": 4, "detached": true });
    let made = post(&lar, "task", "/lar/v1/tasks", &body);
    let again = post(&lar, "task", "/lar/v1/tasks", &body);
    assert_eq!((made.status, again.status, replayed(&again)), (202, 202, true));
    assert_eq!(made.json()["task_id"], again.json()["task_id"]);
    assert_eq!(lar.get("/lar/v1/tasks").json()["data"].as_array().unwrap().len(), 1);
}

#[test]
fn an_idempotency_key_of_another_request_is_refused() {
    let lar = Lar::start();
    assert_eq!(post(&lar, "k", "/lar/v1/conversations", &json!({ "title": "Owls" })).status, 201);
    let other = post(&lar, "k", "/lar/v1/conversations", &json!({ "title": "Bats" }));
    assert_eq!((other.status, other.json()["code"].clone()), (422, json!("IDEMPOTENCY_MISMATCH")));
    let elsewhere = post(&lar, "k", "/lar/v1/keys", &json!({ "name": "app" }));
    assert_eq!(elsewhere.status, 422);

    let key = post(&lar, "key", "/lar/v1/keys", &json!({ "name": "app" }));
    let again = post(&lar, "key", "/lar/v1/keys", &json!({ "name": "app" }));
    assert_eq!((key.status, again.status, again.json()["code"].clone()), (201, 409, json!("CONFLICT")));
    assert!(again.json()["detail"].as_str().unwrap().contains(key.json()["id"].as_str().unwrap()));
    assert!(!again.body.contains(key.json()["secret"].as_str().unwrap()));

    let long = "x".repeat(256);
    for bad in ["", "é", &long] {
        let refused = post(&lar, bad, "/lar/v1/conversations", &json!({}));
        assert_eq!(
            (refused.status, refused.json()["errors"][0]["field"].clone()),
            (400, json!("Idempotency-Key"))
        );
    }
    // A rejected request created nothing, so its key is still free.
    assert_eq!(post(&lar, "free", "/lar/v1/conversations", &json!({ "title": "" })).status, 400);
    assert_eq!(post(&lar, "free", "/lar/v1/conversations", &json!({ "title": "Bats" })).status, 201);
}

#[test]
fn concurrent_requests_with_one_idempotency_key_create_one_object() {
    let lar = Lar::start();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let posting: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| post(&lar, "race", "/lar/v1/conversations", &json!({})).status))
            .collect();
        posting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 201 | 409)), "{statuses:?}");
    assert_eq!(lar.get("/lar/v1/conversations").json()["data"].as_array().unwrap().len(), 1);
}
