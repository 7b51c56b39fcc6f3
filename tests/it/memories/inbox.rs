//! `GET /lar/v1/memories/inbox`: paging, candidates that leave the inbox, and accepted corrections.
//! `tests/attack/ownership.rs` tests who may see them.

use std::process::Command;

use lar_tests::Lar;
use serde_json::{Value, json};

use super::remember;

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

/// Changes the database of a server that is stopped.
pub(super) fn change_database(lar: &Lar, sql: &str) {
    let script = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let mut change = Command::new("python3");
    change.args(["-c", script]).arg(lar.data().join("lar.db")).arg(sql);
    assert!(change.status().unwrap().success());
}

fn shown(lar: &Lar, id: &str) -> Value {
    lar.get(&format!("/lar/v1/memories/{id}")).json()
}

/// Accepts the only inbox entry, after checking which memory it may replace.
fn accept(lar: &Lar, replaces: Option<&str>, body: &Value) -> Value {
    let entry = lar.get("/lar/v1/memories/inbox").json()["data"][0].clone();
    assert_eq!(entry["may_replace"]["id"].as_str(), replaces, "{entry}");
    let path = format!("/lar/v1/memories/inbox/{}/accept", entry["id"].as_str().unwrap());
    let decided = lar.post(&path, body);
    assert_eq!(decided.status, 200, "{}", decided.body);
    assert_eq!(lar.get("/lar/v1/memories/inbox").json()["data"], json!([]));
    decided.json()
}

#[test]
fn an_accepted_correction_supersedes_exactly_the_memory_that_it_may_replace() {
    let data = tempfile::tempdir().unwrap();
    for keep_both in [false, true] {
        for current in [true, false] {
            let folder = data.path().join(format!("{keep_both}-{current}"));
            std::fs::create_dir(&folder).unwrap();
            let mut lar = Lar::start_on(&folder);
            let known =
                json!({ "content": "My violin teacher is Olga.", "kind": "person", "tags": ["music"] });
            let known = remember(&lar, &known);
            let entry = json!({ "content": "I play the oboe in an orchestra." });
            assert_eq!(lar.post("/lar/v1/memories/intents", &entry).json()["suggested"], 1);
            assert_eq!(lar.stop(), Some(0));
            change_database(&lar, &format!("UPDATE memory_candidates SET may_replace = '{known}'"));
            let lar = Lar::start_on(&folder);
            if !current {
                assert_eq!(
                    lar.send("DELETE", &format!("/lar/v1/memories/{known}"), &Value::Null).status,
                    204
                );
            }
            let replaces = Some(known.as_str()).filter(|_| current);
            let body = if keep_both { json!({ "keep_both": true }) } else { json!({}) };
            let decided = accept(&lar, replaces, &body);
            let new = decided["memory"]["id"].as_str().unwrap();
            assert_eq!(decided["memory"]["content"], "I play the oboe in an orchestra.");
            let superseded = shown(&lar, &known).get("superseded_by").cloned();
            if current && !keep_both {
                assert_eq!((&decided["decision"], superseded), (&json!("supersede"), Some(json!(new))));
                assert_eq!(decided["against"]["id"], json!(known));
                let (kind, tags) = (&decided["memory"]["kind"], &decided["memory"]["tags"]);
                assert_eq!((kind, tags), (&json!("person"), &json!(["music"])), "as the memory had them");
                let history = lar.get(&format!("/lar/v1/memories/{known}/history")).json();
                let last = history["data"].as_array().unwrap().last().unwrap();
                assert_eq!(last["reason"], "you accepted the correction");
                assert_eq!(lar.post(&format!("/lar/v1/memories/{new}/undo"), &json!({})).status, 200);
                assert!(shown(&lar, &known).get("superseded_by").is_none());
                assert!(shown(&lar, new)["deleted_at"].is_string());
            } else {
                assert_eq!((&decided["decision"], superseded), (&json!("create"), None));
            }
        }
    }
}
