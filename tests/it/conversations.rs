//! `/lar/v1/conversations`: conversations are stored, branched, searched, changed and deleted, and survive a
//! restart.

use lar_tests::{Answer, Lar, reasoning_model};
use serde_json::{Value, json};

/// A small context: the starter model sometimes answers until its context is full.
const SHORT: &str = "[engines]\ncontext_tokens_max = 512\n";

fn start(lar: &Lar) -> String {
    lar.post("/lar/v1/conversations", &json!({})).json()["id"].as_str().unwrap().to_owned()
}

fn say(lar: &Lar, id: &str, text: &str) -> Vec<(String, Value)> {
    let answer = lar
        .post(&format!("/lar/v1/conversations/{id}/messages"), &json!({ "content": text, "max_tokens": 12 }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.events()
}

fn complete(lar: &Lar, id: &str) -> Value {
    lar.until("the storing of the answer", |lar| {
        let found = lar.get(&format!("/lar/v1/conversations/{id}")).json();
        let open =
            found["messages"].as_array().unwrap().iter().any(|message| message["status"] == "streaming");
        (!open && found["running_task"].is_null()).then_some(found)
    })
}

fn import(lar: &Lar, lines: &str) -> Answer {
    let head = lar.head("POST", "/lar/v1/conversations/import", lines.len());
    lar.raw(&head.replace("application/json", "application/x-ndjson"), lines.as_bytes())
}

/// A conversation with these messages, as a line of an export.
fn exported(number: u32, messages: &[Value]) -> Value {
    json!({ "id": format!("conv_0197000000007000800000000000{number:04}"), "title": "Owls", "version": 1,
        "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z", "messages": messages })
}

/// A message of [`exported`]. Its id sorts by its number.
fn message(number: u32, parent: Option<u32>, role: &str, more: Value) -> Value {
    let id = |number: u32| format!("msg_0197000000007000800000000000{number:04}");
    let mut message = json!({ "id": id(number), "role": role, "content": format!("Number {number}."),
        "status": "complete", "created_at": "2026-01-01T00:00:00.000Z" });
    let fields = message.as_object_mut().unwrap();
    fields.extend(parent.map(|parent| ("parent".to_owned(), json!(id(parent)))));
    fields.extend(more.as_object().unwrap().clone());
    message
}

#[test]
fn messages_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(directory.path());
    let id = start(&lar);
    let events = say(&lar, &id, "Remember the word xylophone.");
    assert_eq!((events[0].0.as_str(), events.last().unwrap().0.as_str()), ("message", "end"));
    assert_eq!(events[0].1["title"], "Remember the word xylophone.");
    say(&lar, &id, "And again.");
    let before = complete(&lar, &id);
    assert_eq!(before["messages"].as_array().unwrap().len(), 4);
    assert_eq!(lar.stop(), Some(0));
    let lar = Lar::start_on(directory.path());
    assert_eq!(lar.get(&format!("/lar/v1/conversations/{id}")).json(), before);
    let found = lar.get("/lar/v1/conversations?q=xyloph").json();
    assert_eq!(found["data"][0]["id"], json!(id));
    // The answer may contain the word too, in another case.
    let snippet = found["data"][0]["snippet"].as_str().unwrap().to_lowercase();
    assert!(snippet.contains("\u{2}xylophone"), "{snippet}");
}

#[test]
fn edits_and_regenerated_answers_are_branches() {
    let lar = Lar::start_with(SHORT);
    let id = start(&lar);
    let events = say(&lar, &id, "Name a bird.");
    let (question, answer) = (events[0].1["question"]["id"].clone(), events[0].1["answer"]["id"].clone());
    let path = |message: &Value, what: &str| {
        format!("/lar/v1/conversations/{id}/messages/{}/{what}", message.as_str().unwrap())
    };
    complete(&lar, &id);
    let again = lar.post(&path(&answer, "regenerate"), &json!({ "max_tokens": 12 })).events();
    assert_eq!(again[0].1["answer"]["parent"], question);
    complete(&lar, &id);
    let edited = lar
        .post(&path(&question, "branch"), &json!({ "content": "Name a fish.", "max_tokens": 12 }))
        .events();
    assert_eq!(edited[0].1["question"]["parent"], Value::Null);
    let found = complete(&lar, &id);
    assert_eq!(found["messages"].as_array().unwrap().len(), 5);
    assert_eq!(found["head"], edited[0].1["answer"]["id"]);
    let rated = lar.post(&path(&answer, "feedback"), &json!({ "rating": "good" }));
    assert_eq!(rated.json()["rating"], "good");
    assert_eq!(lar.post(&path(&answer, "branch"), &json!({ "content": "x" })).status, 409);
}

#[test]
fn a_second_turn_is_refused_while_one_runs_and_stop_keeps_the_text() {
    let lar = Lar::start();
    let id = start(&lar);
    let body = json!({ "content": "Write a very long story about an owl." }).to_string();
    let path = format!("/lar/v1/conversations/{id}/messages");
    let socket = lar.open(&lar.head("POST", &path, body.len()), body.as_bytes());
    lar.until("the start of the turn", |lar| {
        let found = lar.get(&format!("/lar/v1/conversations/{id}")).json();
        (!found["running_task"].is_null()).then_some(())
    });
    let second = lar.post(&path, &json!({ "content": "Me too" }));
    assert_eq!((second.status, second.json()["code"].clone()), (409, json!("CONFLICT")));
    // A turn continues when its client disconnects.
    drop(socket);
    let text = lar.until("a checkpoint", |lar| {
        let found = lar.get(&format!("/lar/v1/conversations/{id}")).json();
        let text = found["messages"][1]["content"].as_str().unwrap_or_default().to_owned();
        (!text.is_empty()).then_some(text)
    });
    assert_eq!(lar.post(&format!("/lar/v1/conversations/{id}/stop"), &Value::Null).status, 204);
    let found = complete(&lar, &id);
    assert_eq!(found["messages"][1]["status"], "stopped");
    assert!(found["messages"][1]["content"].as_str().unwrap().starts_with(&text));
}

#[test]
fn a_client_that_disconnects_leaves_no_answer_without_an_end() {
    let lar = Lar::start_with(SHORT);
    let body = json!({ "content": "Name a bird.", "max_tokens": 4 });
    let mut paths = Vec::new();
    for requests in 0..8 {
        let path = format!("/lar/v1/conversations/{}/messages", start(&lar));
        let length = body.to_string().len();
        let socket = lar.open(&lar.head("POST", &path, length), body.to_string().as_bytes());
        // Each client disconnects a little later than the one before.
        for _ in 0..requests {
            assert_eq!(lar.get("/lar/v1/conversations").status, 200);
        }
        drop(socket);
        paths.push(path);
    }
    for path in paths {
        lar.until("the next turn", |lar| (lar.post(&path, &body).status == 200).then_some(()));
        let found = complete(&lar, path.split('/').nth(4).unwrap());
        let messages = found["messages"].as_array().unwrap();
        assert!(messages.iter().all(|message| message["status"] == "complete"), "{found}");
    }
}

#[test]
fn memories_without_room_in_the_prompt_are_not_shown_with_the_answer() {
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 256\n");
    let saved = lar.post("/lar/v1/memories", &json!({ "content": "My dentist is Dr. Okafor." }));
    assert_eq!(saved.status, 201, "{}", saved.body);
    let memory = |text: &str| say(&lar, &start(&lar), text)[0].1["answer"]["memory"].clone();
    let recalled = memory("Who is my dentist?");
    assert_eq!(recalled["recalled"][0]["id"], saved.json()["id"], "{recalled}");
    // More than three quarters of the context, so the prompt has no room for memories.
    assert_eq!(memory(&format!("Who is my dentist?{}", " .".repeat(180))), Value::Null);
}

#[test]
fn conversations_are_changed_deleted_and_listed_in_pages() {
    let lar = Lar::start_with(SHORT);
    let ids: Vec<String> = (0..3).map(|_| start(&lar)).collect();
    let path = format!("/lar/v1/conversations/{}", ids[0]);
    let changed = lar.send("PATCH", &path, &json!({ "title": "Owls" }));
    assert_eq!(
        (changed.json()["title"].clone(), changed.json()["version"].clone()),
        (json!("Owls"), json!(2))
    );
    let stale = lar.head("PATCH", &path, 15).replace("\r\n\r\n", "\r\nif-match: \"1\"\r\n\r\n");
    assert_eq!(lar.raw(&stale, br#"{"title":"Bats"}"#).status, 400, "the content length is wrong on purpose");
    let stale = lar.head("PATCH", &path, 16).replace("\r\n\r\n", "\r\nif-match: \"1\"\r\n\r\n");
    assert_eq!(lar.raw(&stale, br#"{"title":"Bats"}"#).json()["code"], "VERSION_MISMATCH");

    assert_eq!(lar.send("DELETE", &path, &Value::Null).status, 204);
    let listed = |lar: &Lar| lar.get("/lar/v1/conversations").json()["data"].as_array().unwrap().len();
    assert_eq!(listed(&lar), 2);
    assert_eq!(lar.send("PATCH", &path, &json!({ "deleted": false })).status, 200);
    assert_eq!(listed(&lar), 3);
    for invalid in ["erase=1", "erase=TRUE", "erase"] {
        let refused = lar.send("DELETE", &format!("{path}?{invalid}"), &Value::Null);
        assert_eq!((refused.status, refused.json()["errors"][0]["field"].clone()), (400, json!("erase")));
    }
    assert_eq!(listed(&lar), 3, "a rejected request deletes nothing");
    assert_eq!(lar.send("DELETE", &format!("{path}?erase=true"), &Value::Null).status, 204);
    assert_eq!(lar.get(&path).status, 404);

    let first = lar.get("/lar/v1/conversations?limit=1").json();
    let next = first["next"].as_str().unwrap();
    let second = lar.get(&format!("/lar/v1/conversations?limit=1&after={next}")).json();
    assert_eq!((&first["data"][0]["id"], &second["data"][0]["id"]), (&json!(ids[2]), &json!(ids[1])));
    assert_eq!(lar.get("/lar/v1/conversations?limit=0").json()["errors"][0]["field"], "limit");
}

#[test]
fn an_export_is_imported_without_loss() {
    let from = Lar::start_with(SHORT);
    let id = start(&from);
    let events = say(&from, &id, "Name a bird, “quickly”.");
    complete(&from, &id);
    let answer = events[0].1["answer"]["id"].as_str().unwrap();
    let path = format!("/lar/v1/conversations/{id}/messages/{answer}");
    assert_eq!(from.post(&format!("{path}/feedback"), &json!({ "rating": "bad" })).status, 200);
    assert_eq!(from.post(&format!("{path}/regenerate"), &json!({ "max_tokens": 12 })).status, 200);
    let mut before = complete(&from, &id);
    let gone = start(&from);
    assert_eq!(from.send("DELETE", &format!("/lar/v1/conversations/{gone}"), &Value::Null).status, 204);
    let file = from.data().join("all.ndjson");
    let wrote = from.cli(&["conversations", "export", file.to_str().unwrap()]);
    assert_eq!(
        String::from_utf8_lossy(&wrote.stdout),
        format!("Exported 1 conversation to {}.\n", file.display())
    );

    let to = Lar::start_with(SHORT);
    for expected in
        ["Imported 1 conversation; 0 already existed.\n", "Imported 0 conversations; 1 already existed.\n"]
    {
        let taken = to.cli(&["conversations", "import", file.to_str().unwrap()]);
        assert_eq!(String::from_utf8_lossy(&taken.stdout), expected, "{taken:?}");
    }
    before.as_object_mut().unwrap().remove("running_task");
    assert_eq!(to.get(&format!("/lar/v1/conversations/{id}")).json(), before);
    assert_eq!(to.get("/lar/v1/conversations?q=quickly").json()["data"][0]["id"], json!(id));
    say(&to, &id, "And a fish.");
}

#[test]
fn an_import_with_a_bad_line_imports_nothing_and_names_it() {
    let lar = Lar::start();
    let line = |more: Value| {
        let mut line = exported(1, &[]);
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    for (second, expected) in [
        (line(json!({ "id": "conv_1" })), "line 2: `id` is not a valid id"),
        (line(json!({ "created_at": "yesterday" })), "line 2: `created_at` must be an RFC 3339 time"),
        (
            line(json!({ "messages": [message(2, Some(3), "user", json!({}))] })),
            "line 2: `messages[0].parent` is not the id of a preceding message",
        ),
        (
            line(json!({ "head": "msg_01970000000070008000000000000002" })),
            "line 2: `head` is not the id of a message in this line",
        ),
        ("{\"id\": 1}".into(), "line 2: `id` must be a string"),
    ] {
        let refused = import(&lar, &format!("{}\n{second}\n", line(json!({}))));
        assert_eq!((refused.status, refused.json()["detail"].clone()), (400, json!(expected)));
    }
    assert_eq!(lar.get("/lar/v1/conversations").json()["data"], json!([]));
    assert_eq!(import(&lar, &line(json!({}))).json(), json!({ "imported": 1, "unchanged": 0 }));
    assert_eq!(lar.post("/lar/v1/conversations/import", &json!({})).status, 415);
}

#[test]
fn imported_messages_follow_their_parents_whatever_their_ids() {
    let lar = Lar::start_with(SHORT);
    // In the order of the conversation; their ids sort the other way round.
    let messages = [
        message(9, None, "user", json!({})),
        message(5, Some(9), "assistant", json!({})),
        message(2, Some(5), "user", json!({})),
        message(1, Some(2), "assistant", json!({})),
        message(7, Some(9), "assistant", json!({})),
    ];
    let mut line = exported(1, &messages);
    line["head"] = messages[3]["id"].clone();
    let path = format!("/lar/v1/conversations/{}", line["id"].as_str().unwrap());
    assert_eq!(import(&lar, &line.to_string()).json(), json!({ "imported": 1, "unchanged": 0 }));
    assert_eq!(lar.get(&path).json()["messages"], json!(messages));
    // The export can be imported again.
    let export = lar.get("/lar/v1/conversations/export").body;
    assert_eq!(serde_json::from_str::<Value>(&export).unwrap(), line);
    assert_eq!(lar.send("DELETE", &format!("{path}?erase=true"), &Value::Null).status, 204);
    assert_eq!(import(&lar, &export).json(), json!({ "imported": 1, "unchanged": 0 }));
    assert_eq!(lar.get(&path).json(), line);
    // A new turn continues below the head.
    let events = say(&lar, line["id"].as_str().unwrap(), "And now?");
    assert_eq!(events[0].1["question"]["parent"], messages[3]["id"]);
}

#[test]
fn reasoning_is_imported_shown_and_exported() {
    let lar = Lar::start_without_models();
    let answer = message(2, Some(1), "assistant", json!({ "reasoning": "Owls are birds,\nso yes." }));
    let line = exported(1, &[message(1, None, "user", json!({})), answer]);
    assert_eq!(import(&lar, &line.to_string()).json(), json!({ "imported": 1, "unchanged": 0 }));
    let path = format!("/lar/v1/conversations/{}", line["id"].as_str().unwrap());
    assert_eq!(lar.get(&path).json(), line);
    let export = lar.get("/lar/v1/conversations/export").body;
    assert_eq!(serde_json::from_str::<Value>(&export).unwrap(), line);
}

#[test]
fn a_models_own_reasoning_is_streamed_stored_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let model = reasoning_model(folder.path());
    let lar = Lar::start_without_models();
    let pulled = lar.cli(&["models", "pull", model.to_str().unwrap(), "--name", "reasoning"]);
    assert!(pulled.status.success(), "{pulled:?}");
    let id = start(&lar);
    let body = json!({ "content": "Do owls sleep by day?", "model": "reasoning", "max_tokens": 12, "temperature": 0 });
    let answer = lar.post(&format!("/lar/v1/conversations/{id}/messages"), &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = answer.events();
    let reasoning = events.iter().filter(|(name, _)| name == "reasoning");
    let reasoning: String = reasoning.filter_map(|(_, data)| data["t"].as_str()).collect();
    assert!(!reasoning.is_empty(), "{events:?}");
    let kept = complete(&lar, &id);
    let answer = &kept["messages"][1];
    assert_eq!(
        (&answer["status"], &answer["content"], &answer["reasoning"]),
        (&json!("complete"), &json!(""), &json!(reasoning))
    );
    let export = lar.get("/lar/v1/conversations/export").body;
    let exported: Value = serde_json::from_str(&export).unwrap();
    assert_eq!(exported["messages"], kept["messages"]);
    // Another server imports it.
    let other = Lar::start_without_models();
    assert_eq!(import(&other, &export).json(), json!({ "imported": 1, "unchanged": 0 }));
    let there = other.get(&format!("/lar/v1/conversations/{id}")).json();
    assert_eq!(there["messages"], kept["messages"]);
}

#[test]
fn a_file_with_a_byte_order_mark_and_crlf_is_imported() {
    let lar = Lar::start_without_models();
    let lines =
        [1, 2].map(|number| exported(number, &[message(number, None, "user", json!({}))]).to_string());
    let file = lar.data().join("all.ndjson");
    std::fs::write(&file, format!("\u{feff}{}\r\n", lines.join("\r\n"))).unwrap();
    let taken = lar.cli(&["conversations", "import", file.to_str().unwrap()]);
    assert_eq!(
        String::from_utf8_lossy(&taken.stdout),
        "Imported 2 conversations; 0 already existed.\n",
        "{taken:?}"
    );
}
