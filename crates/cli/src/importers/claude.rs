//! Claude: its memory as Markdown, and the data export.
//!
//! The memory is prose under titles. Each passage becomes a fact with the titles above it; a title alone is no
//! memory. In the export, the memory is in `memories.json` or `memories/`, in three parts: of all conversations, of
//! each project, and as files. Turns are imported only on request.

use std::collections::BTreeMap;
use std::path::Path;

use lar_api::memories::NewMemory;
use serde_json::Value;

use super::dialogue::{Dialogue, Turn};
use super::export_file::read_text;
use super::export_folder::{for_each_object, json_files};
use super::json_items::{has_content, string, time};
use super::memory_list::{ListEntry, dated, entries, has_dated_lines};
use super::parsed_export::ParsedExport;
use super::passages::passages;
use super::report::Location;

/// The fields of an entry of `memories.json`.
const MEMORY_FIELDS: [&str; 3] = ["conversations_memory", "project_memories", "memory_files"];

/// The fields of items that say when and for whom Claude stored them.
const ABOUT_ITEM: [&str; 8] = [
    "uuid",
    "account_uuid",
    "organization_uuid",
    "created_at",
    "updated_at",
    "creator",
    "account",
    "archived_at",
];
/// The fields of a project that are read.
const PROJECT_FIELDS: [&str; 4] = ["name", "description", "prompt_template", "docs"];
/// The reason for a part that is not read.
const UNKNOWN_PART: &str = "parts that Lar does not know";

/// Parses the memory as text, a file of the export or its folder.
///
/// # Errors
/// If the file or the folder cannot be read.
pub(super) fn parse(path: &Path, with_turns: bool, read: &mut ParsedExport) -> anyhow::Result<()> {
    let files = json_files(path, read)?;
    let mut projects = BTreeMap::new();
    for (file, path) in files {
        if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
            push_text(&read_text(&path)?, &file, &Context::default(), read);
            continue;
        }
        for_each_object(&file, &path, read, |location, item, read| {
            if item["chat_messages"].is_array() {
                dialogue(item).push(with_turns, &file, read);
            } else if MEMORY_FIELDS.iter().any(|field| item.get(field).is_some()) {
                push_memories(item, &location, &projects, read);
            } else if let (Some(id), Some(name)) = (string(item, &["uuid"]), string(item, &["name"])) {
                push_project(item, &name, &location, read);
                projects.insert(id, name);
            } else {
                return false;
            }
            true
        });
    }
    Ok(())
}

/// The fields that the memories of a text have in common.
#[derive(Debug, Default)]
struct Context {
    project: Option<String>,
    /// The path of the memory's file.
    path: Option<String>,
    updated_at: Option<String>,
}

impl Context {
    fn memory(&self, content: String, date: Option<String>) -> NewMemory {
        let path = self.path.as_ref().map(|path| format!("claude: {path}"));
        NewMemory {
            content,
            source: Some(path.unwrap_or_else(|| "claude".into())),
            project: self.project.clone(),
            occurred_at: date.or_else(|| self.updated_at.clone()),
            ..NewMemory::default()
        }
    }
}

/// Adds the passages of a text, or the entries of a list with dates.
fn push_text(text: &str, file: &Location, context: &Context, read: &mut ParsedExport) {
    let (text, first_line) = without_fence(text);
    if has_dated_lines(text) {
        let (entries, titles) = entries(text);
        for ListEntry { line, text, date } in entries {
            read.push(file.line(line + first_line - 1), context.memory(text, date));
        }
        titles
            .into_iter()
            .for_each(|line| read.skip(file.line(line + first_line - 1), "titles and introductions"));
        return;
    }
    let found = passages(text, first_line);
    for mut passage in found.passages {
        let (said, date) = dated(&passage.text);
        passage.text = said.to_owned();
        read.push(file.line(passage.line), context.memory(passage.with_titles(), date));
    }
    for (line, _) in found.bare_titles {
        read.skip(file.line(line), "titles without text");
    }
}

/// Returns the text in a code block, if that is all of the text, and the number of its first line.
fn without_fence(text: &str) -> (&str, usize) {
    let inner = text.trim().strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    let inner = inner.and_then(|text| text.split_once('\n')).map(|(_, text)| text);
    inner.filter(|inner| !inner.contains("```")).map_or((text, 1), |inner| (inner, 2))
}

fn push_memories(
    item: &Value,
    location: &Location,
    projects: &BTreeMap<String, String>,
    read: &mut ParsedExport,
) {
    if let Some(text) = string(item, &["conversations_memory"]) {
        push_text(&text, &location.item("conversations_memory"), &Context::default(), read);
    }
    for (id, text) in item["project_memories"].as_object().into_iter().flatten() {
        let name = projects.get(id).unwrap_or(id);
        let here = location.item(format!("memory of the project {name}"));
        let Some(text) = text.as_str() else {
            read.skip(here, UNKNOWN_PART);
            continue;
        };
        let context = Context { project: Some(name.clone()), ..Context::default() };
        push_text(text, &here, &context, read);
    }
    for file in item["memory_files"].as_array().into_iter().flatten() {
        let path = string(file, &["path"]);
        let here = location.item(path.clone().unwrap_or_else(|| "memory_files".into()));
        let Some(text) = string(file, &["content"]) else {
            read.skip(here, UNKNOWN_PART);
            continue;
        };
        let context = Context { path, updated_at: time(file, &["updated_at", "created_at"]), project: None };
        push_text(&text, &here, &context, read);
    }
    let is_read = |name: &str, value: &Value| match name {
        "conversations_memory" => value.is_string(),
        "project_memories" => value.is_object(),
        "memory_files" => value.is_array(),
        _ => ABOUT_ITEM.contains(&name),
    };
    name_parts(item, "", is_read, location, read);
}

/// Names the fields of an item that have something and are not read.
fn name_parts(
    item: &Value,
    of: &str,
    is_read: impl Fn(&str, &Value) -> bool,
    location: &Location,
    read: &mut ParsedExport,
) {
    for (name, value) in item.as_object().into_iter().flatten() {
        if has_content(value) && !is_read(name, value) {
            read.skip(location.item(format!("`{name}`{of}")), UNKNOWN_PART);
        }
    }
}

/// Adds the description and the instructions of a project. Names its documents.
fn push_project(item: &Value, name: &str, location: &Location, read: &mut ParsedExport) {
    let texts = [
        ("description", "fact", "Project"),
        ("prompt_template", "procedure", "Instructions for the project"),
    ];
    for (field, kind, about) in texts {
        let Some(text) = string(item, &[field]).filter(|text| !text.trim().is_empty()) else { continue };
        let memory = NewMemory {
            content: format!("{about} {name}: {}", text.trim()),
            kind: Some(kind.into()),
            source: Some("claude: project".into()),
            project: Some(name.to_owned()),
            occurred_at: time(item, &["created_at"]),
            ..NewMemory::default()
        };
        read.push(location.item(field), memory);
    }
    for document in item["docs"].as_array().into_iter().flatten() {
        let file = string(document, &["filename"]).unwrap_or_default();
        read.skip(location.item(format!("“{file}” of the project {name}")), "documents of projects");
    }
    let is_read = |field: &str, _: &Value| PROJECT_FIELDS.contains(&field) || ABOUT_ITEM.contains(&field);
    name_parts(item, &format!(" of the project {name}"), is_read, location, read);
    if PROJECT_FIELDS[1..].iter().all(|field| !has_content(&item[*field])) {
        read.skip(location.item(format!("project {name}")), "projects with only a name");
    }
}

fn dialogue(item: &Value) -> Dialogue {
    let messages = item["chat_messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let other = |message: &Value| {
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        let texts =
            message["attachments"].as_array().into_iter().flatten().filter(|file| {
                file["extracted_content"].as_str().is_some_and(|text| !text.trim().is_empty())
            });
        let blocks = blocks.iter().filter(|block| block["type"] != "text").count();
        // A text of neither the user nor Claude.
        let is_unknown = blocks == 0
            && turn(message).is_none()
            && (has_content(&message["content"]) || has_content(&message["text"]));
        blocks + texts.count() + usize::from(is_unknown)
    };
    Dialogue {
        program: "claude",
        id: string(item, &["uuid"]),
        title: string(item, &["name", "title"]),
        time: time(item, &["updated_at", "created_at"]),
        summary: string(item, &["summary"]),
        turns: messages.iter().filter_map(turn).collect(),
        other_messages: messages.iter().map(other).sum(),
    }
}

fn turn(message: &Value) -> Option<Turn> {
    let (speaker, role) = match message["sender"].as_str()? {
        "human" | "user" => ("User", "role:user"),
        "assistant" => ("Claude", "role:assistant"),
        _ => return None,
    };
    let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let blocks =
        blocks.iter().filter(|block| block["type"] == "text").filter_map(|block| block["text"].as_str());
    let mut parts: Vec<String> =
        blocks.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
    if parts.is_empty() {
        parts.extend(string(message, &["text"]).filter(|text| !text.trim().is_empty()));
    }
    for list in ["attachments", "files"] {
        let files = message[list].as_array().into_iter().flatten();
        parts.extend(files.map(|file| match file["file_name"].as_str() {
            Some(name) => format!("[attachment: {name}]"),
            None => "[attachment]".into(),
        }));
    }
    (!parts.is_empty()).then(|| Turn {
        speaker,
        role,
        text: parts.join("\n\n"),
        time: time(message, &["created_at"]),
        id: string(message, &["uuid"]),
    })
}

#[cfg(test)]
mod tests;
