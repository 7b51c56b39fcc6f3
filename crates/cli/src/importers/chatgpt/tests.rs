//! A small export with what real ones have: branches, hidden messages, tool calls, saved memories and custom
//! instructions.

use serde_json::json;

use super::*;

fn message(id: &str, role: &str, text: &str, time: f64) -> Value {
    json!({ "id": id, "author": { "role": role, "name": null }, "create_time": time, "recipient": "all",
            "content": { "content_type": "text", "parts": [text] }, "metadata": {} })
}

fn export() -> Value {
    let mut hidden = message("m0", "system", "", 1_717_236_000.0);
    hidden["metadata"] = json!({ "is_visually_hidden_from_conversation": true });
    let context = json!({
        "id": "m1", "author": { "role": "user" }, "create_time": null, "recipient": "all",
        "content": {
            "content_type": "user_editable_context",
            "user_profile": "The user provided this about themselves.\nUser profile:\n```I restore mills in Kent.```",
            "user_instructions": "How they would like you to respond:\n```text\nNo emoji.\n```",
        },
        "metadata": { "is_visually_hidden_from_conversation": true },
    });
    let mut bio = message("m4", "assistant", "User has a cat named Juno.", 1_717_236_020.0);
    bio["recipient"] = json!("bio");
    let mut photo = message("m2", "user", "", 1_717_236_010.5);
    photo["content"] = json!({ "content_type": "multimodal_text", "parts": [{ "content_type": "image_asset_pointer" }, "This is my cat Juno"] });
    photo["metadata"] = json!({ "attachments": [{ "name": "juno.jpg" }] });
    let mut thought = message("m5", "assistant", "The user has a cat.", 1_717_236_021.0);
    thought["content"]["content_type"] = json!("thoughts");
    let snapshot = json!({
        "id": "m7", "author": { "role": "assistant" }, "create_time": 1_720_000_000.0,
        "content": { "content_type": "model_editable_context",
                     "model_set_context": "1. [2024-05-03]. User likes oak.\n\n2. [2024-06-01]. User has a cat named Juno." },
    });
    json!([
        { "title": "My cat", "conversation_id": "c1", "create_time": 1_717_236_000.0, "current_node": "n6", "mapping": {
            "root": { "id": "root", "message": null, "parent": null, "children": ["n0"] },
            "n0": { "message": hidden, "parent": "root", "children": ["n1"] },
            "n1": { "message": context, "parent": "n0", "children": ["n2", "n9"] },
            "n2": { "message": photo, "parent": "n1", "children": ["n4"] },
            "n4": { "message": bio, "parent": "n2", "children": ["n5"] },
            "n5": { "message": thought, "parent": "n4", "children": ["n6"] },
            "n6": { "message": message("m6", "assistant", "What a name!", 1_717_236_030.0), "parent": "n5", "children": [] },
            "n9": { "message": message("m9", "user", "An edited message", 1_717_236_005.0), "parent": "n1", "children": [] },
        } },
        { "title": "Later", "conversation_id": "c2", "create_time": 1_720_000_000.0, "mapping": {
            "a": { "message": snapshot, "parent": null, "children": ["b"] },
            "b": { "message": message("m8", "user", "Hello again", 1_720_000_001.0), "parent": "a", "children": [] },
        } },
    ])
}

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

fn skipped(read: &ParsedExport) -> Vec<String> {
    read.skipped.iter().map(|one| format!("{}: {}", one.location, one.reason)).collect()
}

#[test]
fn saved_memories_and_custom_instructions_are_imported_once() {
    let read = parsed("conversations.json", &export().to_string(), false);
    assert_eq!(
        contents(&read),
        [
            "User likes oak.",
            "User has a cat named Juno.",
            "About the user: I restore mills in Kent.",
            "How to respond: No emoji."
        ]
    );
    let cat = &read.entries[1].memory;
    assert_eq!(
        cat.occurred_at.as_deref(),
        Some("2024-06-01T00:00:00.000Z"),
        "the day in the list is earlier"
    );
    assert_eq!((cat.source.as_deref(), cat.kind.as_deref()), (Some("chatgpt"), None));
    assert_eq!(read.entries[3].memory.kind.as_deref(), Some("preference"));
    assert_eq!(
        skipped(&read),
        [
            "conversations.json, conversation “My cat” with 2 turns: conversations (import their turns with --conversations)",
            "conversations.json, conversation “Later” with 1 turns: conversations (import their turns with --conversations)"
        ]
    );
}

#[test]
fn turns_of_the_last_branch_follow_each_other() {
    let read = parsed("conversations.json", &export().to_string(), true);
    let turns: Vec<&super::super::parsed_export::Entry> =
        read.entries.iter().filter(|entry| entry.memory.tags.contains(&"dialogue".to_owned())).collect();
    let texts: Vec<&str> = turns.iter().map(|turn| turn.memory.content.as_str()).collect();
    assert_eq!(
        texts,
        [
            "User: [image]\nThis is my cat Juno\n[attachment: juno.jpg]",
            "ChatGPT: What a name!",
            "User: Hello again"
        ]
    );
    assert_eq!(turns.iter().map(|turn| turn.follows).collect::<Vec<_>>(), [None, Some(0), None]);
    let first = &turns[0].memory;
    assert_eq!((first.conversation.as_deref(), first.message.as_deref()), (Some("c1"), Some("m2")));
    assert_eq!(first.occurred_at.as_deref(), Some("2024-06-01T10:00:10.500Z"));
    assert_eq!(first.source.as_deref(), Some("chatgpt: My cat"));
    assert_eq!(turns[1].memory.tags, ["dialogue", "role:assistant"]);
    assert!(skipped(&read)[0].contains("conversation “My cat” with 3 of them"), "{:?}", skipped(&read));
}

#[test]
fn older_custom_instructions_end_with_their_last_use() {
    let context = |text: &str, time: f64| {
        json!({ "title": "t", "create_time": time, "mapping": { "a": { "message": {
            "author": { "role": "user" }, "content": { "content_type": "user_editable_context" },
            "metadata": { "user_context_message_data": { "about_user_message": text } },
        }, "children": [] } } })
    };
    let export = json!([
        context("Lives in Kent", 1e9),
        context("Lives in Graz", 1.1e9),
        context("Lives in Kent", 1.05e9)
    ]);
    let read = parsed("conversations-000.json", &export.to_string(), false);
    let found: Vec<(&str, Option<&str>)> = read
        .entries
        .iter()
        .map(|one| (one.memory.content.as_str(), one.memory.valid_to.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("About the user: Lives in Graz", None),
            ("About the user: Lives in Kent", Some("2003-04-10T18:40:00.001Z"))
        ]
    );
    assert_eq!(read.entries[1].memory.occurred_at.as_deref(), Some("2001-09-09T01:46:40.000Z"));
}

#[test]
fn a_list_of_memories_as_text_has_one_memory_per_line() {
    let text = "\u{feff}Saved memories:\r\nUser is allergic to walnuts.\r\n[2025-01-02] - User builds mills.\r\n\r\nPrefers metric units\r\n";
    let read = parsed("memories.txt", text, false);
    assert_eq!(
        contents(&read),
        ["User is allergic to walnuts.", "User builds mills.", "Prefers metric units"]
    );
    assert_eq!(read.entries[1].memory.occurred_at.as_deref(), Some("2025-01-02T00:00:00.000Z"));
    assert_eq!(skipped(&read), ["memories.txt, line 1: titles and introductions"]);
    let dated =
        parsed("memories.txt", "[2025-01-02] User builds mills.\n[2025-01-03] User likes oak.\n", false);
    assert_eq!(contents(&dated), ["User builds mills.", "User likes oak."]);
}

#[test]
fn a_broken_file_of_the_export_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let whole = export().to_string();
    std::fs::write(folder.path().join("conversations-000.json"), &whole[..whole.len() - 9]).unwrap();
    std::fs::write(
        folder.path().join("memory.json"),
        r#"[{"content": "User sails", "created_at": "2025-01-02"}, {"content": "Off", "enabled": false}]"#,
    )
    .unwrap();
    std::fs::write(folder.path().join("user.json"), r#"{"email": "a@example.com"}"#).unwrap();
    std::fs::write(folder.path().join("chat.html"), "<html>").unwrap();
    let mut read = ParsedExport::default();
    parse(folder.path(), false, &mut read).unwrap();
    assert!(
        contents(&read).contains(&"User sails")
            && contents(&read).contains(&"About the user: I restore mills in Kent.")
    );
    assert_eq!(read.failed.len(), 1);
    assert!(read.failed[0].reason.starts_with("not valid JSON"), "{}", read.failed[0].reason);
    let places: Vec<String> = read.skipped.iter().map(|one| one.location.to_string()).collect();
    assert_eq!(
        places,
        [
            "chat.html",
            "conversations-000.json, conversation “My cat” with 2 turns",
            "memory.json, item 2",
            "user.json"
        ]
    );
}

#[test]
fn every_part_of_a_conversation_is_kept_or_counted() {
    let mut voice = message("v", "user", "", 1_717_236_000.0);
    voice["content"] = json!({ "content_type": "multimodal_text", "parts": [
        { "content_type": "audio_transcription", "text": "Hello" }, { "content_type": "audio_asset_pointer" },
        { "content_type": "something_else" },
    ] });
    voice["metadata"] = json!({ "attachments": [{ "id": "file-1" }] });
    voice["create_time"] = json!("2024-06-01T10:00:00Z");
    let mut code = message("c", "assistant", "", 1_717_236_001.0);
    code["content"] = json!({ "content_type": "code", "language": "python", "text": "print(1)" });
    let mut profile = message("p", "user", "", 1_717_236_000.0);
    profile["content"] = json!({ "content_type": "user_editable_context" });
    profile["metadata"] = json!({ "user_context_message_data": {
        "about_user_message": "Restores mills", "name_user_message": "Mira", "traits_model_message": "Be brief",
    } });
    let export = json!([{ "title": "t", "current_node": "c", "mapping": {
        "p": { "message": profile, "parent": null, "children": ["v"] },
        "v": { "message": voice, "parent": "p", "children": ["c"] },
        "c": { "message": code, "parent": "v", "children": [] },
    } }]);
    let read = parsed("conversations.json", &export.to_string(), true);
    assert_eq!(
        contents(&read),
        [
            "User: Hello\n[audio]\n[attachment]\n[attachment]",
            "About the user: Restores mills\nname: Mira",
            "How to respond: traits: Be brief"
        ]
    );
    assert_eq!(read.entries[0].memory.occurred_at.as_deref(), Some("2024-06-01T10:00:00.000Z"));
    assert!(skipped(&read)[0].contains("with 1 of them"), "the code is counted: {:?}", skipped(&read));
}

#[test]
fn fields_of_a_json_list_are_kept_and_other_items_are_named() {
    let list = r#"[{"content": "User sails", "created_at": 1717236000, "status": "active", "id": "1"},
                   {"content": "User paints", "created_at": "soon"}, {"title": "no memory"}]"#;
    let read = parsed("memory.json", list, false);
    let sails = &read.entries.iter().find(|one| one.memory.content == "User sails").unwrap().memory;
    assert_eq!(sails.occurred_at.as_deref(), Some("2024-06-01T10:00:00.000Z"));
    assert_eq!(sails.tags, ["status:active"]);
    assert_eq!(
        skipped(&read),
        [
            "memory.json, item 2: times that cannot be read (the memory is kept without them)",
            "memory.json, item 3: items without memories"
        ]
    );
}
