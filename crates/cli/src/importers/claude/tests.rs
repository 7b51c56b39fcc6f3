//! Claude's memory as people copy it, and a small export.

use serde_json::json;

use super::*;

const MEMORY: &str = "# Memory\n\n**Work context**\n\nMira restores water mills in Kent. She runs\na firm of three.\n\n\
    **Personal context**\n\n- Has a cat named Juno\n- Is learning Slovene\n\n**Top of mind**\n\n**Brief history**\n\n\
    *Recent months*\n\nShe planned a new wheel.\n";

fn parsed(name: &str, text: &str, with_turns: bool) -> ParsedExport {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let mut read = ParsedExport::default();
    parse(&folder.path().join(name), with_turns, &mut read).unwrap();
    read
}

fn contents(read: &ParsedExport) -> Vec<&str> {
    read.entries.iter().map(|entry| entry.memory.content.as_str()).collect()
}

#[test]
fn passages_of_the_memory_are_facts_with_their_titles() {
    let expected = [
        "Memory > Work context: Mira restores water mills in Kent. She runs a firm of three.",
        "Memory > Personal context: Has a cat named Juno",
        "Memory > Personal context: Is learning Slovene",
        "Memory > Brief history > Recent months: She planned a new wheel.",
    ];
    let read = parsed("memory.md", &format!("\u{feff}{}", MEMORY.replace('\n', "\r\n")), false);
    assert_eq!(contents(&read), expected);
    assert!(read.entries.iter().all(|entry| entry.memory.kind.is_none()), "facts, not procedures");
    assert_eq!(read.skipped.len(), 1);
    assert_eq!(read.skipped[0].location.to_string(), "memory.md, line 13");
    assert_eq!(contents(&parsed("memory.md", &format!("```markdown\n{MEMORY}```\n"), false)), expected);
}

#[test]
fn a_list_with_dates_has_one_memory_per_line() {
    let text = "What I know:\n[2025-03-01] - Mira restores mills.\n[2025-03-02] - Mira has a cat.\n";
    let read = parsed("memory.txt", text, false);
    assert_eq!(contents(&read), ["Mira restores mills.", "Mira has a cat."]);
    assert_eq!(read.entries[1].memory.occurred_at.as_deref(), Some("2025-03-02T00:00:00.000Z"));
}

#[test]
fn the_export_has_memories_of_conversations_projects_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: Value| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    write(
        "memories/acct.json",
        json!({ "conversations_memory": MEMORY, "project_memories": { "p1": "Uses oak only.", "p2": "Other." },
                "memory_files": [{ "path": "/profile.md", "content": "- [stated] Prefers metric units", "updated_at": "2026-01-02T03:04:05.000000Z" }] }),
    );
    write(
        "projects/p1.json",
        json!({ "uuid": "p1", "name": "Wheel", "description": "A new wheel", "prompt_template": "Answer briefly.",
                "docs": [{ "filename": "plan.pdf", "content": "…" }], "created_at": "2025-01-01T00:00:00Z" }),
    );
    write("conversations.json", json!([conversation()]));
    write("users.json", json!([{ "full_name": "Mira", "email_address": "mira@example.com" }]));
    let mut read = ParsedExport::default();
    parse(folder.path(), false, &mut read).unwrap();
    let found = contents(&read);
    assert_eq!(found.len(), 9, "{found:?}");
    for expected in [
        "Project Wheel: A new wheel",
        "Instructions for the project Wheel: Answer briefly.",
        "Memory > Work context: Mira restores water mills in Kent. She runs a firm of three.",
        "Uses oak only.",
        "[stated] Prefers metric units",
    ] {
        assert!(found.contains(&expected), "{expected} is missing from {found:?}");
    }
    let of = |text: &str| &read.entries.iter().find(|one| one.memory.content == text).unwrap().memory;
    assert_eq!(of("Uses oak only.").project.as_deref(), Some("Wheel"));
    assert_eq!(of("Other.").project.as_deref(), Some("p2"));
    let profile = of("[stated] Prefers metric units");
    assert_eq!(profile.source.as_deref(), Some("claude: /profile.md"));
    assert_eq!(profile.occurred_at.as_deref(), Some("2026-01-02T03:04:05.000Z"));
    let skipped: Vec<&str> = read.skipped.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(
        skipped,
        [
            "documents of projects",
            "conversations (import their turns with --conversations)",
            "titles without text",
            "files without memories"
        ]
    );
}

fn conversation() -> Value {
    json!({ "uuid": "c1", "name": "Wheel", "created_at": "2025-05-01T10:00:00Z", "chat_messages": [
        { "uuid": "m1", "sender": "human", "text": "old text", "created_at": "2025-05-01T10:00:00.5Z",
          "content": [{ "type": "text", "text": "Which oak?" }],
          "attachments": [{ "file_name": "plan.txt", "extracted_content": "lengths" }], "files": [{ "file_name": "wheel.png" }] },
        { "uuid": "m2", "sender": "assistant", "text": "", "created_at": "2025-05-01T10:00:09Z",
          "content": [{ "type": "thinking", "thinking": "hm" }, { "type": "text", "text": "Green oak." }, { "type": "text", "text": "Split it." }] },
        { "uuid": "m3", "sender": "human", "text": "Thanks", "created_at": "2025-05-01T10:01:00Z", "content": [] },
    ] })
}

#[test]
fn turns_of_conversations_follow_each_other() {
    let read = parsed("conversations.json", &json!([conversation()]).to_string(), true);
    assert_eq!(
        contents(&read),
        [
            "User: Which oak?\n\n[attachment: plan.txt]\n\n[attachment: wheel.png]",
            "Claude: Green oak.\n\nSplit it.",
            "User: Thanks"
        ]
    );
    let follows: Vec<Option<usize>> = read.entries.iter().map(|entry| entry.follows).collect();
    assert_eq!(follows, [None, Some(0), Some(1)]);
    let first = &read.entries[0].memory;
    assert_eq!((first.conversation.as_deref(), first.message.as_deref()), (Some("c1"), Some("m1")));
    assert_eq!(first.occurred_at.as_deref(), Some("2025-05-01T10:00:00.500Z"));
    assert!(read.skipped[0].location.to_string().ends_with("conversation “Wheel” with 2 of them"));
}

#[test]
fn parts_that_are_not_read_are_named() {
    let memories = json!([{ "conversations_memory": ["a list"], "project_memories": { "p1": { "text": "x" } },
        "memory_files": [{ "path": "/a.md" }], "new_memory": "unknown", "account_uuid": "1" }]);
    let read = parsed("memories.json", &memories.to_string(), false);
    let named: Vec<String> = skipped(&read);
    let expected = ["memory of the project p1", "/a.md", "`conversations_memory`", "`new_memory`"];
    assert_eq!(named, expected.map(|part| format!("memories.json, {part}: parts that Lar does not know")));

    let projects = json!([{ "uuid": "p1", "name": "Wheel", "description": "", "created_at": "2025-01-01" },
        { "uuid": "p2", "name": "Gate", "description": "A gate", "goal": "Open" }]);
    let read = parsed("projects.json", &projects.to_string(), false);
    assert_eq!(
        skipped(&read),
        [
            "projects.json, project Wheel: projects with only a name",
            "projects.json, `goal` of the project Gate: parts that Lar does not know"
        ]
    );
}

#[test]
fn summaries_are_kept_and_unknown_speakers_are_counted() {
    let mut talk = conversation();
    talk["summary"] = json!("Mira chose oak.");
    talk["updated_at"] = json!("2025-05-02T10:00:00Z");
    talk["chat_messages"].as_array_mut().unwrap().extend([
        json!({ "uuid": "m4", "sender": "tool", "text": "result" }),
        json!({ "uuid": "m5", "sender": "human", "text": "See", "files": [{ "file_uuid": "f" }] }),
    ]);
    let read = parsed("conversations.json", &json!([talk]).to_string(), true);
    let found = contents(&read);
    assert_eq!(found[0], "Summary of the conversation “Wheel”: Mira chose oak.");
    assert_eq!(read.entries[0].memory.occurred_at.as_deref(), Some("2025-05-02T10:00:00.000Z"));
    assert_eq!(found.last(), Some(&"User: See\n\n[attachment]"));
    assert!(read.skipped[0].location.to_string().ends_with("conversation “Wheel” with 3 of them"));
}

fn skipped(read: &ParsedExport) -> Vec<String> {
    read.skipped.iter().map(|one| format!("{}: {}", one.location, one.reason)).collect()
}
