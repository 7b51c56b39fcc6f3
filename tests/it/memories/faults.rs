//! What goes wrong around memories: a disk that fills up in the middle of batches, an embedder that is exchanged while
//! everything is in use, vectors of another size, a second server.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lar_tests::Lar;
use lar_tests::generated_models::{POOLING_CLS, POOLING_MEAN, gguf_embedder};
use serde_json::{Value, json};

use super::{ids, save_text, search, search_ids};

#[test]
fn a_disk_that_fills_up_in_mid_batch_loses_nothing_and_keeps_no_half() {
    let mut lar = Lar::start_on_disk("size=5m");
    let batch = |number: usize| {
        let items: Vec<Value> = (0..50)
            .map(|item| json!({ "content": format!("Barrel {number}-{item} holds {}", "salted herring ".repeat(30)) }))
            .collect();
        lar.post("/lar/v1/memories/batch", &json!({ "items": items }))
    };
    let (mut taken, mut refused) = (0, None);
    for number in 0..200 {
        let answer = batch(number);
        match answer.status {
            201 => taken += 1,
            _ => {
                refused = Some(answer);
                break;
            }
        }
    }
    let refused = refused.expect("the disk is full in the end");
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("STORAGE_FULL")),
        "{}",
        refused.body
    );
    assert_eq!(
        lar.get("/lar/v1/memories/stats").json()["memories"],
        taken * 50,
        "whole batches, all of them"
    );
    assert_eq!(search_ids(&lar, "Barrel 0-7").len(), 10, "searching goes on");
    let gone = lar.get("/lar/v1/memories?limit=1").json()["data"][0]["id"].as_str().unwrap().to_owned();
    // Even forgetting may need room; what is refused changed nothing.
    let _ = lar.send("DELETE", &format!("/lar/v1/memories/{gone}"), &Value::Null);
    assert_eq!(lar.stop(), Some(0));
}

/// Ends the threads that look at it, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn searches_go_on_while_the_embedder_is_exchanged() {
    let lar = Lar::start_without_models();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pull = |path: &Path, name: &str| {
        let pulled = lar.cli(&["models", "pull", path.to_str().unwrap(), "--name", name]);
        assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    };
    pull(&gguf_embedder(one.path(), POOLING_MEAN), "first-embedder");
    let probe = save_text(&lar, "The lighthouse keeper is called Zephyrine.");
    for number in 0..200 {
        save_text(&lar, &format!("Buoy number {number} is green."));
    }
    assert_eq!(search_ids(&lar, "Who keeps the lighthouse?")[0], probe);
    pull(&gguf_embedder(two.path(), POOLING_CLS), "other-embedder");

    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let stop = Stop(&over);
        let searcher = threads.spawn(|| {
            let mut searches = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(search_ids(&lar, "lighthouse keeper Zephyrine")[0], probe);
                searches += 1;
            }
            searches
        });
        let writer = threads.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                let id = save_text(&lar, &format!("Anchor {number} weighs a ton."));
                assert!(
                    search_ids(&lar, &format!("Anchor {number}")).contains(&id),
                    "what is written is found at once"
                );
                number += 1;
            }
            number
        });
        let set =
            lar.post("/lar/v1/aliases", &json!({ "name": "default-embedding", "target": "other-embedder" }));
        assert_eq!(set.status, 200, "{}", set.body);
        // In the end all is compared by its meaning again, as the new one has it.
        lar.until("the new embedder's vectors", |lar| {
            let found = search(lar, &json!({ "query": "Who keeps the lighthouse?", "limit": 1 }));
            let meaning = found["results"][0]["parts"]["meaning"].as_f64();
            (found["mode"] == "hybrid" && meaning.is_some() && ids(&found) == [probe.as_str()]).then_some(())
        });
        drop(stop);
        assert!(searcher.join().unwrap() > 0 && writer.join().unwrap() > 0);
    });
}

#[test]
fn vectors_of_another_size_are_kept_apart_and_made_anew() {
    let from = Lar::start();
    save_text(&from, "The winch is stuck.");
    let mut line: Value = serde_json::from_str(from.get("/lar/v1/memories/export").body.trim()).unwrap();
    line["passages"][0]["dimension"] = json!(2);
    line["passages"][0]["embedder"] = json!("another");
    // A scale of 0.5 and two bytes.
    line["passages"][0]["vectors"] = json!("AAAAPwEC");
    let to = Lar::start();
    let head = to.head("POST", "/lar/v1/memories/import", line.to_string().len());
    let head = head.replace("application/json", "application/x-ndjson");
    let answer = to.raw(&head, line.to_string().as_bytes());
    assert_eq!(answer.json(), json!({ "imported": 1, "unchanged": 0 }), "{}", answer.body);
    assert_eq!(search_ids(&to, "the winch").len(), 1, "its words find it at once");
    to.until("its vectors", |lar| {
        let found = search(lar, &json!({ "query": "the winch", "limit": 1 }));
        found["results"][0]["parts"]["meaning"].as_f64()
    });
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let lar = Lar::start();
    save_text(&lar, "One at a time.");
    let second = lar.cli(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let output = String::from_utf8_lossy(&second.stderr);
    assert!(output.contains("data directory"), "{output}");
    assert_eq!(search_ids(&lar, "one at a time").len(), 1);
}

#[test]
fn a_stored_memory_is_found_also_if_its_client_disconnected() {
    let lar = Lar::start();
    // There is an index that must be kept up.
    save_text(&lar, "The first of them.");
    assert_eq!(search_ids(&lar, "the first of them").len(), 1);
    for number in 0..60_u64 {
        let body = json!({ "content": format!("Parcel parcel{number} waits at the gate.") }).to_string();
        let connection = lar.open(&lar.head("POST", "/lar/v1/memories", body.len()), body.as_bytes());
        // Hung up at another moment each time: before the embedding, in the middle, after the commit.
        std::thread::sleep(std::time::Duration::from_millis(number));
        drop(connection);
    }
    // The writer is one: what was written after them all is behind them all.
    save_text(&lar, "The last of them.");
    let page = lar.get("/lar/v1/memories?limit=200").json();
    let stored: Vec<&str> =
        page["data"].as_array().unwrap().iter().map(|one| one["content"].as_str().unwrap()).collect();
    assert!(stored.len() > 2, "some were stored: {}", stored.len());
    for content in stored.iter().filter(|content| content.starts_with("Parcel")) {
        let word = content.split(' ').nth(1).unwrap();
        let texts = search(&lar, &json!({ "query": word, "limit": 1 }));
        assert_eq!(texts["results"][0]["content"], json!(content), "stored, and not found");
    }
}
