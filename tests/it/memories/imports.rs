//! `lar memory import`: imports the memories of other programs, and names everything that it leaves out.

use std::fs;
use std::path::{Path, PathBuf};

use lar_tests::Lar;
use serde_json::{Value, json};

use super::{ids, remember, search, search_ids};

const KEY: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// Imports and returns whether that succeeded, and the output of both streams.
fn import(lar: &Lar, arguments: &[&str]) -> (bool, String) {
    let done = lar.cli(&[&["memory", "import"], arguments].concat());
    (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

/// Imports and returns the report as JSON.
fn report(lar: &Lar, arguments: &[&str]) -> Value {
    let done = lar.cli(&[&["--json", "memory", "import"], arguments].concat());
    serde_json::from_slice(&done.stdout).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Returns the paths and contents of all files of a folder.
fn contents_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents_of(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn memories_of_other_programs_are_counted_then_imported_once() {
    let (lar, folder) = (Lar::start(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mem0 = json!({ "results": [
        { "id": "1", "memory": "The boiler is serviced in June.", "created_at": "2025-06-01T10:00:00.123456-07:00", "categories": ["home"] },
        { "id": "2", "memory": format!("The key is {KEY}.") },
        { "id": "3" },
    ] });
    fs::write(at("mem0.json"), mem0.to_string()).unwrap();
    let dry_run = import(&lar, &[&at("mem0.json"), "--from", "mem0", "--dry-run"]);
    assert!(
        dry_run.0 && dry_run.1.contains("2 read, 1 new, 0 unchanged, 1 refused, 1 skipped"),
        "{}",
        dry_run.1
    );
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 0);
    let (ok, output) = import(&lar, &[&at("mem0.json"), "--from", "mem0"]);
    assert!(ok && output.contains("2 read, 1 new, 0 unchanged, 1 refused, 1 skipped"), "{output}");
    assert!(output.contains("mem0.json, item 2: `content` contains what looks like a secret"), "{output}");
    assert!(output.contains("1 without text: mem0.json, item 3") && !output.contains(KEY), "{output}");
    for more in [&["--dry-run"][..], &[]] {
        let (ok, output) = import(&lar, &[&[at("mem0.json").as_str(), "--from", "mem0"], more].concat());
        assert!(ok && output.contains("2 read, 0 new, 1 unchanged, 1 refused, 1 skipped"), "{output}");
    }
    let id = search_ids(&lar, "When is the boiler serviced?").remove(0);
    let memory = lar.get(&format!("/lar/v1/memories/{id}")).json();
    assert_eq!((&memory["source"], &memory["tags"]), (&json!("mem0"), &json!(["home"])));
    assert!(memory["occurred_at"].as_str().unwrap().starts_with("2025-06-01T17:00"), "{memory}");

    let server = "{\"type\":\"entity\",\"name\":\"Anna\",\"entityType\":\"person\",\"observations\":[\"lives in Oslo\"]}\n";
    fs::write(at("memory.jsonl"), server).unwrap();
    assert!(import(&lar, &[&at("memory.jsonl"), "--from", "mcp-memory"]).1.contains("1 read, 1 new"));
    write(
        folder.path(),
        "notes/sub/tea.md",
        "---\ntitle: Tea\n---\n- [fact] Green tea is brewed at 80 degrees\n- pairs_with [[Cake]]\n",
    );
    assert!(import(&lar, &[&at("notes"), "--from", "basic-memory"]).1.contains("2 read, 2 new"));
    fs::write(at("CLAUDE.md"), "# Rules\n- Tests before pushes\n").unwrap();
    assert!(import(&lar, &[&at("CLAUDE.md"), "--from", "claude-md"]).1.contains("1 read, 1 new"));
    fs::write(at("memory.md"), "**Work context**\r\n\r\nMira restores mills.\r\n\r\n**Empty**\r\n").unwrap();
    assert!(import(&lar, &[&at("memory.md"), "--from", "claude"]).1.contains("1 read, 1 new"));
    fs::write(at("list.txt"), "User is vegan.\nUser has a dog named Rex.\n").unwrap();
    assert!(import(&lar, &[&at("list.txt"), "--from", "chatgpt"]).1.contains("2 read, 2 new"));
    for (file, from, reason) in [
        ("nowhere", "mem0", "nowhere"),
        ("notes", "mem0", "a file is required"),
        ("mem0.json", "basic-memory", "a folder is required"),
        ("CLAUDE.md", "vestige", "is not valid JSON"),
    ] {
        let (ok, output) = import(&lar, &[&at(file), "--from", from]);
        assert!(!ok && output.contains(reason), "{file} {from}: {output}");
    }
}

#[test]
fn a_vault_is_imported_with_its_folders_and_stays_as_it_is() {
    let (lar, folder) = (Lar::start(), tempfile::tempdir().unwrap());
    let vault = folder.path().join("Vault");
    write(&vault, ".obsidian/app.json", "{}");
    write(
        &vault,
        "People/Anna.md",
        "\u{feff}---\r\naliases: [Anni]\r\ntags: [family]\r\ncreated: 2024-01-16\r\n---\r\n# Anna\r\n- plays the oboe with [[Bo]]\r\n",
    );
    write(&vault, "Projects/Mill.md", "The water mill in [[Kent]] needs a new oak wheel.\n");
    write(&vault, "photo.png", "no note");
    write(&vault, "empty.md", "");
    fs::write(vault.join("bad.md"), b"K\xe4se\n").unwrap();
    let (before, path) = (contents_of(&vault), vault.display().to_string());
    // The vault is detected. The dry run and the run name the same.
    for (arguments, is_dry_run) in [(&[path.as_str(), "--dry-run"][..], true), (&[path.as_str()], false)] {
        let report = report(&lar, arguments);
        assert_eq!(report["dry_run"], is_dry_run);
        assert_eq!(
            (&report["read"], &report["new"], &report["unchanged"]),
            (&json!(2), &json!(2), &json!(0))
        );
        let names = |list: &str| -> Vec<String> {
            let list = report[list].as_array().unwrap();
            list.iter().map(|one| one["file"].as_str().unwrap().to_owned()).collect()
        };
        let mut skipped = names("skipped");
        skipped.sort();
        assert_eq!(
            (skipped, names("failed")),
            (vec!["empty.md".into(), "photo.png".into()], vec!["bad.md".into()])
        );
        let stored = lar.get("/lar/v1/memories/stats").json()["memories"].as_u64();
        assert_eq!(stored, Some(if is_dry_run { 0 } else { 2 }));
    }
    let (ok, output) = import(&lar, &[&path]);
    assert!(!ok && output.contains("2 read, 0 new, 2 unchanged"), "{output}");
    assert!(output.contains("bad.md: it is not UTF-8 text"), "{output}");
    assert_eq!(contents_of(&vault), before, "an import changes no file of a vault");

    let id = search_ids(&lar, "Which instrument does Anni play?").remove(0);
    let anna = lar.get(&format!("/lar/v1/memories/{id}")).json();
    assert_eq!(anna["content"], "Anna (also Anni)\n- plays the oboe with [[Bo]]");
    assert_eq!(
        (&anna["source"], &anna["tags"], &anna["occurred_at"]),
        (
            &json!("obsidian: People/Anna.md"),
            &json!(["family", "People"]),
            &json!("2024-01-16T00:00:00.000Z")
        )
    );
}

#[test]
fn notes_of_a_folder_that_lar_did_not_export_stay_as_they_are() {
    let (lar, folder) = (Lar::start(), tempfile::tempdir().unwrap());
    let path = folder.path().display().to_string();
    write(folder.path(), "a.md", "Buy oak.\r\n");
    write(folder.path(), "sub/b.md", "---\nkind: decision\n---\nWe build with ash.\n");
    let before = contents_of(folder.path());
    for counts in ["2 read, 2 new, 0 unchanged", "2 read, 0 new, 2 unchanged"] {
        let (ok, output) = import(&lar, &[&path]);
        assert!(ok && output.contains(counts) && output.contains("stay as they are"), "{output}");
    }
    assert_eq!(contents_of(folder.path()), before);

    // A folder of Lar's is edited both ways, and a dry run changes neither side.
    let own = folder.path().join("own");
    let own_path = own.display().to_string();
    assert!(lar.cli(&["memory", "export", "--markdown", &own_path]).status.success());
    write(&own, "new.md", "The shed needs paint.\n");
    write(&own, "empty.md", "");
    write(&own, "secret.md", &format!("The key is {KEY}\n"));
    let before = contents_of(&own);
    let counts = "4 read, 1 new, 0 changed, 2 unchanged, 1 refused, 1 skipped";
    let (ok, output) = import(&lar, &[&own_path, "--dry-run"]);
    assert!(ok && output.contains(counts), "{output}");
    assert_eq!(contents_of(&own), before);
    let (ok, output) = import(&lar, &[&own_path]);
    assert!(ok && output.contains(counts) && output.contains("secret.md: "), "{output}");
    assert!(fs::read_to_string(own.join("new.md")).unwrap().contains("id: mem_"));
}

#[test]
fn turns_of_an_export_are_imported_on_request_and_follow_each_other() {
    let (lar, folder) = (Lar::start(), tempfile::tempdir().unwrap());
    let node = |id: &str, parent: Option<&str>, role: &str, text: &str, time: f64| {
        json!({ "parent": parent, "children": [], "message": {
            "id": id, "author": { "role": role }, "create_time": time, "recipient": "all",
            "content": { "content_type": "text", "parts": [text] },
        } })
    };
    let export = json!([{ "title": "Trip", "conversation_id": "c1", "create_time": 1.7e9, "current_node": "d", "mapping": {
        "a": node("a", None, "user", "Where should I go hiking?", 1.7e9),
        "b": node("b", Some("a"), "assistant", "Try the valley of the Soča.", 1.7e9 + 5.0),
        "c": node("c", Some("b"), "user", &format!("My key is {KEY}"), 1.7e9 + 9.0),
        "d": node("d", Some("c"), "assistant", "Never share a key like that.", 1.7e9 + 12.0),
    } }]);
    write(folder.path(), "conversations.json", &export.to_string());
    write(folder.path(), "user.json", "{\"email\": \"mira@example.com\"}");
    let path = folder.path().display().to_string();
    let without = report(&lar, &[&path, "--from", "chatgpt"]);
    assert_eq!((&without["read"], without["skipped"].as_array().unwrap().len()), (&json!(0), 2), "{without}");
    for new in [3, 0] {
        let with = report(&lar, &[&path, "--from", "chatgpt", "--conversations"]);
        assert_eq!((&with["new"], &with["unchanged"]), (&json!(new), &json!(3 - new)), "{with}");
        assert_eq!(with["refused"][0]["item"], "conversation “Trip”, turn 3", "{with}");
        assert_eq!((&with["made"], &with["imported"]), (&with["new"], &with["new"]), "the old names");
    }
    let found = search(&lar, &json!({ "query": "Never share a key", "detail": "full", "limit": 1 }));
    let hit = &found["results"][0];
    assert_eq!(hit["content"], "ChatGPT: Never share a key like that.");
    assert_eq!(hit["neighbours"][0]["content"], "ChatGPT: Try the valley of the Soča.", "{hit}");
    let memory = lar.get(&format!("/lar/v1/memories/{}", hit["id"].as_str().unwrap())).json();
    assert_eq!((&memory["conversation"], &memory["message"]), (&json!("c1"), &json!("d")));
}

#[test]
fn a_bad_line_of_lars_own_export_does_not_end_its_import() {
    let (from, to, folder) = (Lar::start(), Lar::start(), tempfile::tempdir().unwrap());
    for text in ["The winch is stuck.", "The sail is torn.", "The keel is sound."] {
        remember(&from, &json!({ "content": text }));
    }
    let export = from.get("/lar/v1/memories/export").body;
    let lines: Vec<&str> = export.lines().collect();
    let file = folder.path().join("memories.ndjson");
    let text = format!("\u{feff}{}\r\n\r\n{}\r\n{{\"id\": 1}}\r\n{}", lines[0], &lines[1][..40], lines[2]);
    fs::write(&file, text).unwrap();
    let path = file.display().to_string();
    for arguments in [&[path.as_str(), "--dry-run"][..], &[&path]] {
        let (ok, output) = import(&to, arguments);
        assert!(!ok && output.contains("4 read, 2 new, 0 unchanged, 2 failed"), "{output}");
        assert!(output.contains("memories.ndjson, line 3: ") && output.contains("line 4: "), "{output}");
    }
    let (ok, output) = import(&to, &[&path]);
    assert!(!ok && output.contains("4 read, 0 new, 2 unchanged, 2 failed"), "{output}");
    fs::write(&file, "").unwrap();
    let (ok, output) = import(&to, &[&path]);
    assert!(ok && output.contains("0 read, 0 new, 0 unchanged"), "{output}");
    fs::write(&file, "# Notes\n\n- one\n- two\n").unwrap();
    let (ok, output) = import(&to, &[&path]);
    assert!(!ok && output.contains("name the program with --from"), "{output}");
}

/// Returns the lines of a file that has every kind of line: memories, reminders, secrets, duplicates and bad lines.
fn mixed_export(from: &Lar) -> Vec<String> {
    for text in ["The winch is stuck.", "The sail is torn.", "The keel is sound."] {
        remember(from, &json!({ "content": text }));
    }
    let gone = remember(from, &json!({ "content": "A passing thought." }));
    assert_eq!(from.send("DELETE", &format!("/lar/v1/memories/{gone}"), &Value::Null).status, 204);
    for text in ["Paint the hull", "Call the yard"] {
        let new = json!({ "content": text, "trigger": { "type": "time", "in_minutes": 600 } });
        assert_eq!(from.post("/lar/v1/memories/intentions", &new).status, 201);
    }
    let export = from.get("/lar/v1/memories/export").body;
    let mut lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    let changed = |line: &Value, id: &str, change: &dyn Fn(&mut Value)| {
        let mut line = line.clone();
        let own = if line["intention"].is_object() { &mut line["intention"] } else { &mut line };
        own["id"] = json!(id);
        change(own);
        line
    };
    let (memory, id) = (lines[0].clone(), |end: u8| format!("mem_01a21565817d71c190a87ecc4c39a8{end:02x}"));
    let (reminder, int) =
        (lines[5].clone(), |end: u8| format!("int_01a21565817d71c190a87ecc4c39a8{end:02x}"));
    lines.extend([
        memory.clone(),
        changed(&memory, &id(1), &|_| {}),
        changed(&memory, &id(2), &|line| line["content"] = json!(format!("The key is {KEY}"))),
        changed(&memory, &id(3), &|line| line["stability"] = json!(-1.0)),
        changed(&memory, &id(4), &|line| line["history"] = json!([{ "id": "chg_1" }])),
        changed(&memory, &id(5), &|line| line["deleted_at"] = line["created_at"].clone()),
        reminder.clone(),
        changed(&reminder, &int(1), &|line| line["content"] = json!(format!("Use the key {KEY}"))),
        changed(&reminder, &int(2), &|line| line["content"] = json!(" ")),
        changed(&reminder, &int(3), &|line| line["status"] = json!("done")),
        changed(&reminder, "int_1", &|_| {}),
    ]);
    let mut texts: Vec<String> = lines.iter().map(Value::to_string).collect();
    texts.insert(2, "nope".into());
    texts.push("{\"unreadable\":1,\"of\":\"memories\"}".into());
    texts.push(String::new());
    texts
}

#[test]
fn a_dry_run_of_lars_own_export_has_the_numbers_and_the_reasons_of_the_import() {
    let (from, to, folder) = (Lar::start(), Lar::start(), tempfile::tempdir().unwrap());
    remember(&to, &json!({ "content": "The sail is torn." }));
    let file = folder.path().join("memories.ndjson");
    fs::write(&file, mixed_export(&from).join("\r\n")).unwrap();
    let path = file.display().to_string();
    let counts = |report: &Value| {
        let parts = ["read", "new", "unchanged", "refused", "skipped", "failed"];
        parts.map(|part| report[part].clone())
    };
    for (new, unchanged) in [(7, 4), (0, 11)] {
        let before = to.get("/lar/v1/memories/export").body;
        let dry_run = report(&to, &[&path, "--dry-run"]);
        assert_eq!(to.get("/lar/v1/memories/export").body, before, "a dry run changes nothing");
        let done = report(&to, &[&path]);
        assert_eq!(counts(&dry_run), counts(&done));
        assert_eq!(
            (&done["read"], &done["new"], &done["unchanged"]),
            (&json!(18), &json!(new), &json!(unchanged))
        );
        let failed = done["failed"].as_array().unwrap();
        assert_eq!(failed.len(), 7, "{failed:?}");
        assert!(failed.iter().all(|one| !one["reason"].as_str().unwrap().contains("lines[")), "{failed:?}");
        assert_eq!(done["skipped"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn an_imported_memory_was_true_before_lar_knew_it() {
    let (lar, folder) = (Lar::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("mem0.json").display().to_string();
    let memory =
        json!([{ "memory": "The boat is moored in Kappeln.", "created_at": "2024-05-01T10:00:00Z" }]);
    fs::write(&path, memory.to_string()).unwrap();
    assert!(import(&lar, &[&path, "--from", "mem0"]).0);
    let found = |times: Value| {
        let mut body = json!({ "query": "Where is the boat moored?" });
        body.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        ids(&search(&lar, &body)).len()
    };
    assert_eq!(found(json!({})), 1);
    assert_eq!(found(json!({ "as_of": "2025-01-01" })), 1, "it was true then");
    assert_eq!(found(json!({ "as_of": "2024-01-01" })), 0, "it was not true yet");
    assert_eq!(found(json!({ "known_at": "2025-01-01" })), 0, "Lar did not know it yet");
    assert_eq!(found(json!({ "as_of": "2025-01-01", "known_at": "2025-01-01" })), 0);
    let refused = lar.post("/lar/v1/memories/search", &json!({ "query": "x", "known_at": "then" }));
    assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (400, &json!("known_at")));
}

#[test]
fn a_dry_run_decides_about_each_memory_and_stores_none() {
    let lar = Lar::start();
    let known = remember(&lar, &json!({ "content": "The gate is green.", "tags": ["farm"] }));
    let items = json!({ "items": [
        { "content": "The gate is green.", "tags": ["farm"] },
        { "content": "The gate is green." },
        { "content": "The gate is green." },
        { "content": format!("The key is {KEY}") },
        { "content": "x", "kind": "rumour" },
        { "content": " " },
        { "content": "x", "after": "mem_01a21565817d71c190a87ecc4c39a872" },
    ] });
    let answer = lar.post("/lar/v1/memories/batch/dry-run", &items);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let decided = answer.json()["items"].as_array().unwrap().clone();
    let outcomes: Vec<&str> = decided.iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["duplicate", "create", "duplicate", "refuse", "refuse", "refuse", "refuse"]);
    assert_eq!((&decided[0]["id"], &decided[2]["id"]), (&json!(known), &Value::Null));
    assert!(decided[3]["reason"].as_str().unwrap().contains("looks like a secret"), "{}", decided[3]);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
    assert_eq!(lar.post("/lar/v1/memories/batch/dry-run", &json!({ "items": [] })).status, 400);
}
