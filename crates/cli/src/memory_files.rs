//! Memories as a folder of Markdown files that a person can edit. Each file has front matter with the fields
//! of one memory, and then its text.
//!
//! An import updates the memory with the `id` of a file if the file differs. A file without an `id` becomes a
//! new memory, and the import adds the id to the file. A deleted file does not forget its memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lar_api::Page;
use lar_api::memories::{IngestResult, Memory, MemoryPatch, NewMemory, WrittenMemory};
use serde_json::json;

use crate::output::{Output, counted};
use crate::{Client, url_path};

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
struct Note {
    fields: BTreeMap<String, String>,
    content: String,
}

/// Writes every current memory to the folder. Overwrites existing files of the same memories.
pub(crate) async fn export(client: &Client, output: &Output, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let there: BTreeMap<String, PathBuf> = files(folder)?
        .into_iter()
        .filter_map(|path| Some((read(&path).ok()?.fields.remove("id")?, path)))
        .collect();
    let total: lar_api::memories::MemoryStats = client.get("memories/stats").await?;
    let progress = output.progress(total.memories);
    let (mut written, mut after) = (0_usize, None);
    loop {
        let cursor = after.map(|after: String| format!("&after={after}")).unwrap_or_default();
        let page: Page<Memory> = client.get(&format!("memories?limit=200{cursor}")).await?;
        for memory in page.data.iter().filter(|memory| memory.superseded_by.is_none()) {
            let path = there.get(&memory.id).cloned().unwrap_or_else(|| folder.join(name(memory)));
            std::fs::write(&path, note(memory).to_text()).with_context(|| path.display().to_string())?;
            written += 1;
        }
        progress.inc(page.data.len() as u64);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    progress.finish_and_clear();
    output.show(&json!({ "files": written }), || {
        format!("Exported {} to {}.", counted(written, "file", "files"), folder.display())
    })
}

/// Imports the folder: updates changed memories and creates new ones.
pub(crate) async fn import(client: &Client, output: &Output, folder: &Path) -> anyhow::Result<()> {
    let files = files(folder)?;
    let progress = output.progress(files.len() as u64);
    let (mut made, mut changed, mut same) = (0, 0, 0);
    for path in &files {
        let done = import_file(client, path).await.with_context(|| path.display().to_string())?;
        match done {
            FileOutcome::Created => made += 1,
            FileOutcome::Updated => changed += 1,
            FileOutcome::Unchanged => same += 1,
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    output.show(&json!({ "made": made, "changed": changed, "unchanged": same }), || {
        format!("Imported the folder: {made} new, {changed} changed, {same} unchanged.")
    })
}

enum FileOutcome {
    Created,
    Updated,
    Unchanged,
}

async fn import_file(client: &Client, path: &Path) -> anyhow::Result<FileOutcome> {
    let mut found = read(path)?;
    anyhow::ensure!(!found.content.is_empty(), "the file has no text after its front matter");
    let field = |name: &str| found.fields.get(name).filter(|value| !value.is_empty()).cloned();
    let pinned = match found.fields.get("pinned").map(String::as_str) {
        None | Some("" | "false" | "no") => false,
        Some("true" | "yes") => true,
        Some(other) => anyhow::bail!("`pinned` must be `true` or `false`, not `{other}`"),
    };
    let Some(id) = field("id") else {
        let new = NewMemory {
            content: found.content.clone(),
            kind: field("kind"),
            tags: tags(found.fields.get("tags")),
            project: field("project"),
            source: field("source"),
            occurred_at: field("occurred_at"),
            valid_from: field("valid_from"),
            valid_to: field("valid_to"),
            ..NewMemory::default()
        };
        let made: IngestResult = client.post("memories", &new).await?;
        if pinned {
            let patch = MemoryPatch { pinned: Some(true), ..MemoryPatch::default() };
            let _: WrittenMemory = client.patch(&format!("memories/{}", made.memory.id), &patch).await?;
        }
        found.fields.insert("id".into(), made.memory.id);
        std::fs::write(path, found.to_text())?;
        return Ok(if made.created { FileOutcome::Created } else { FileOutcome::Unchanged });
    };
    let known: Memory = client.get(&format!("memories/{}", url_path::encode_segment(&id))).await?;
    // Compare with what `export` would write, so that only a person's changes count.
    let as_known = note(&known);
    let changed = |name: &str| (found.fields.get(name) != as_known.fields.get(name)).then(|| field(name));
    let patch = MemoryPatch {
        content: (found.content != as_known.content).then(|| found.content.clone()),
        kind: changed("kind").flatten(),
        tags: Some(tags(found.fields.get("tags"))).filter(|tags| *tags != known.tags),
        project: changed("project"),
        occurred_at: changed("occurred_at"),
        valid_from: changed("valid_from"),
        valid_to: changed("valid_to"),
        pinned: Some(pinned).filter(|pinned| *pinned != known.pinned),
        deleted: None,
    };
    if patch == MemoryPatch::default() {
        return Ok(FileOutcome::Unchanged);
    }
    let _: WrittenMemory =
        client.patch(&format!("memories/{}", url_path::encode_segment(&id)), &patch).await?;
    Ok(FileOutcome::Updated)
}

fn note(memory: &Memory) -> Note {
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
    Note { fields: fields.collect(), content: memory.content.trim().to_owned() }
}

impl Note {
    fn to_text(&self) -> String {
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

    fn of(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let Some((head, content)) = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"))
        else {
            return Self { fields: BTreeMap::new(), content: text.trim().to_owned() };
        };
        let fields = head.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        });
        Self { fields: fields.collect(), content: content.trim().to_owned() }
    }
}

fn read(path: &Path) -> anyhow::Result<Note> {
    let size = std::fs::metadata(path)?.len();
    anyhow::ensure!(size <= FILE_BYTES_MAX, "the file has {size} bytes; the limit is {FILE_BYTES_MAX}");
    Ok(Note::of(&crate::importers::read_text(path)?))
}

/// Parses tags: a JSON array, as `export` writes them, or `a, b` with or without brackets and `#`.
fn tags(text: Option<&String>) -> Vec<String> {
    let Some(text) = text else { return Vec::new() };
    if let Ok(tags) = serde_json::from_str(text) {
        return tags;
    }
    let listed = text.trim_start_matches('[').trim_end_matches(']').split(',');
    let tags = listed.map(|tag| tag.trim().trim_matches('"').trim_start_matches('#').to_owned());
    tags.filter(|tag| !tag.is_empty()).collect()
}

/// Returns a file name such as `2026-11-26 the-rent-is-1240-euros 1a2b3c4d.md`, with characters that every
/// file system allows.
fn name(memory: &Memory) -> String {
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

/// Returns the Markdown files of a folder, sorted by name. Skips links and folders.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_file() && path.extension().is_some_and(|ending| ending == "md") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_memory_file_is_read_back_unchanged() {
        let text = "---\nid: mem_1\nkind: fact\ntags: [\"a b\",\"c\"]\nsource: https://example.com:80/x\n---\nOne: two.\n\n--- three\n";
        let note = Note::of(text);
        assert_eq!(note.fields["source"], "https://example.com:80/x");
        assert_eq!(note.content, "One: two.\n\n--- three");
        assert_eq!(Note::of(&note.to_text()), note);
        assert_eq!(Note::of("no head\n---\nat all").content, "no head\n---\nat all");
        assert_eq!(Note::of("\u{feff}---\r\nkind: note\r\n---\r\nText\r\n").fields["kind"], "note");
    }

    #[test]
    fn tags_are_read_as_people_write_them() {
        for text in ["[\"a\",\"b\"]", "a, b", "[a, b]", "#a, #b", "a,b,"] {
            assert_eq!(tags(Some(&text.to_owned())), ["a", "b"], "{text}");
        }
        assert_eq!(tags(None), [""; 0]);
    }
}
