//! Markdown exports: the notes of basic-memory, and instruction files for agents such as CLAUDE.md.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lar_api::memories::NewMemory;

use super::export_file::read_text;
use super::parsed_export::ParsedExport;

/// The maximum depth of folders that are searched.
const DEPTH_MAX: usize = 16;
/// The maximum number of notes.
const FILES_MAX: usize = 100_000;
/// The maximum size of a note's text without its observations.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Parses every note in a folder and its subfolders.
pub(super) fn basic_memory(folder: &Path) -> anyhow::Result<ParsedExport> {
    let (mut files, mut read) = (Vec::new(), ParsedExport::default());
    walk(folder, 0, &mut files).with_context(|| folder.display().to_string())?;
    files.sort_unstable();
    for path in files {
        match read_text(&path) {
            Ok(text) => note(&text, &path, &mut read),
            Err(_) => read.leave_out("unreadable files"),
        }
    }
    Ok(read)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // Do not follow links: they can lead anywhere, and in circles.
        let kind = entry.file_type()?;
        if kind.is_dir() && !hidden {
            walk(&entry.path(), depth + 1, files)?;
        } else if kind.is_file()
            && entry.path().extension().is_some_and(|end| end == "md")
            && files.len() < FILES_MAX
        {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Parses a note of basic-memory. `- [category] text #tag (context)` is an observation. Relations are
/// skipped. The rest is the text of the note.
fn note(text: &str, path: &Path, read: &mut ParsedExport) {
    let (head, body) = split_front_matter(text);
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let title = field("title").unwrap_or(stem);
    let tags = field("tags").map_or_else(|| items_below(head, "tags:"), |tags| list(&tags));
    let occurred_at = field("created").or_else(|| field("date"));
    let mut rest: Vec<&str> = Vec::new();
    for line in body.lines() {
        let item = line.trim_start().strip_prefix("- ").map(str::trim);
        match item {
            Some(item) if observation(item).is_some() => {
                let Some((category, text)) = observation(item) else { continue };
                let words = text.split_whitespace();
                let own = words.clone().filter_map(|word| word.strip_prefix('#')).map(ToOwned::to_owned);
                let kind =
                    matches!(category, "decision" | "preference" | "fact" | "event" | "person" | "place");
                read.push(NewMemory {
                    content: format!(
                        "{title}: {}",
                        words.filter(|word| !word.starts_with('#')).collect::<Vec<_>>().join(" ")
                    ),
                    kind: kind.then(|| category.to_owned()),
                    tags: tags.iter().cloned().chain([category.to_owned()]).chain(own).collect(),
                    occurred_at: occurred_at.clone(),
                    ..NewMemory::default()
                });
            }
            Some(item) if item.contains("[[") => read.leave_out("relations"),
            _ => rest.push(line),
        }
    }
    let is_heading = |line: &&&str| line.trim().is_empty() || line.starts_with('#');
    let text: Vec<&str> = rest.iter().filter(|line| !is_heading(line)).copied().collect();
    let text = text.join("\n");
    if text.len() > TEXT_BYTES_MAX {
        read.leave_out("texts over 1 MiB");
    } else if !text.trim().is_empty() {
        let content = format!("{title}\n{}", text.trim());
        read.push(NewMemory {
            content,
            kind: Some("note".into()),
            tags,
            occurred_at,
            ..NewMemory::default()
        });
    }
}

/// Returns the category and the text of an observation.
fn observation(item: &str) -> Option<(&str, &str)> {
    let (category, text) = item.strip_prefix('[')?.split_once(']')?;
    // `- [ ] a task` and `- [[a relation]]` are not observations.
    let plain = !category.is_empty() && category.chars().all(|c| c.is_alphanumeric() || "-_ ".contains(c));
    (plain && category.trim() == category && category != "x" && !text.trim().is_empty())
        .then_some((category, text.trim()))
}

/// Returns the front matter between two `---` at the start of a note, and the text after it.
fn split_front_matter(text: &str) -> (&str, &str) {
    let parts = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---"));
    parts.map_or(("", text), |(head, body)| (head, body.trim_start_matches('-')))
}

/// Returns the list items on the lines after a name.
fn items_below(head: &str, name: &str) -> Vec<String> {
    let lines = head.lines().skip_while(|line| line.trim_end() != name).skip(1);
    let items = lines.map_while(|line| line.trim_start().strip_prefix("- "));
    items.map(|item| item.trim().trim_matches(['"', '\'', '#']).to_owned()).collect()
}

fn list(text: &str) -> Vec<String> {
    let items = text.trim_matches(['[', ']']).split(',');
    items
        .map(|item| item.trim().trim_matches(['"', '\'', '#']).to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// Parses an instruction file for agents. Each list item and each paragraph becomes a memory, with its
/// heading.
pub(super) fn instructions(text: &str, path: &Path) -> anyhow::Result<ParsedExport> {
    let mut read = ParsedExport::default();
    let folder = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    let project = folder.and_then(|folder| crate::project::of(&folder));
    let (mut heading, mut fenced) = (String::new(), false);
    let mut open: Vec<String> = Vec::new();
    let close = |open: &mut Vec<String>, heading: &str, read: &mut ParsedExport| {
        if open.is_empty() {
            return;
        }
        let said = std::mem::take(open).join(" ");
        let content = if heading.is_empty() { said } else { format!("{heading}: {said}") };
        read.push(NewMemory {
            content,
            kind: Some("procedure".into()),
            project: project.clone(),
            ..NewMemory::default()
        });
    };
    for line in split_front_matter(text).1.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            close(&mut open, &heading, &mut read);
            if !fenced {
                read.leave_out("code blocks");
            }
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        if line.starts_with('#') {
            close(&mut open, &heading, &mut read);
            line.trim_start_matches('#').trim().clone_into(&mut heading);
        } else if line.is_empty() {
            close(&mut open, &heading, &mut read);
        } else if let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
            close(&mut open, &heading, &mut read);
            open.push(item.trim().to_owned());
        } else if line.starts_with('@') || line.starts_with("<!--") {
            read.leave_out("references and comments");
        } else {
            open.push(line.to_owned());
        }
    }
    close(&mut open, &heading, &mut read);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_becomes_its_observations_and_its_text() {
        let text = "---\ntitle: Coffee\ntags: [drinks, home]\n---\n# Coffee\nA short text.\n\n## Observations\n- [method] Grind it \
                    fresh #brewing (said by Anna)\n- [decision] We buy beans\n- [ ] a task\n\n## Relations\n- pairs_with [[Cake]]\n";
        let mut read = ParsedExport::default();
        let lines = text.replace("tags: [drinks, home]", "tags:\n- drinks\n- home");
        note(&lines, Path::new("coffee.md"), &mut read);
        assert_eq!(read.memories[0].tags, ["drinks", "home", "method", "brewing"]);
        let mut read = ParsedExport::default();
        note(text, Path::new("coffee.md"), &mut read);
        let contents: Vec<&str> = read.memories.iter().map(|memory| memory.content.as_str()).collect();
        assert_eq!(
            contents,
            [
                "Coffee: Grind it fresh (said by Anna)",
                "Coffee: We buy beans",
                "Coffee\nA short text.\n- [ ] a task"
            ]
        );
        assert_eq!(read.memories[0].tags, ["drinks", "home", "method", "brewing"]);
        assert_eq!(read.memories[1].kind.as_deref(), Some("decision"));
        assert_eq!(read.left_out["relations"], 1);
    }

    #[test]
    fn a_byte_order_mark_and_crlf_do_not_change_the_result() {
        let text = "---\ntitle: Coffee\ntags:\n- drinks\ncreated: 2025-01-02 03:04:05\n---\n# Coffee\nA short\ntext.\n\n- [decision] We buy beans\n";
        let read = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("coffee.md"), text).unwrap();
            let read = basic_memory(folder.path()).unwrap();
            assert_eq!(read.left_out.len(), 0);
            read.memories
        };
        let plain = read(text);
        let contents: Vec<&str> = plain.iter().map(|memory| memory.content.as_str()).collect();
        assert_eq!(contents, ["Coffee: We buy beans", "Coffee\nA short\ntext."]);
        assert_eq!(read(&format!("\u{feff}{}", text.replace('\n', "\r\n"))), plain);
    }

    #[test]
    fn instructions_become_items_under_their_headings() {
        let text = "# Rules\nAlways test.\nAlso lint.\n\n- Use tabs\n- Never push\n  to main\n\n```sh\nmake\n```\n@other.md\n## Style\nShort names.\n";
        let read = instructions(text, Path::new("/nowhere/CLAUDE.md")).unwrap();
        let contents: Vec<&str> = read.memories.iter().map(|memory| memory.content.as_str()).collect();
        assert_eq!(
            contents,
            [
                "Rules: Always test. Also lint.",
                "Rules: Use tabs",
                "Rules: Never push to main",
                "Style: Short names."
            ]
        );
        assert_eq!(read.left_out.len(), 2);
    }
}
