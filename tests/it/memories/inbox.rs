//! `GET /lar/v1/memories/inbox`: paging, and candidates that leave the inbox. `tests/attack/ownership.rs`
//! tests who may see them.

use lar_tests::Lar;
use serde_json::{Value, json};

#[test]
fn the_inbox_is_listed_in_pages() {
    let lar = Lar::start();
    let (oboe, bike, drummer) =
        ("I play the oboe in an orchestra.", "My bike was stolen last week.", "Our drummer lives in Leeds.");
    for content in [oboe, bike, drummer] {
        let sent = lar.post("/lar/v1/memories/intents", &json!({ "content": content }));
        assert_eq!(sent.json()["suggested"], 1, "{}", sent.body);
    }
    let page = |query: &str| lar.get(&format!("/lar/v1/memories/inbox{query}"));
    let texts = |page: &Value| -> Vec<String> {
        let waiting = page["data"].as_array().unwrap().iter();
        waiting.map(|one| one["content"].as_str().unwrap().to_owned()).collect()
    };
    let all = page("").json();
    assert_eq!((texts(&all), all.get("next")), ([drummer, bike, oboe].map(str::to_owned).to_vec(), None));
    let first = page("?limit=2").json();
    assert_eq!(texts(&first), [drummer, bike]);
    let next = first["next"].as_str().unwrap();
    assert_eq!(first["data"][1]["id"], next);
    let last = page(&format!("?limit=2&after={next}")).json();
    assert_eq!((texts(&last), last.get("next")), (vec![oboe.to_owned()], None));
    for (query, field) in
        [("?limit=0", "limit"), ("?limit=201", "limit"), ("?limit=two", "limit"), ("?after=mem_1", "after")]
    {
        let refused = page(query);
        assert_eq!((refused.status, refused.json()["errors"][0]["field"].as_str()), (400, Some(field)));
    }
    assert_eq!(page("?size=2").status, 400);
}

#[test]
fn a_saved_memory_with_the_same_text_leaves_the_inbox() {
    let lar = Lar::start();
    let paths = ["memories", "memories/smart", "memories/batch"];
    for (path, content) in paths.into_iter().zip([
        "I play the oboe in an orchestra.",
        "My bike was stolen last week.",
        "Our drummer lives in Leeds.",
    ]) {
        let sent = lar.post("/lar/v1/memories/intents", &json!({ "content": content }));
        assert_eq!(sent.json()["suggested"], 1, "{}", sent.body);
        let memory = json!({ "content": content });
        let body = if path.ends_with("batch") { json!({ "items": [memory] }) } else { memory };
        let saved = lar.post(&format!("/lar/v1/{path}"), &body);
        assert!(saved.status < 300, "{path}: {}", saved.body);
        let waiting = lar.get("/lar/v1/memories/inbox").json();
        assert_eq!(waiting["data"], json!([]), "{path}");
    }
}
