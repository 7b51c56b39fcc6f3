//! Moving memories: an export has their vectors and histories, an import changes none of it, and Markdown
//! works both ways.

use lar_tests::Lar;
use serde_json::{Value, json};

use super::{ids, remember, save_text, search, search_ids, with};

fn lines(lar: &Lar) -> Vec<Value> {
    let answer = lar.get("/lar/v1/memories/export");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn import(lar: &Lar, lines: &[Value]) -> lar_tests::Answer {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let head = format!(
        "POST /lar/v1/memories/import HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        lar.address,
        Lar::KEY,
        body.len()
    );
    lar.raw(&head, body.as_bytes())
}

#[test]
fn imported_memories_equal_the_exported_ones_and_importing_twice_changes_nothing() {
    let from = Lar::start();
    let old = save_text(&from, "The rent is 1150 euros.");
    let decided = from.post("/lar/v1/memories/smart", &json!({ "content": "The rent is 1240 euros." }));
    assert_eq!(decided.status, 201);
    let long = "Each winter the boiler is serviced by Meyer. ".repeat(90);
    let manual = remember(
        &from,
        &json!({ "content": long, "kind": "procedure", "tags": ["Größe: XL"], "source": "manual" }),
    );
    remember(
        &from,
        &json!({ "content": "And then the pump.", "after": manual, "occurred_at": "2025-06-01", "valid_to": "2031-01-01" }),
    );
    let gone = save_text(&from, "A passing thought.");
    let pinned = from.send("PATCH", &format!("/lar/v1/memories/{manual}"), &json!({ "pinned": true }));
    let deleted = from.send("DELETE", &format!("/lar/v1/memories/{gone}"), &Value::Null);
    assert_eq!((pinned.status, deleted.status), (200, 204));
    let moved = lines(&from);
    assert_eq!(moved.len(), 5);

    let to = Lar::start();
    let done = import(&to, &moved);
    assert_eq!((done.status, done.json()), (200, json!({ "imported": 5, "unchanged": 0 })), "{}", done.body);
    assert_eq!(lines(&to), moved, "nothing is lost or changed");
    let stats = to.get("/lar/v1/memories/stats").json();
    assert_eq!(stats["chunks_without_embeddings"], 0, "the vectors are imported");
    assert_eq!(import(&to, &moved).json(), json!({ "imported": 0, "unchanged": 5 }));
    assert_eq!(lines(&to), moved);

    assert_eq!(search_ids(&to, "what does the flat cost?").len(), 1);
    let then = search(&to, &json!({ "query": "rent", "filters": { "superseded": true } }));
    assert!(ids(&then).contains(&old));
    let undone = to.post(&format!("/lar/v1/memories/{old}/undo"), &json!({}));
    assert_eq!(undone.status, 200, "the history is imported: {}", undone.body);
    assert_eq!(search_ids(&to, "rent"), [old]);
    assert_eq!(import(&to, &moved).json()["unchanged"], 5, "later changes are kept");
}

#[test]
fn an_invalid_export_is_refused_as_a_whole() {
    let from = Lar::start();
    save_text(&from, "The winch is stuck.");
    save_text(&from, "The sail is torn.");
    let good = lines(&from);
    let to = Lar::start();
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut lines = good.clone();
        change(&mut lines[1]);
        let answer = import(&to, &lines);
        assert_eq!(answer.status, 400, "{}", answer.body);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    assert!(broken(&|line| line["content"] = json!("")).contains("content"));
    assert!(broken(&|line| line["content"] = json!("my password is hunter22")).contains("secret"));
    assert!(broken(&|line| line["kind"] = json!("rumour")).contains("line 2"));
    assert!(broken(&|line| line["stability"] = json!(-1.0)).contains("stability"));
    assert!(broken(&|line| line["difficulty"] = json!(1e9)).contains("difficulty"));
    assert!(broken(&|line| line["passages"][0]["vectors"] = json!("AAAA")).contains("vectors"));
    assert!(broken(&|line| line["passages"][0]["dimension"] = json!(7)).contains("vectors"));
    assert!(broken(&|line| line["history"][0]["before"] = json!({ "seq": 1 })).contains("seq"));
    assert!(broken(&|line| line["surprise"] = json!(1)).contains("surprise"));
    assert_eq!(to.get("/lar/v1/memories/stats").json()["memories"], 0, "nothing of it was stored");

    // An id that belongs to somebody else's memory is not taken over.
    assert_eq!(import(&to, &good).status, 200);
    let secret =
        to.post("/lar/v1/users", &json!({ "name": "ana" })).json()["secret"].as_str().unwrap().to_owned();
    let body = good.iter().map(|line| format!("{line}\n")).collect::<String>();
    let head = format!(
        "POST /lar/v1/memories/import HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {secret}\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        to.address,
        body.len()
    );
    assert_eq!(to.raw(&head, body.as_bytes()).status, 409);
    let ana = format!("authorization: Bearer {secret}\r\n");
    assert_eq!(with(&to, &ana, "GET", "/lar/v1/memories/export", &Value::Null).body, "");
}

#[test]
fn a_folder_of_markdown_is_edited_and_read_back() {
    let lar = Lar::start();
    let id = remember(&lar, &json!({ "content": "The boat is called Nele.", "tags": ["boat"] }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let cli = |arguments: &[&str]| {
        let done = lar.cli(arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert!(cli(&["memory", "export", "--markdown", path]).starts_with("Exported 1 file "));
    assert!(cli(&["memory", "import", path]).contains("0 new, 0 changed, 1 unchanged"));
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("id: {id}")), "{text}");
    std::fs::write(&file, text.replace("Nele", "Fiete").replace("[\"boat\"]", "boat, sea")).unwrap();
    std::fs::write(folder.path().join("new.md"), "The harbour is in Kappeln.\n").unwrap();
    assert!(cli(&["memory", "import", path]).contains("1 new, 1 changed, 0 unchanged"));
    assert!(cli(&["memory", "import", path]).contains("0 new, 0 changed, 2 unchanged"));
    let memory = lar.get(&format!("/lar/v1/memories/{id}")).json();
    assert_eq!(
        (&memory["content"], &memory["tags"]),
        (&json!("The boat is called Fiete."), &json!(["boat", "sea"]))
    );
    assert!(std::fs::read_to_string(folder.path().join("new.md")).unwrap().contains("id: mem_"));
    std::fs::write(folder.path().join("bad.md"), "---\npinned: perhaps\n---\nText\n").unwrap();
    let refused = lar.cli(&["memory", "import", path]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bad.md"), "the file is named");
}
