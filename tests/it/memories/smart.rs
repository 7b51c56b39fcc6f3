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
    let rent =
        json!({ "content": "The rent of the workshop is 900 euros.", "kind": "decision", "tags": ["money"] });
    let old = remember(&lar, &rent);
    let answer = save(&lar, "The rent of the workshop is 950 euros.");
    assert_eq!(answer.status, 201, "{}", answer.body);
    let outcome = answer.json();
    assert_eq!((&outcome["decision"], &outcome["against"]["id"]), (&json!("supersede"), &json!(old)));
    assert_eq!(outcome["reason"], "the same sentence with a new value");
    let new = id(&outcome["memory"]);
    assert_eq!(
        (&outcome["memory"]["kind"], &outcome["memory"]["tags"]),
        (&json!("decision"), &json!(["money"])),
        "kind and tags are inherited"
    );
    assert_eq!(search_ids(&lar, "rent of the workshop"), [new.as_str()]);
    assert_eq!(lar.get(&format!("/lar/v1/memories/{old}")).json()["superseded_by"], json!(new));
    let hit = search(&lar, &json!({ "query": "rent of the workshop" }))["results"][0].clone();
    assert_eq!(
        (&hit["supersedes"]["id"], &hit["supersedes"]["content"]),
        (&json!(old), &json!("The rent of the workshop is 900 euros.")),
        "a result includes the memory that it superseded"
    );
    let until = hit["supersedes"]["until"].as_str().unwrap();
    assert_eq!(until[..10], hit["created_at"].as_str().unwrap()[..10], "and the day on which that one ended");

    // Back to the old value: the old memory is current again, and the two do not supersede each other in a
    // circle.
    let back = lar.post("/lar/v1/memories/smart", &rent).json();
    assert_eq!((&back["decision"], id(&back["memory"])), (&json!("supersede"), old.clone()));
    assert_eq!(search_ids(&lar, "rent of the workshop"), [old.as_str()]);
    assert_eq!(lar.get(&format!("/lar/v1/memories/{new}")).json()["superseded_by"], json!(old));

    assert_eq!(lar.post(&format!("/lar/v1/memories/{old}/undo"), &json!({})).status, 200);
    assert_eq!(search_ids(&lar, "rent of the workshop"), [new.as_str()]);
    assert_eq!(lar.post(&format!("/lar/v1/memories/{new}/undo"), &json!({})).status, 200);
    assert_eq!(
        search_ids(&lar, "rent of the workshop"),
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
}

#[test]
fn related_memories_are_linked_and_found_together() {
    let lar = Lar::start();
    let old = save_text(&lar, "My dentist is Dr. Okafor.");
    let outcome = decided(&lar, "My dentist is Dr. Weber now.");
    assert_eq!((&outcome["decision"], &outcome["against"]["id"]), (&json!("create"), &json!(old)));
    let new = id(&outcome["memory"]);
    let link = outcome["link"]["id"].as_str().unwrap().to_owned();
    assert_eq!(outcome["link"]["older"], json!(old));

    let results = search(&lar, &json!({ "query": "Who is my dentist?" }))["results"].clone();
    assert_eq!((id(&results[0]), id(&results[1])), (new.clone(), old), "the newer one first");
    assert_eq!((results[0].get("possibly_outdated"), &results[1]["possibly_outdated"]), (None, &json!(true)));
    assert_eq!(results[1]["links"], json!([{ "id": link, "memory": new, "newer": true }]));
    // The newer memory is found with the older one even if it does not match the query.
    let results = search(&lar, &json!({ "query": "Okafor", "limit": 1 }))["results"].clone();
    assert_eq!(id(&results[0]), new, "{results}");

    let replaced =
        lar.post(&format!("/lar/v1/memories/links/{link}"), &json!({ "resolution": "replace" })).json();
    assert_eq!(id(&replaced["memory"]), new, "{replaced}");
    assert_eq!(search_ids(&lar, "Who is my dentist?"), [new.as_str()]);
}

#[test]
fn what_others_say_or_what_is_imagined_hides_nothing() {
    let lar = Lar::start();
    let pairs = [
        ("Elena is vegan.", "\"Elena isn't vegan\", says her ex, but he says a lot of things."),
        ("The contract is signed.", "I dreamt the contract was not signed."),
        ("Yoga is on Monday at 18:00.", "Yoga is on Thursday at 7:00."),
        ("I take 5 mg of lisinopril.", "I take 10 mg of lisinopril."),
        ("Anna lives in Berlin.", "Anna's brother moved to Berlin."),
        ("Allergies: penicillin, cat hair", "Allergies: penicillin"),
    ];
    for (known, new) in pairs {
        let known_id = save_text(&lar, known);
        let outcome = decided(&lar, new);
        assert_eq!(outcome["decision"], "create", "{known} | {new}: {outcome}");
        let known_now = lar.get(&format!("/lar/v1/memories/{known_id}")).json();
        assert_eq!((&known_now["content"], known_now.get("superseded_by")), (&json!(known), None));
    }
}

#[test]
fn repeated_facts_are_reinforced_and_empty_ones_rejected() {
    let lar = Lar::start();
    let known = save_text(&lar, "Tomasz is the product owner of Atlas.");
    let outcome = decided(&lar, "tomasz is the product owner of atlas");
    assert_eq!((&outcome["decision"], id(&outcome["memory"])), (&json!("reinforce"), known.clone()));
    let history = lar.get(&format!("/lar/v1/memories/{known}/history")).json();
    let last = history["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["action"], "confirm");
    assert_eq!(last["reason"], "already saved, in the same words: “tomasz is the product owner of atlas”");
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

/// The quality gate on the older labeled pairs. `benches/RESULTS.md` has the figures of all sets.
#[test]
fn replacements_are_found_and_nothing_true_is_hidden() {
    let lar = Lar::start();
    let (mut found, mut labeled) = (0, 0);
    let rows = PAIRS.lines().filter(|row| row.starts_with("held\t") || row.starts_with("third\t"));
    for (at, row) in rows.enumerate() {
        let [_, label, _, known, new] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let headers = format!("authorization: Bearer {}\r\nx-agent-id: pair-{at}\r\n", Lar::KEY);
        let post = |path: &str, body: &Value| with(&lar, &headers, "POST", path, body);
        assert_eq!(post("/lar/v1/memories", &json!({ "content": known })).status, 201, "{known}");
        let decided = post("/lar/v1/memories/smart", &json!({ "content": new })).json();
        let decision = decided["decision"].as_str().unwrap();
        assert!(decision != "supersede" || label == "supersede", "hidden: {known} | {new}");
        assert!(decision != "merge" && (decision != "reject" || label == "reject"), "{decision}: {new}");
        if label == "supersede" {
            labeled += 1;
            found += u32::from(decision == "supersede" || decided["link"].is_object());
        }
    }
    let recall = f64::from(found) / f64::from(labeled);
    assert!(recall >= 0.5, "found {recall:.3} of the replacements");
}
