//! Memories over HTTP, with the starter embedder and SQLite.

mod any_api;
mod bridge;
mod chat;
mod consolidation;
mod crash;
mod create;
mod embedders;
mod faults;
mod imports;
mod inbox;
mod intentions;
mod judge;
mod links;
mod purge;
mod search;
mod smart;
mod spaces;
mod transfer;
mod update;

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

/// Saves a memory and returns its id.
fn remember(lar: &Lar, body: &Value) -> String {
    let made = lar.post("/lar/v1/memories", body);
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

fn save_text(lar: &Lar, content: &str) -> String {
    remember(lar, &json!({ "content": content }))
}

fn search(lar: &Lar, body: &Value) -> Value {
    let found = lar.post("/lar/v1/memories/search", body);
    assert_eq!(found.status, 200, "{}", found.body);
    found.json()
}

/// The ids that a query finds, best first.
fn search_ids(lar: &Lar, query: &str) -> Vec<String> {
    ids(&search(lar, &json!({ "query": query })))
}

fn ids(found: &Value) -> Vec<String> {
    found["results"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

/// Sends a request with these headers in place of the owner's key.
fn with(lar: &Lar, headers: &str, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        lar.address,
        body.len()
    );
    lar.raw(&head, body.as_bytes())
}
