//! Fault injection: workers and servers are killed during their work. Nothing that was acknowledged may be
//! lost, and every task must have exactly one terminal event.
//!
//! These tests run few rounds. `make bench` runs a hundred of each and reports the results.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lar_tests::Lar;
use serde_json::{Value, json};

const ROUNDS: usize = 4;

fn state(lar: &Lar, id: &str) -> Value {
    lar.get(&format!("/lar/v1/tasks/{id}")).json()
}

#[test]
fn a_killed_worker_ends_its_tasks_once_and_is_started_again() {
    let lar = Lar::start();
    for round in 0..ROUNDS {
        let ids: Vec<String> = (0..3).filter_map(|_| lar.make_task(300)).collect();
        lar.kill_workers();
        for id in &ids {
            let events = lar.get(&format!("/lar/v1/tasks/{id}/stream")).events();
            let ends =
                events.iter().filter(|(name, _)| matches!(name.as_str(), "end" | "error" | "cancelled"));
            assert_eq!(ends.count(), 1, "round {round}: {events:?}");
            let (name, end) = events.last().unwrap();
            // A task that was still waiting may have run on the new worker.
            assert!(name == "end" || end["code"] == "ENGINE_FAILED", "round {round}: {end}");
        }
    }
    let id = lar.make_task(300).unwrap();
    assert_eq!(lar.get(&format!("/lar/v1/tasks/{id}/stream")).events().last().unwrap().0, "end");
}

#[test]
fn a_killed_server_loses_nothing_that_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut conversations: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let mut lar = Lar::start_on(directory.path());
        for id in &acknowledged {
            let found = state(&lar, id);
            assert_ne!(found["state"], "running", "round {round}: {found}");
            assert!(found["state"].is_string(), "round {round}: task {id} is lost");
        }
        for id in &conversations {
            let found = lar.get(&format!("/lar/v1/conversations/{id}")).json();
            assert_eq!(found["messages"][0]["content"], "Keep this.", "round {round}: {found}");
            assert_ne!(found["messages"][1]["status"], "streaming", "round {round}");
        }
        acknowledged.extend((0..5).filter_map(|_| lar.make_task(300)));
        let id = lar.post("/lar/v1/conversations", &json!({})).json()["id"].as_str().unwrap().to_owned();
        let body = json!({ "content": "Keep this." }).to_string();
        let path = format!("/lar/v1/conversations/{id}/messages");
        let mut socket = lar.open(&lar.head("POST", &path, body.len()), body.as_bytes());
        let mut head = [0; 12];
        std::io::Read::read_exact(&mut socket, &mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        conversations.push(id);
        let workers = lar.workers();
        lar.kill();
        for pid in workers {
            lar.until("the worker to end with its server", |_| {
                (!std::path::Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(())
            });
        }
    }
}
