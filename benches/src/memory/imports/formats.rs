//! The exports of each format, with parts of known content.
//!
//! Each part has a number of three digits with a letter after it, so that no part is found in another one.

use std::path::Path;

use serde_json::{Value, json};

use super::Export;
use super::PartKind::{Label, Link, Named, Text, Time};

/// The memories of an export.
const ITEMS: usize = 200;
/// A text that Lar refuses.
const SECRET: &str = "The key is ghp_16C7e42F292c6912E7710c838347Ae178B4a";

type Write = fn(&Path) -> anyhow::Result<Export>;

/// All formats.
pub(super) const ALL: [(&str, Write); 10] = [
    ("Obsidian", obsidian),
    ("basic-memory", basic_memory),
    ("mem0", mem0),
    ("MCP memory server", mcp_memory),
    ("Vestige", vestige),
    ("CLAUDE.md", instructions),
    ("ChatGPT, list", chatgpt_list),
    ("ChatGPT, export with conversations", chatgpt),
    ("Claude, export with conversations", claude),
    ("Lar, JSON lines", lar),
];

/// Returns a day of its own for each number.
fn day(number: usize) -> String {
    format!("{}-{:02}-{:02}", 2000 + number / 300, number / 25 % 12 + 1, number % 25 + 1)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, text)?)
}

fn obsidian(folder: &Path) -> anyhow::Result<Export> {
    let mut export = Export::new(folder, &["--from", "obsidian"]);
    for at in 0..ITEMS {
        let name = format!("Area {}/Note {at:03}n.md", at % 5);
        let day = day(at);
        let text = format!(
            "---\ncreated: {day} # by hand {at:03}c\ntags: [tag-{at:03}t]\naliases: [Other {at:03}a]\n\
             project: [Project {at:03}p, Second {at:03}s]\nmood: calm {at:03}m\n---\n# Note {at:03}n\n\n\
             Sentence {at:03}x about [[Target {at:03}l]] and ![[photo {at:03}f.png]].\n\n## Heading {at:03}h\n\n\
             - [ ] Task {at:03}k #word-{at:03}w\n"
        );
        // Every third note has the line ends of Windows and a byte order mark.
        let text = if at % 3 == 0 { format!("\u{feff}{}", text.replace('\n', "\r\n")) } else { text };
        write(&folder.join(&name), &text)?;
        export.part(Text, format!("Sentence {at:03}x"));
        export.part(Text, format!("Heading {at:03}h"));
        export.part(Text, format!("Task {at:03}k"));
        export.part(Link, format!("[[Target {at:03}l]]"));
        export.part(Link, format!("![[photo {at:03}f.png]]"));
        export.part(Time, day);
        for label in
            ["tag-{}t", "Other {}a", "Project {}p", "Second {}s", "calm {}m", "by hand {}c", "word-{}w"]
        {
            export.part(Label, label.replace("{}", &format!("{at:03}")));
        }
    }
    let long: String =
        (0..60).map(|at| format!("\n## Part {at:03}\n\nA longer sentence {at:03}y of it.\n")).collect();
    write(&folder.join("Long.md"), &format!("{long}\n## Nothing\n"))?;
    (0..60).for_each(|at| export.part(Text, format!("A longer sentence {at:03}y")));
    for (name, bytes) in [
        ("photo.png", b"png".as_slice()),
        ("empty.md", b""),
        ("bad.md", b"K\xe4se"),
        ("secret.md", SECRET.as_bytes()),
        ("plan.excalidraw.md", b"{}"),
    ] {
        std::fs::write(folder.join(name), bytes)?;
        export.part(Named, name);
    }
    export.part(Named, "headings without text");
    Ok(export)
}

fn basic_memory(folder: &Path) -> anyhow::Result<Export> {
    let mut export = Export::new(folder, &["--from", "basic-memory"]);
    for at in 0..ITEMS {
        let day = day(at);
        let text = format!(
            "---\ntitle: Note {at:03}n\ntype: note\npermalink: old/{at:03}q\ncreated: {day}\n\
             tags: [tag-{at:03}t]\n---\n# Note {at:03}n\n\n## Heading {at:03}h\n- [method] Sentence {at:03}x \
             #word-{at:03}w (context {at:03}c)\n\n\
             ## Relations\n- depends_on [[Target {at:03}l|shown {at:03}s]]\n- a plain item {at:03}i\n"
        );
        write(&folder.join(format!("note {at:03}.md")), &text)?;
        for kept in ["Heading {}h", "Sentence {}x", "context {}c", "a plain item {}i"] {
            export.part(Text, kept.replace("{}", &format!("{at:03}")));
        }
        export.part(Link, format!("depends on Target {at:03}l"));
        export.part(Link, format!("shown {at:03}s"));
        export.part(Time, day);
        for label in ["tag-{}t", "word-{}w", "old/{}q"] {
            export.part(Label, label.replace("{}", &format!("{at:03}")));
        }
    }
    write(&folder.join("secret.md"), &format!("- [fact] {SECRET}\n"))?;
    write(&folder.join("empty.md"), "---\ntype: note\n---\n")?;
    write(&folder.join("headings.md"), "# headings\n## Nothing\n## Observations\n- [fact] One fact\n")?;
    for name in ["secret.md", "empty.md", "headings without text"] {
        export.part(Named, name);
    }
    Ok(export)
}

fn mem0(folder: &Path) -> anyhow::Result<Export> {
    let path = folder.join("mem0.json");
    let mut export = Export::new(&path, &["--from", "mem0"]);
    let mut items: Vec<Value> = Vec::new();
    for at in 0..ITEMS {
        let day = day(at);
        items.push(json!({
            "id": format!("{at}"), "memory": format!("Sentence {at:03}x"), "hash": "ab", "score": 0.5,
            "user_id": format!("user {at:03}u"), "owner": format!("owner {at:03}o"),
            "organization": format!("team {at:03}g"),
            "run_id": format!("run {at:03}r"), "categories": [format!("tag-{at:03}t")],
            "metadata": { "mood": format!("calm {at:03}m"), "place": { "city": format!("city {at:03}c") } },
            "structured_attributes": { "day": 1, "weather": format!("rain {at:03}w") },
            "created_at": format!("{day}T10:00:00"),
            "input": if at % 10 == 0 { json!([{ "role": "user", "content": "said" }]) } else { Value::Null },
        }));
        export.part(Text, format!("Sentence {at:03}x"));
        export.part(Time, format!("{day}T10:00"));
        for label in
            ["user {}u", "owner {}o", "team {}g", "run {}r", "tag-{}t", "calm {}m", "city {}c", "rain {}w"]
        {
            export.part(Label, label.replace("{}", &format!("{at:03}")));
        }
        if at % 10 == 0 {
            export.part(Named, format!("|item {}|the messages", at + 1));
        }
    }
    items.push(json!({ "memory": SECRET }));
    items.push(json!({ "id": "empty" }));
    items.push(items[0].clone());
    (1..=3).for_each(|more| export.part(Named, format!("|item {}|", ITEMS + more)));
    let relations: Vec<Value> = (0..ITEMS)
        .map(|at| {
            json!({ "source": format!("from {at:03}f"), "relationship": "works_at",
            "target": format!("Target {at:03}l") })
        })
        .collect();
    (0..ITEMS).for_each(|at| export.part(Link, format!("from {at:03}f works at Target {at:03}l")));
    write(&path, &json!({ "results": items, "relations": relations, "next": "page 2" }).to_string())?;
    export.part(Named, "`next`");
    Ok(export)
}

fn mcp_memory(folder: &Path) -> anyhow::Result<Export> {
    let path = folder.join("memory.jsonl");
    let mut export = Export::new(&path, &["--from", "mcp-memory"]);
    let mut lines: Vec<String> = Vec::new();
    for at in 0..ITEMS {
        let entity = json!({ "type": "entity", "name": format!("Name {at:03}n"),
            "entityType": format!("type-{at:03}t"),
            "observations": [format!("Sentence {at:03}x"), { "content": format!("Sentence {at:03}y") }],
            "team": format!("team {at:03}g") });
        let relation = json!({ "type": "relation", "from": format!("Name {at:03}n"),
            "to": format!("Target {at:03}l"), "relationType": "works_at" });
        lines.extend([entity.to_string(), relation.to_string()]);
        export.part(Text, format!("Name {at:03}n: Sentence {at:03}x"));
        export.part(Text, format!("Name {at:03}n: Sentence {at:03}y"));
        export.part(Link, format!("Name {at:03}n works at Target {at:03}l"));
        export.part(Label, format!("type-{at:03}t"));
        export.part(Label, format!("team {at:03}g"));
    }
    for bad in [
        "{\"type\":".to_owned(),
        json!({ "type": "entity", "name": "Alone" }).to_string(),
        json!({ "type": "entity", "name": "Secret", "observations": [SECRET] }).to_string(),
        json!({ "type": "relation", "from": "Alone" }).to_string(),
        json!({ "type": "other" }).to_string(),
    ] {
        lines.push(bad);
        export.part(Named, format!("|line {}|", lines.len()));
    }
    write(&path, &lines.join("\r\n"))?;
    Ok(export)
}

fn vestige(folder: &Path) -> anyhow::Result<Export> {
    let path = folder.join("vestige.json");
    let mut export = Export::new(&path, &["--from", "vestige"]);
    let mut nodes: Vec<Value> = Vec::new();
    for at in 0..ITEMS {
        let day = day(at);
        nodes.push(
            json!({ "id": format!("{at}"), "content": format!("Sentence {at:03}x"), "nodeType": "concept",
            "tags": [format!("tag-{at:03}t")],
            "source": format!("source {at:03}s"), "createdAt": format!("{day}T10:00:00Z"), "stability": 2.5,
            "mood": format!("calm {at:03}m") }),
        );
        export.part(Text, format!("Sentence {at:03}x"));
        export.part(Time, format!("{day}T10:00"));
        for label in ["tag-{}t", "source {}s", "calm {}m"] {
            export.part(Label, label.replace("{}", &format!("{at:03}")));
        }
    }
    nodes.push(json!({ "content": "gone", "deletedAt": "2025-01-01" }));
    nodes.push(json!({ "content": " " }));
    nodes.push(json!({ "content": SECRET }));
    (1..=3).for_each(|more| export.part(Named, format!("|item {}|", ITEMS + more)));
    write(&path, &json!({ "nodes": nodes, "edges": [{ "from": "0", "to": "1" }] }).to_string())?;
    export.part(Named, "`edges`");
    Ok(export)
}

fn instructions(folder: &Path) -> anyhow::Result<Export> {
    let path = folder.join("CLAUDE.md");
    let mut export = Export::new(&path, &["--from", "claude-md"]);
    let mut text = String::from("---\nglobs: src\n---\n# Rules\n\n@docs/style.md\n\n## Nothing\n");
    for at in 0..ITEMS {
        text.push_str(&format!(
            "\n## Title {at:03}h\n\n- Sentence {at:03}x\n\nA paragraph {at:03}y:\n```sh\nmake {at:03}c\n```\n"
        ));
        for kept in ["Title {}h", "Sentence {}x", "A paragraph {}y", "make {}c"] {
            export.part(Text, kept.replace("{}", &format!("{at:03}")));
        }
    }
    write(&path, &text)?;
    for named in ["|line 1|", "|line 6|", "|line 8|"] {
        export.part(Named, named);
    }
    Ok(export)
}

fn chatgpt_list(folder: &Path) -> anyhow::Result<Export> {
    let path = folder.join("memories.txt");
    let mut export = Export::new(&path, &["--from", "chatgpt"]);
    let mut text = String::from("Saved memories:\r\n");
    for at in 0..ITEMS {
        let day = day(at);
        text.push_str(&format!("[{day}] - Sentence {at:03}x\r\n"));
        export.part(Text, format!("Sentence {at:03}x"));
        export.part(Time, day);
    }
    text.push_str(&format!("{SECRET}\r\n"));
    write(&path, &text)?;
    export.part(Named, "|line 1|");
    export.part(Named, format!("|line {}|", ITEMS + 2));
    Ok(export)
}

fn chatgpt(folder: &Path) -> anyhow::Result<Export> {
    let mut export = Export::new(folder, &["--from", "chatgpt", "--conversations"]);
    let mut conversations: Vec<Value> = Vec::new();
    for at in 0..ITEMS {
        let time = 1_700_000_000 + at as u64 * 60;
        let message = |role: &str, recipient: &str, text: String| {
            json!({ "id": format!("{role} {recipient} {at}"), "author": { "role": role }, "create_time": time,
                "recipient": recipient,
                    "content": { "content_type": "text", "parts": [text, { "content_type": "image_asset_pointer" }] },
                    "metadata": { "attachments": [{ "name": format!("file {at:03}f.pdf") }] } })
        };
        let thought = json!({ "author": { "role": "assistant" }, "content": { "content_type": "thoughts",
            "thoughts": [{ "content": "hm" }] } });
        let saved = json!({ "author": { "role": "assistant" }, "create_time": time, "recipient": "bio",
            "content": { "content_type": "text", "parts": [format!("Memory {at:03}m")] } });
        conversations.push(
            json!({ "title": format!("Title {at:03}n"), "conversation_id": format!("id {at:03}i"),
            "create_time": time,
            "current_node": "d", "mapping": {
                "a": { "message": message("user", "all", format!("Sentence {at:03}x")), "parent": null,
                "children": ["b"] },
                "b": { "message": saved, "parent": "a", "children": ["c"] },
                "c": { "message": thought, "parent": "b", "children": ["d"] },
                "d": { "message": message("assistant", "all", format!("Answer {at:03}y")), "parent": "c",
                "children": [] },
            } }),
        );
        for kept in ["User: Sentence {}x", "ChatGPT: Answer {}y", "Memory {}m"] {
            export.part(Text, kept.replace("{}", &format!("{at:03}")));
        }
        export.part(Link, format!("[attachment: file {at:03}f.pdf]"));
        export.part(Label, format!("chatgpt: Title {at:03}n"));
        export.part(Label, format!("id {at:03}i"));
        // The thought, and what ChatGPT saved.
        export.part(Named, format!("Title {at:03}n” with 2 of them"));
    }
    write(&folder.join("conversations.json"), &Value::Array(conversations).to_string())?;
    write(&folder.join("user.json"), "{\"email\": \"mira@example.com\"}")?;
    write(&folder.join("chat.html"), "<html>")?;
    write(
        &folder.join("memory.json"),
        &json!([{ "content": "User sails" }, { "other": 1 }, { "content": SECRET }]).to_string(),
    )?;
    for named in ["|user.json|", "|chat.html|", "|memory.json||item 2|", "|memory.json||item 3|"] {
        export.part(Named, named);
    }
    Ok(export)
}

fn claude(folder: &Path) -> anyhow::Result<Export> {
    let mut export = Export::new(folder, &["--from", "claude", "--conversations"]);
    let (mut conversations, mut projects, mut of_projects) = (Vec::new(), Vec::new(), json!({}));
    let mut memory = String::from("# Memory\n");
    for at in 0..ITEMS {
        let day = day(at);
        memory.push_str(&format!("\n**Title {at:03}h**\n\nSentence {at:03}x\n"));
        of_projects[format!("p{at}")] = json!(format!("Memory {at:03}m"));
        projects.push(json!({ "uuid": format!("p{at}"), "name": format!("Project {at:03}p"),
            "description": format!("About {at:03}d"),
            "prompt_template": format!("Answer {at:03}i"), "docs": [{ "filename": format!("file {at:03}f.pdf") }] }));
        conversations.push(json!({ "uuid": format!("c{at:03}u"), "name": format!("Talk {at:03}n"),
            "summary": format!("Summary {at:03}s"), "chat_messages": [
            { "uuid": format!("m{at}"), "sender": "human", "text": format!("Question {at:03}q"),
                "created_at": format!("{day}T10:00:00Z"), "content": [],
              "attachments": [{ "file_name": format!("plan {at:03}a.txt"), "extracted_content": "text" }] },
        ] }));
        for kept in [
            "Title {}h",
            "Sentence {}x",
            "Memory {}m",
            "About {}d",
            "Answer {}i",
            "Summary {}s",
            "User: Question {}q",
        ] {
            export.part(Text, kept.replace("{}", &format!("{at:03}")));
        }
        export.part(Link, format!("[attachment: plan {at:03}a.txt]"));
        export.part(Label, format!("Project {at:03}p"));
        export.part(Label, format!("claude: Talk {at:03}n"));
        export.part(Label, format!("c{at:03}u"));
        export.part(Time, format!("{day}T10:00"));
        export.part(Named, format!("“file {at:03}f.pdf” of the project"));
        export.part(Named, format!("Talk {at:03}n” with 1 of them"));
    }
    let memories = json!([{ "conversations_memory": memory, "project_memories": of_projects,
        "other_memory": "unknown" }]);
    write(&folder.join("memories.json"), &memories.to_string())?;
    write(&folder.join("projects.json"), &Value::Array(projects).to_string())?;
    write(&folder.join("conversations.json"), &Value::Array(conversations).to_string())?;
    write(&folder.join("users.json"), &json!([{ "full_name": "Mira" }]).to_string())?;
    export.part(Named, "`other_memory`");
    export.part(Named, "|users.json|");
    Ok(export)
}

fn lar(folder: &Path) -> anyhow::Result<Export> {
    let path = folder.join("memories.ndjson");
    let mut export = Export::new(&path, &[]);
    let id = |kind: &str, at: usize| format!("{kind}_01a21565817d71c190a87ecc{at:08x}");
    let mut lines: Vec<String> = Vec::new();
    let memory = |at: usize, text: String| {
        let day = day(at);
        json!({ "id": id("mem", at), "content": text, "kind": "fact", "tags": [format!("tag-{at:03}t")],
            "source": format!("source {at:03}s"),
            "written_by": id("key", 1), "occurred_at": format!("{day}T10:00:00.000Z"), "pinned": false,
            "stability": 2.5, "difficulty": 5.0,
            "reviewed_at": "2026-01-01T00:00:00.000Z", "version": 1, "created_at": "2026-01-01T00:00:00.000Z",
            "updated_at": "2026-01-01T00:00:00.000Z" })
    };
    let reminder = |at: usize, text: String| {
        json!({ "intention": { "id": id("int", at), "content": text, "trigger": { "type": "time",
            "at": "2031-01-01T00:00:00.000Z" },
            "priority": "normal", "status": "active", "written_by": id("key", 1),
            "created_at": "2026-01-01T00:00:00.000Z",
            "updated_at": "2026-01-01T00:00:00.000Z" } })
    };
    for at in 0..ITEMS {
        lines.push(memory(at, format!("Sentence {at:03}x")).to_string());
        export.part(Text, format!("Sentence {at:03}x"));
        export.part(Label, format!("tag-{at:03}t"));
        export.part(Label, format!("source {at:03}s"));
        export.part(Time, format!("{}T10:00", day(at)));
    }
    // A repeated memory counts as unchanged.
    lines.push(lines[0].clone());
    for bad in [
        "nope".to_owned(),
        memory(ITEMS, SECRET.into()).to_string(),
        reminder(ITEMS, SECRET.into()).to_string(),
        json!({ "id": 1 }).to_string(),
    ] {
        lines.push(bad);
        export.part(Named, format!("|line {}|", lines.len()));
    }
    for at in 0..ITEMS {
        lines.push(reminder(at, format!("Reminder {at:03}r")).to_string());
        export.part(Text, format!("Reminder {at:03}r"));
    }
    write(&path, &(lines.join("\n") + "\n"))?;
    Ok(export)
}
