//! ChatGPT: the list of memories as text, and the data export.
//!
//! The export has no list of memories. It has what ChatGPT saved (messages to its tool `bio`), the list that it
//! was shown in a conversation, and the custom instructions. All of them become memories, each text once, at the
//! time when it appears first. So memories that were deleted in ChatGPT can be among them. Turns are imported only
//! on request.

mod conversation;

use std::collections::BTreeMap;
use std::path::Path;

use lar_api::memories::NewMemory;
use lar_base::Timestamp;
use serde_json::Value;

use self::conversation::Conversation;
use super::details::{add, others};
use super::export_file::read_text;
use super::export_folder::{for_each_object, json_files};
use super::json_items::{name, string, time};
use super::memory_list::{ListEntry, entries};
use super::parsed_export::ParsedExport;
use super::report::Location;
use super::times;

/// The names of the text in a list of memories.
const TEXT: [&str; 3] = ["content", "memory", "text"];

/// The other fields of an entry of a JSON list that have their own place, or only mean something to ChatGPT.
const LISTED: [&str; 5] = ["id", "enabled", "created_at", "createdAt", "conversation_id"];

/// Parses a list of memories, a file of the export or its folder.
///
/// # Errors
/// If the file or the folder cannot be read.
pub(super) fn parse(path: &Path, with_turns: bool, read: &mut ParsedExport) -> anyhow::Result<()> {
    let files = json_files(path, read)?;
    let mut found = Findings::default();
    for (file, path) in files {
        if is_text(&path)? {
            parse_list(&read_text(&path)?, &file, read);
            continue;
        }
        for_each_object(&file, &path, read, |location, item, read| {
            if let Some(conversation) = Conversation::of(item) {
                found.add(&conversation, &file, read);
                conversation.dialogue().push(with_turns, &file, read);
                return true;
            }
            found.add_listed(item, location, read)
        });
    }
    found.push(read);
    Ok(())
}

/// Returns whether a file is text and no JSON. A list of dated memories also starts with a bracket.
fn is_text(path: &Path) -> std::io::Result<bool> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
        return Ok(false);
    }
    let text = read_text(path)?;
    let inner = text.trim_start().strip_prefix(['[', '{']).map(str::trim_start);
    Ok(inner.is_none_or(|inner| !inner.starts_with(['{', '"', ']', '}'])))
}

fn parse_list(text: &str, file: &Location, read: &mut ParsedExport) {
    let (entries, titles) = entries(text);
    for ListEntry { line, text, date } in entries {
        read.push(file.line(line), memory(text, date));
    }
    titles.into_iter().for_each(|line| read.skip(file.line(line), "titles and introductions"));
}

fn memory(content: String, occurred_at: Option<String>) -> NewMemory {
    NewMemory { content, occurred_at, source: Some("chatgpt".into()), ..NewMemory::default() }
}

/// The memories and the custom instructions in conversations, each text once.
#[derive(Debug, Default)]
struct Findings {
    memories: BTreeMap<String, Finding>,
    instructions: BTreeMap<(Instruction, String), Finding>,
}

/// The uses of a text.
#[derive(Debug)]
struct Finding {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    location: Location,
    conversation: Option<String>,
    tags: Vec<String>,
}

/// The two texts of the custom instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Instruction {
    Profile,
    Response,
}

impl Findings {
    fn add(&mut self, conversation: &Conversation<'_>, file: &Location, read: &mut ParsedExport) {
        let location = file.item(format!("conversation “{}”", conversation.title().unwrap_or_default()));
        let finding = |time| Finding {
            first: time,
            last: time,
            location: location.clone(),
            conversation: conversation.id(),
            tags: Vec::new(),
        };
        for (text, time) in conversation.saved_memories() {
            let (listed, titles) = entries(&text);
            titles.iter().for_each(|_| read.skip(location.clone(), "titles and introductions"));
            for entry in listed {
                let time = entry.date.as_deref().and_then(times::parse).or(time);
                merge(self.memories.entry(entry.text.trim().to_owned()), finding(time));
            }
        }
        for (profile, response, time) in conversation.instructions() {
            for (kind, text) in [(Instruction::Profile, profile), (Instruction::Response, response)] {
                let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
                if let Some(text) = text {
                    merge(self.instructions.entry((kind, text)), finding(time));
                }
            }
        }
    }

    /// Adds an entry of a JSON list of memories. Returns whether it is one.
    fn add_listed(&mut self, item: &Value, location: Location, read: &mut ParsedExport) -> bool {
        let Some(text) = string(item, &TEXT) else { return false };
        if item["enabled"] == Value::Bool(false) {
            read.skip(location, "turned off");
            return true;
        }
        let created = time(item, &["created_at", "createdAt"]);
        let time = created.as_deref().and_then(times::parse);
        if created.is_some() && time.is_none() {
            read.skip(location.clone(), "times that cannot be read (the memory is kept without them)");
        }
        let mut with_details = memory(text.trim().to_owned(), None);
        let known = [TEXT.as_slice(), &LISTED].concat();
        add(&mut with_details, others(item, &known));
        let conversation = name(item, &["conversation_id"]);
        let finding = Finding { first: time, last: time, location, conversation, tags: with_details.tags };
        merge(self.memories.entry(with_details.content), finding);
        true
    }

    fn push(self, read: &mut ParsedExport) {
        let mut memories: Vec<(String, Finding)> = self.memories.into_iter().collect();
        memories.sort_by_key(|(_, finding)| finding.first);
        for (text, finding) in memories {
            if text.starts_with("Forget ") || text.starts_with("forget ") {
                read.skip(finding.location, "requests to forget");
                continue;
            }
            let time = finding.first.map(|time| time.to_string());
            let Finding { conversation, tags, .. } = finding;
            let memory = NewMemory { conversation, tags, ..memory(text, time) };
            read.push(finding.location, memory);
        }
        push_instructions(self.instructions, read);
    }
}

/// Adds the custom instructions. Those that were used last are current; the others end with their last use.
fn push_instructions(all: BTreeMap<(Instruction, String), Finding>, read: &mut ParsedExport) {
    let last_of =
        |kind| all.iter().filter(|((of, _), _)| *of == kind).filter_map(|(_, finding)| finding.last).max();
    let last = [last_of(Instruction::Profile), last_of(Instruction::Response)];
    for ((kind, text), finding) in all {
        let (about, memory_kind, last) = match kind {
            Instruction::Profile => ("About the user", "fact", last[0]),
            Instruction::Response => ("How to respond", "preference", last[1]),
        };
        let ended = finding.last.filter(|time| last.is_some_and(|last| *time < last));
        // A text that was used once ends a millisecond later.
        let ended = ended.map(|time| Timestamp::from_millis(time.as_millis() + 1));
        let memory = NewMemory {
            content: format!("{about}: {text}"),
            kind: Some(memory_kind.into()),
            source: Some("chatgpt: custom instructions".into()),
            occurred_at: finding.first.map(|time| time.to_string()),
            valid_to: ended.map(|time| time.to_string()),
            ..NewMemory::default()
        };
        read.push(finding.location, memory);
    }
}

/// Adds a use of a text. The earliest names the place.
fn merge<K: Ord>(entry: std::collections::btree_map::Entry<'_, K, Finding>, use_: Finding) {
    let found = entry.or_insert_with(|| Finding {
        location: use_.location.clone(),
        conversation: use_.conversation.clone(),
        tags: use_.tags.clone(),
        ..use_
    });
    found.last = found.last.max(use_.last);
    for tag in &use_.tags {
        if !found.tags.contains(tag) {
            found.tags.push(tag.clone());
        }
    }
    if use_.first.is_some_and(|time| found.first.is_none_or(|first| time < first)) {
        *found = Finding { last: found.last, tags: std::mem::take(&mut found.tags), ..use_ };
    }
}

#[cfg(test)]
mod tests;
