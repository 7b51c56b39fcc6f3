//! A Markdown file of one memory: its fields in front matter, and its text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use lar_api::memories::Memory;

/// The maximum number of characters of the text in a file name.
const NAME_CHARS: usize = 40;
/// The maximum size of a file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The number of digits of the id in a file name: enough to distinguish the files.
const ID_DIGITS: usize = 8;
/// The fields in the front matter, in the order in which they are written.
const FIELDS: [&str; 9] =
    ["id", "kind", "tags", "project", "source", "occurred_at", "valid_from", "valid_to", "pinned"];

/// A parsed file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct NoteFile {
    pub(super) fields: BTreeMap<String, String>,
    pub(super) content: String,
    /// The lines of the front matter that are no fields.
    other_lines: Vec<String>,
}

impl NoteFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is too large.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let size = std::fs::metadata(path)?.len();
        anyhow::ensure!(size <= FILE_BYTES_MAX, "the file has {size} bytes; the limit is {FILE_BYTES_MAX}");
        Ok(Self::of(&crate::importers::read_text(path)?))
    }

    /// Returns the file of a memory.
    pub(super) fn of_memory(memory: &Memory) -> Self {
        let tags = (!memory.tags.is_empty())
            .then(|| serde_json::to_string(&memory.tags).expect("a list of texts serializes"));
        let values = [
            ("id", Some(memory.id.clone())),
            ("kind", Some(memory.kind.to_string())),
            ("tags", tags),
            ("project", memory.project.clone()),
            ("source", memory.source.clone()),
            ("occurred_at", memory.occurred_at.clone()),
            ("valid_from", memory.valid_from.clone()),
            ("valid_to", memory.valid_to.clone()),
            ("pinned", memory.pinned.then(|| "true".into())),
        ];
        let fields = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let content = memory.content.trim().to_owned();
        Self { fields: fields.collect(), content, other_lines: Vec::new() }
    }

    /// Parses the text of a file.
    pub(super) fn of(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let Some((head, content)) = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"))
        else {
            return Self { content: text.trim().to_owned(), ..Self::default() };
        };
        let mut note = Self { content: content.trim().to_owned(), ..Self::default() };
        let mut last: Option<String> = None;
        for line in head.lines() {
            let item = line.trim_start().strip_prefix("- ");
            let list = last.as_ref().and_then(|last| note.fields.get_mut(last));
            if let (Some(item), Some(list)) = (item, list) {
                // An editor can write a list with an item per line.
                let between = if list.is_empty() { "" } else { ", " };
                list.push_str(&format!("{between}{}", item.trim()));
            } else if let Some((name, value)) = line.split_once(':') {
                last = Some(name.trim().to_owned());
                note.fields.insert(name.trim().to_owned(), value.trim().to_owned());
            } else if !line.trim().is_empty() {
                note.other_lines.push(line.to_owned());
            }
        }
        note
    }

    /// Returns whether the front matter has something that is no field of a memory.
    pub(super) fn has_unknown(&self) -> bool {
        let is_unknown =
            |(name, value): (&String, &String)| !value.is_empty() && !FIELDS.contains(&name.as_str());
        !self.other_lines.is_empty() || self.fields.iter().any(is_unknown)
    }

    /// Returns the text of the file.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::from("---\n");
        let known = FIELDS.iter().filter_map(|name| self.fields.get_key_value(*name));
        let others = self.fields.iter().filter(|(name, _)| !FIELDS.contains(&name.as_str()));
        for (name, value) in known.chain(others) {
            let _ = writeln!(text, "{name}: {value}");
        }
        text.push_str("---\n");
        text.push_str(&self.content);
        text.push('\n');
        text
    }

    /// Returns a field that is not empty.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Returns the tags: a JSON array, as an export writes them, or `a, b` with or without brackets and `#`.
    pub(super) fn tags(&self) -> Vec<String> {
        let Some(text) = self.fields.get("tags") else { return Vec::new() };
        if let Ok(tags) = serde_json::from_str(text) {
            return tags;
        }
        let listed = text.trim_start_matches('[').trim_end_matches(']').split(',');
        let tags = listed.map(|tag| tag.trim().trim_matches('"').trim_start_matches('#').to_owned());
        tags.filter(|tag| !tag.is_empty()).collect()
    }

    /// Returns whether the memory is pinned.
    ///
    /// # Errors
    /// If the field is neither true nor false.
    pub(super) fn is_pinned(&self) -> anyhow::Result<bool> {
        match self.fields.get("pinned").map(String::as_str) {
            None | Some("" | "false" | "no") => Ok(false),
            Some("true" | "yes") => Ok(true),
            Some(other) => anyhow::bail!("`pinned` must be `true` or `false`, not `{other}`"),
        }
    }
}

/// Returns the text of a file with the id of its memory. All other lines stay as they are.
pub(super) fn with_id(text: &str, id: &str) -> String {
    let head = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    let Some((head, content)) = head else { return format!("---\nid: {id}\n---\n{text}") };
    let others = head.lines().filter(|line| line.split_once(':').is_none_or(|(name, _)| name.trim() != "id"));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    format!("---\nid: {id}\n{others}---\n{content}")
}

/// Returns a file name such as `2026-11-26 the-rent-is-1240-euros 1a2b3c4d.md`, with characters that every file
/// system allows.
pub(super) fn file_name(memory: &Memory) -> String {
    let day: String = memory.occurred_at.as_ref().unwrap_or(&memory.created_at).chars().take(10).collect();
    let words: String = memory.content.chars().take(NAME_CHARS).collect();
    let words: Vec<String> = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let digits = memory.id.len().saturating_sub(ID_DIGITS);
    format!("{day} {} {}.md", words.join("-"), memory.id.get(digits..).unwrap_or(&memory.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_memory_file_is_read_back_unchanged() {
        let text = "---\nid: mem_1\nkind: fact\ntags: [\"a b\",\"c\"]\nsource: https://example.com:80/x\n---\nOne: two.\n\n--- three\n";
        let note = NoteFile::of(text);
        assert_eq!(note.fields["source"], "https://example.com:80/x");
        assert_eq!(note.content, "One: two.\n\n--- three");
        assert_eq!(NoteFile::of(&note.to_text()), note);
        assert_eq!(NoteFile::of("no head\n---\nat all").content, "no head\n---\nat all");
        assert_eq!(NoteFile::of("\u{feff}---\r\nkind: note\r\n---\r\nText\r\n").fields["kind"], "note");
    }

    #[test]
    fn an_id_is_added_and_no_line_is_lost() {
        let text = "---\nkind: note\nid:\ntags:\n  - a\n  - b\nmood: calm\nno field\n---\nText\n\n";
        let added = with_id(text, "mem_1");
        assert_eq!(
            added,
            "---\nid: mem_1\nkind: note\ntags:\n  - a\n  - b\nmood: calm\nno field\n---\nText\n\n"
        );
        let note = NoteFile::of(&added);
        assert_eq!(
            (note.tags(), note.fields["id"].as_str(), note.has_unknown()),
            (vec!["a".into(), "b".into()], "mem_1", true)
        );
        assert_eq!(with_id("Text\n", "mem_1"), "---\nid: mem_1\n---\nText\n");
        assert!(!NoteFile::of("---\nkind: note\nmood:\n---\nText").has_unknown());
    }

    #[test]
    fn tags_are_read_as_people_write_them() {
        for tags in ["[\"a\",\"b\"]", "a, b", "[a, b]", "#a, #b", "a,b,"] {
            assert_eq!(NoteFile::of(&format!("---\ntags: {tags}\n---\nText")).tags(), ["a", "b"], "{tags}");
        }
        assert_eq!(NoteFile::default().tags(), [""; 0]);
    }
}
