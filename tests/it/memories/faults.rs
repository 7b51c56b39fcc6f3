//! Faults around memories: a disk that fills up during batches, an embedder that is replaced while memories
//! are in use, vectors of another dimension, a second server, and clients that disconnect.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lar_tests::generated_models::{POOLING_CLS, POOLING_MEAN, gguf_embedder};
use lar_tests::{Lar, StopOnDrop};
use serde_json::{Value, json};

use super::{ids, save_text, search, search_ids};

#[test]
fn a_disk_that_fills_up_during_a_batch_loses_nothing_and_stores_no_partial_batch() {
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
        "every acknowledged batch is there, and whole"
    );
    assert_eq!(search_ids(&lar, "Barrel 0-7").len(), 10, "searching still works");
    let gone = lar.get("/lar/v1/memories?limit=1").json()["data"][0]["id"].as_str().unwrap().to_owned();
    // Even deleting may need space, so it may be refused.
    let _ = lar.send("DELETE", &format!("/lar/v1/memories/{gone}"), &Value::Null);
    assert_eq!(lar.stop(), Some(0));
}

#[test]
fn searches_work_while_the_embedder_is_replaced() {
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
        let stop = StopOnDrop(&over);
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
                    "a saved memory is found immediately"
                );
                number += 1;
            }
            number
        });
        let set =
            lar.post("/lar/v1/aliases", &json!({ "name": "default-embedding", "target": "other-embedder" }));
        assert_eq!(set.status, 200, "{}", set.body);
        // In the end vector search works again, with the vectors of the new embedder.
        lar.until("a search with the new embedder's vectors", |lar| {
            let found = search(lar, &json!({ "query": "Who keeps the lighthouse?", "limit": 1 }));
            let meaning = found["results"][0]["parts"]["similarity"].as_f64();
            (found["mode"] == "hybrid" && meaning.is_some() && ids(&found) == [probe.as_str()]).then_some(())
        });
        drop(stop);
        assert!(searcher.join().unwrap() > 0 && writer.join().unwrap() > 0);
    });
}

#[test]
fn imported_vectors_of_another_dimension_are_computed_again() {
    let from = Lar::start();
    save_text(&from, "The winch is stuck.");
    let mut line: Value = serde_json::from_str(from.get("/lar/v1/memories/export").body.trim()).unwrap();
    line["passages"][0]["dimension"] = json!(2);
    line["passages"][0]["embedder"] = json!("another");
    // One vector: a scale of 0.5 and two bytes.
    line["passages"][0]["vectors"] = json!("AAAAPwEC");
    let to = Lar::start();
    let head = to.head("POST", "/lar/v1/memories/import", line.to_string().len());
    let head = head.replace("application/json", "application/x-ndjson");
    let answer = to.raw(&head, line.to_string().as_bytes());
    assert_eq!(answer.json(), json!({ "imported": 1, "unchanged": 0 }), "{}", answer.body);
    assert_eq!(search_ids(&to, "the winch").len(), 1, "keyword search finds it immediately");
    to.until("the computing of its vectors", |lar| {
        let found = search(lar, &json!({ "query": "the winch", "limit": 1 }));
        found["results"][0]["parts"]["similarity"].as_f64()
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
fn a_stored_memory_is_found_even_if_its_client_disconnected() {
    let lar = Lar::start();
    // There is a vector index that must be updated.
    save_text(&lar, "The first of them.");
    assert_eq!(search_ids(&lar, "the first of them").len(), 1);
    let page = || lar.get("/lar/v1/memories?limit=200");
    for number in 0..60 {
        let content = format!("Parcel parcel{number} waits at the gate.");
        let body = json!({ "content": content }).to_string();
        let connection = lar.open(&lar.head("POST", "/lar/v1/memories", body.len()), body.as_bytes());
        // Each client disconnects at another moment: before the embedding, during it, or after the commit.
        // The moments are counted in other requests that the server answers, so they do not depend on the
        // speed of the machine.
        if number % 10 == 9 {
            lar.until("the commit", |_| page().body.contains(&content).then_some(()));
        } else {
            for _ in 0..number {
                assert_eq!(lar.get("/healthz").status, 200);
            }
        }
        drop(connection);
    }
    // There is one writer, so this memory is committed after all others.
    save_text(&lar, "The last of them.");
    let page = page().json();
    let stored: Vec<&str> =
        page["data"].as_array().unwrap().iter().map(|one| one["content"].as_str().unwrap()).collect();
    assert!(stored.len() >= 8, "only {} memories were stored", stored.len());
    for content in stored.iter().filter(|content| content.starts_with("Parcel")) {
        let word = content.split(' ').nth(1).unwrap();
        let texts = search(&lar, &json!({ "query": word, "limit": 1 }));
        assert_eq!(texts["results"][0]["content"], json!(content), "a stored memory is found");
    }
}
