//! `lar memory import --from`: imports the memories of other programs.

use std::fs;

use lar_tests::Lar;
use serde_json::json;

use super::search_ids;

fn import(lar: &Lar, arguments: &[&str]) -> (bool, String) {
    let done = lar.cli(&[&["memory", "import"], arguments].concat());
    (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

#[test]
fn memories_of_other_programs_are_counted_then_imported_once() {
    let (lar, folder) = (Lar::start(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mem0 = json!({ "results": [
        { "id": "1", "memory": "The boiler is serviced in June.", "created_at": "2025-06-01T10:00:00.123456-07:00", "categories": ["home"] },
        { "id": "2", "memory": "The key is ghp_16C7e42F292c6912E7710c838347Ae178B4a." },
        { "id": "3" },
    ] });
    fs::write(at("mem0.json"), mem0.to_string()).unwrap();
    let (ok, output) = import(&lar, &[&at("mem0.json"), "--from", "mem0", "--dry-run"]);
    assert!(ok && output.contains("Would import 2 memories (2 fact). Skipped: 1 without text."), "{output}");
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 0);
    let (ok, output) = import(&lar, &[&at("mem0.json"), "--from", "mem0"]);
    assert!(ok && output.contains("Imported 1 memory") && output.contains("1 rejected by Lar"), "{output}");
    let (ok, output) = import(&lar, &[&at("mem0.json"), "--from", "mem0"]);
    assert!(ok && output.contains("Imported 0 memories") && output.contains("1 already existed"), "{output}");
    let id = search_ids(&lar, "When is the boiler serviced?").remove(0);
    let memory = lar.get(&format!("/lar/v1/memories/{id}")).json();
    assert_eq!((&memory["source"], &memory["tags"]), (&json!("mem0"), &json!(["home"])));
    assert!(memory["occurred_at"].as_str().unwrap().starts_with("2025-06-01T17:00"), "{memory}");

    let server = "{\"type\":\"entity\",\"name\":\"Anna\",\"entityType\":\"person\",\"observations\":[\"lives in Oslo\"]}\n";
    fs::write(at("memory.jsonl"), server).unwrap();
    assert!(import(&lar, &[&at("memory.jsonl"), "--from", "mcp-memory"]).1.contains("Imported 1 memory"));
    fs::create_dir_all(folder.path().join("notes/sub")).unwrap();
    fs::write(
        folder.path().join("notes/sub/tea.md"),
        "---\ntitle: Tea\n---\n- [fact] Green tea is brewed at 80 degrees\n",
    )
    .unwrap();
    assert!(import(&lar, &[&at("notes"), "--from", "basic-memory"]).1.contains("Imported 1 memory"));
    fs::write(at("CLAUDE.md"), "# Rules\n- Tests before pushes\n").unwrap();
    assert!(import(&lar, &[&at("CLAUDE.md"), "--from", "claude-md"]).1.contains("Imported 1 memory"));
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
