//! `/lar/v1/memories/judges`: a model that judges links while nobody waits for an answer.

use lar_tests::{Lar, until};
use serde_json::{Value, json};

use super::inbox::change_database;
use super::links::{link, memory, owner};
use super::{save_text, with};

// The small model of the tests takes the second text for a replacement.
const OLDER: &str = "Магазин на Садовой.";
const NEWER: &str = "Переезд позади, магазин на Невском, 12.";

fn superseded(lar: &Lar, id: &str) -> Option<Value> {
    memory(lar, id).get("superseded_by").cloned()
}

#[test]
fn a_fit_judge_replaces_an_outdated_memory_once() {
    let data = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(data.path());
    let (older, newer) = (save_text(&lar, OLDER), save_text(&lar, NEWER));
    let id = link(&lar, &owner(), &older, &newer);
    // The model reads the newest links first. Here it says that the newer text adds something.
    let other = save_text(&lar, "Buy paint for the fence.");
    let added = link(&lar, &owner(), &other, &save_text(&lar, "The fence is painted, looks great!"));
    // Here it would have to decide about a text of which it reads the start only.
    let long = save_text(&lar, &format!("{NEWER} {}", "Полки ещё в коробках. ".repeat(40)));
    let unread = link(&lar, &owner(), &older, &long);
    let model = lar.get("/lar/v1/catalog/models/default").json();
    let (name, digest) = (model["name"].as_str().unwrap(), model["digest"].as_str().unwrap());
    assert_eq!(lar.stop(), Some(0));
    // As if its calibration had shown that any score may be believed.
    let calibration = format!("('{digest}#2', '{name}', 390, 90, 60, 60, -20.0, 0)");
    change_database(&lar, &format!("INSERT INTO judges VALUES {calibration}"));
    let config = data.path().join("lar.toml");
    let text = std::fs::read_to_string(&config).unwrap_or_default();
    std::fs::write(&config, format!("{text}\n[memory]\njudge = \"{name}\"\nconsolidation = \"off\"\n"))
        .unwrap();
    let lar = Lar::start_on(data.path());
    // The judge waits for 20 seconds without interactive tasks.
    let replaced = until("the judgment", || superseded(&lar, &older));
    assert_eq!(replaced, json!(newer));
    for id in [&older, &newer] {
        let history = lar.get(&format!("/lar/v1/memories/{id}/history")).json();
        let reason = &history["data"].as_array().unwrap().last().unwrap()["reason"];
        assert_eq!(reason, &json!(format!("{name} finds that it is outdated")), "no word of a text");
    }
    assert_eq!(superseded(&lar, &other), None);
    let open = lar.get("/lar/v1/memories/links").json();
    let open: Vec<&Value> = open["data"].as_array().unwrap().iter().map(|link| &link["id"]).collect();
    assert_eq!(open, [&json!(added)], "the long text waits for nothing while the older one is superseded");

    assert_eq!(lar.post(&format!("/lar/v1/memories/{newer}/undo"), &json!({})).status, 200);
    assert_eq!(superseded(&lar, &older), None);
    let open = lar.get("/lar/v1/memories/links").json();
    let open: Vec<&Value> = open["data"].as_array().unwrap().iter().map(|link| &link["id"]).collect();
    assert_eq!(open, [&json!(unread), &json!(added), &json!(id)], "a person decides now");
}

#[test]
fn a_calibration_shows_its_progress_and_needs_an_administrator() {
    let lar = Lar::start();
    let idle = lar.get("/lar/v1/memories/judges").json();
    assert_eq!((&idle["activity"], &idle["calibrations"]), (&json!("idle"), &json!([])));
    let unknown = lar.post("/lar/v1/memories/judges", &json!({ "model": "no-such-model" }));
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let key = lar.post("/lar/v1/keys", &json!({ "name": "app", "scopes": ["memory:read", "inference"] }));
    let header = format!("authorization: Bearer {}\r\n", key.json()["secret"].as_str().unwrap());
    assert_eq!(with(&lar, &header, "POST", "/lar/v1/memories/judges", &json!({})).status, 403);
    let started = lar.post("/lar/v1/memories/judges", &json!({}));
    assert_eq!(started.status, 202, "{}", started.body);
    let running = lar.get("/lar/v1/memories/judges").json();
    assert_eq!(running["activity"], "calibrating", "{running}");
    assert!(running["pairs"].as_u64().unwrap() >= 300, "{running}");
    let shown = lar.cli(&["memory", "judge", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.starts_with("Calibrating"), "{shown}");
}
