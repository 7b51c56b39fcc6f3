//! `POST /lar/v1/memories/smart`: smart ingest decides how a new text changes the existing memories.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::{remember, save_text, search, search_ids, with};

/// The labeled pairs of texts that `lar-benches` measures. The gate below uses only pairs that no
/// rule was written from.
const PAIRS: &str = include_str!("../../../benches/data/smart-ingest.tsv");

fn save(lar: &Lar, content: &str) -> Answer {
    lar.post("/lar/v1/memories/smart", &json!({ "content": content }))
}

fn decided(lar: &Lar, content: &str) -> Value {
    let answer = save(lar, content);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
    answer.json()
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_correction_supersedes_a_memory_and_can_be_undone() {
    let lar = Lar::start();
    let address =
        json!({ "content": "The backup server is at 10.0.0.12.", "kind": "place", "tags": ["infra"] });
    let old = remember(&lar, &address);
    let answer = save(&lar, "The backup server is at 10.0.0.47.");
    assert_eq!(answer.status, 201, "{}", answer.body);
    let outcome = answer.json();
    assert_eq!((&outcome["decision"], &outcome["against"]["id"]), (&json!("supersede"), &json!(old)));
    assert_eq!(outcome["reason"], "same subject, new value");
    let new = id(&outcome["memory"]);
    assert_eq!(
        (&outcome["memory"]["kind"], &outcome["memory"]["tags"]),
        (&json!("place"), &json!(["infra"])),
        "kind and tags are inherited"
    );
    assert_eq!(search_ids(&lar, "address of the backup server"), [new.as_str()]);
    assert_eq!(lar.get(&format!("/lar/v1/memories/{old}")).json()["superseded_by"], json!(new));
    let hit = search(&lar, &json!({ "query": "address of the backup server" }))["results"][0].clone();
    assert_eq!(
        (&hit["supersedes"]["id"], &hit["supersedes"]["content"]),
        (&json!(old), &json!("The backup server is at 10.0.0.12.")),
        "a result includes the memory that it superseded"
    );
    let until = hit["supersedes"]["until"].as_str().unwrap();
    assert_eq!(until[..10], hit["created_at"].as_str().unwrap()[..10], "and the day on which that one ended");

    // Back to the old value: the old memory is current again, and the two do not supersede each other in a
    // circle.
    let back = lar.post("/lar/v1/memories/smart", &address).json();
    assert_eq!((&back["decision"], id(&back["memory"])), (&json!("supersede"), old.clone()));
    assert_eq!(search_ids(&lar, "address of the backup server"), [old.as_str()]);
    assert_eq!(lar.get(&format!("/lar/v1/memories/{new}")).json()["superseded_by"], json!(old));

    assert_eq!(lar.post(&format!("/lar/v1/memories/{old}/undo"), &json!({})).status, 200);
    assert_eq!(search_ids(&lar, "address of the backup server"), [new.as_str()]);
    assert_eq!(lar.post(&format!("/lar/v1/memories/{new}/undo"), &json!({})).status, 200);
    assert_eq!(
        search_ids(&lar, "address of the backup server"),
        [old.as_str()],
        "undoing both corrections restores the first memory"
    );
}

#[test]
fn equal_texts_sent_at_once_become_one_memory() {
    let lar = Lar::start();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || save(&lar, "The spare key is under the blue flower pot.").status;
        let all: Vec<_> = (0..16).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 15, "{statuses:?}");
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
}

#[test]
fn additions_change_a_memory_and_show_the_difference() {
    let lar = Lar::start();
    let known = save_text(&lar, "Our dog is called Balu.");
    let outcome = decided(&lar, "Our dog is called Balu and is a Bernese mountain dog.");
    assert_eq!((&outcome["decision"], id(&outcome["memory"])), (&json!("update"), known));
    let diff = outcome["diff"].as_array().unwrap();
    let added: Vec<&str> = diff
        .iter()
        .filter(|part| part["change"] == "added")
        .map(|part| part["text"].as_str().unwrap())
        .collect();
    assert_eq!(added.concat().trim(), "Balu and is a Bernese mountain dog.");

    let visit = save_text(&lar, "Balu the dog was at the vet on 3 May for a vaccination.");
    let outcome = decided(&lar, "Balu the dog was at the vet on 3 May and weighs 38 kg.");
    assert_eq!((&outcome["decision"], id(&outcome["memory"])), (&json!("merge"), visit.clone()));
    let both = "Balu the dog was at the vet on 3 May for a vaccination.\nBalu the dog was at the vet on 3 May and weighs 38 kg.";
    assert_eq!(outcome["memory"]["content"], both);
    let undone = lar.post(&format!("/lar/v1/memories/{visit}/undo"), &json!({})).json();
    assert_eq!(undone["memories"][0]["content"], "Balu the dog was at the vet on 3 May for a vaccination.");
}

#[test]
fn repeated_facts_are_reinforced_and_empty_ones_rejected() {
    let lar = Lar::start();
    let known = save_text(&lar, "Tomasz is the product owner of Atlas.");
    let outcome = decided(&lar, "The product owner of Atlas is Tomasz.");
    assert_eq!((&outcome["decision"], id(&outcome["memory"])), (&json!("reinforce"), known.clone()));
    let history = lar.get(&format!("/lar/v1/memories/{known}/history")).json();
    let last = history["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["action"], "confirm");
    assert_eq!(last["reason"], "already saved, in the same words: “The product owner of Atlas is Tomasz.”");
    for nothing in ["ok thanks", "Who owns Atlas?", "👍", "..."] {
        let outcome = decided(&lar, nothing);
        assert_eq!((&outcome["decision"], outcome.get("memory")), (&json!("reject"), None), "{nothing}");
    }
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
}

#[test]
fn a_repeated_request_gets_the_same_decision_and_secrets_are_refused() {
    let lar = Lar::start();
    save_text(&lar, "The rent is 1150 euros.");
    let headers = format!("authorization: Bearer {}\r\nidempotency-key: \"rent\"\r\n", Lar::KEY);
    let body = json!({ "content": "The rent is 1240 euros." });
    let one = with(&lar, &headers, "POST", "/lar/v1/memories/smart", &body);
    let two = with(&lar, &headers, "POST", "/lar/v1/memories/smart", &body);
    assert_eq!((one.status, two.status), (201, 201), "{} {}", one.body, two.body);
    assert!(two.head.contains("idempotent-replayed: true"), "{}", two.head);
    for field in ["decision", "reason"] {
        assert_eq!(one.json()[field], two.json()[field]);
    }
    assert_eq!(id(&one.json()["memory"]), id(&two.json()["memory"]));

    let secret = format!("The token is ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    assert_eq!(save(&lar, &secret).status, 400);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 2);
}

/// The quality gate, on labeled pairs that the rules were not written from. `benches/RESULTS.md` has the
/// figures.
#[test]
fn corrections_are_detected_nothing_is_merged_wrongly_and_nothing_is_lost() {
    let lar = Lar::start();
    let (mut right, mut claimed, mut labeled) = (0, 0, 0);
    let rows = PAIRS.lines().filter(|row| row.starts_with("held\t") || row.starts_with("third\t"));
    for (at, row) in rows.enumerate() {
        let [_, label, _, known, new] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let headers = format!("authorization: Bearer {}\r\nx-agent-id: pair-{at}\r\n", Lar::KEY);
        let post = |path: &str, body: &Value| with(&lar, &headers, "POST", path, body);
        assert_eq!(post("/lar/v1/memories", &json!({ "content": known })).status, 201, "{known}");
        let decided = post("/lar/v1/memories/smart", &json!({ "content": new })).json();
        let decision = decided["decision"].as_str().unwrap();
        right += u32::from(label == "supersede" && decision == "supersede");
        claimed += u32::from(decision == "supersede");
        labeled += u32::from(label == "supersede");
        assert!(decision != "merge" || label == "merge", "merged wrongly: {known} | {new}");
        assert!(decision != "reject" || label == "reject", "rejected wrongly: {new}");
        let kept = format!(
            "{} {} {}",
            decided["memory"]["content"], decided["against"]["content"], decided["reason"]
        );
        let quoted = |text: &str| kept.contains(json!(text).as_str().unwrap());
        assert!(decision == "reject" || quoted(known) || !decided["against"].is_object(), "{known}: {kept}");
        assert!(decision == "reject" || quoted(new), "{new}: {kept}");
    }
    let (precision, recall) = (f64::from(right) / f64::from(claimed), f64::from(right) / f64::from(labeled));
    assert!(precision >= 0.95 && recall >= 0.7, "precision {precision:.3}, recall {recall:.3}");
}
