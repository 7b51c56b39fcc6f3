//! `PATCH` and `DELETE /lar/v1/memories/{id}`, history and undo; an erased memory is nowhere in the files.

use lar_tests::Lar;
use serde_json::{Value, json};

use super::{remember, save_text, search_ids};

#[test]
fn every_change_is_in_the_history_and_can_be_undone() {
    let lar = Lar::start();
    let id = remember(&lar, &json!({ "content": "The dentist is Dr Blau.", "tags": ["health"] }));
    let path = format!("/lar/v1/memories/{id}");
    let edit = json!({ "content": "The dentist is Dr Grün in Elm Street.", "tags": [], "project": "family" });
    let edited = lar.send("PATCH", &path, &edit);
    assert_eq!((edited.status, edited.json()["version"].as_i64()), (200, Some(2)), "{}", edited.body);
    assert_eq!(search_ids(&lar, "Elm Street"), [id.as_str()]);
    assert_eq!(search_ids(&lar, "Blau"), [""; 0]);

    assert_eq!(lar.send("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(search_ids(&lar, "dentist"), [""; 0]);
    assert_eq!(lar.get("/lar/v1/memories?deleted=true").json()["data"][0]["id"], json!(id));

    let undo = || lar.post(&format!("{path}/undo"), &Value::Null);
    assert_eq!(undo().status, 200);
    assert_eq!(search_ids(&lar, "dentist in Elm Street"), [id.as_str()]);
    // An undo is a decision too, so the next undo reverts it.
    let history = lar.get(&format!("{path}/history")).json();
    let actions: Vec<&str> =
        history["data"].as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["create", "edit", "forget", "undo"]);
    assert_eq!(history["data"][1]["before"]["content"][0], "The dentist is Dr Blau.");
    assert_eq!(history["data"][2]["undone_by"], history["data"][3]["decision"]);
    assert_eq!(undo().status, 200);
    assert_eq!(search_ids(&lar, "dentist"), [""; 0]);
}

#[test]
fn an_update_of_an_older_version_is_refused() {
    let lar = Lar::start();
    let id = save_text(&lar, "The bins go out on Tuesday.");
    let path = format!("/lar/v1/memories/{id}");
    assert_eq!(lar.send("PATCH", &path, &json!({ "pinned": true })).status, 200);
    let key = format!("authorization: Bearer {}\r\nif-match: \"1\"\r\n", Lar::KEY);
    let stale = super::with(&lar, &key, "PATCH", &path, &json!({ "pinned": false }));
    assert_eq!((stale.status, stale.json()["code"].as_str()), (412, Some("VERSION_MISMATCH")));
    let other = save_text(&lar, "The bins go out on Friday.");
    let same = lar.send(
        "PATCH",
        &format!("/lar/v1/memories/{other}"),
        &json!({ "content": "The bins go out on Tuesday." }),
    );
    assert_eq!((same.status, same.json()["code"].as_str()), (409, Some("CONFLICT")), "{}", same.body);
}

#[test]
fn erased_memories_are_nowhere_in_the_data() {
    let mut lar = Lar::start();
    let word = "Zwetschkenknödelrezept";
    let id = save_text(&lar, &format!("Grandmother's {word} is in the red folder."));
    let edit = json!({ "content": format!("Grandmother's {word} is in the blue folder.") });
    assert_eq!(lar.send("PATCH", &format!("/lar/v1/memories/{id}"), &edit).status, 200);
    assert_eq!(search_ids(&lar, word), [id.as_str()]);
    let holds = |lar: &Lar| {
        let files = std::fs::read_dir(lar.data())
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap_or_default());
        // As written, and stemmed as in the keyword index.
        let needles = [&word.as_bytes()[..12], "zwetschkenknodel".as_bytes()];
        files
            .into_iter()
            .any(|bytes| needles.iter().any(|needle| bytes.windows(needle.len()).any(|some| some == *needle)))
    };
    assert!(holds(&lar));
    assert_eq!(lar.send("DELETE", &format!("/lar/v1/memories/{id}?erase=true"), &Value::Null).status, 204);
    assert!(!holds(&lar), "while the server runs");
    assert_eq!(search_ids(&lar, word), [""; 0]);
    assert_eq!(lar.get(&format!("/lar/v1/memories/{id}")).status, 404);
    let _ = lar.stop();
    assert!(!holds(&lar), "after the server stopped");
}

#[test]
fn memories_and_their_indexes_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut known: Vec<(String, String)> = Vec::new();
    let words = ["amber", "bicycle", "cello", "dolphin", "elephant", "feather", "guitar", "harbour", "igloo"];
    for (round, words) in words.chunks(3).enumerate() {
        let mut lar = Lar::start_on(directory.path());
        for (word, id) in &known {
            assert_eq!(search_ids(&lar, word)[0], *id, "round {round}: {word}");
        }
        for word in words {
            known.push((
                (*word).to_owned(),
                save_text(&lar, &format!("There is a picture of the {word} in the hall.")),
            ));
        }
        lar.kill();
    }
}
