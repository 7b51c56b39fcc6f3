//! Notes in Markdown: those of an Obsidian vault, and those of any other folder.
//!
//! A short note becomes one memory, and each section of a longer one becomes a memory that begins with the title
//! and the headings above it. Links, embedded files and tasks stay in the text as they are. Front matter without
//! a place in a memory stays as lines of the text. The folder becomes a tag, and the source has the whole path.

use std::path::Path;

use lar_api::memories::NewMemory;

use super::export_file::read_text;
use super::folder::{self, NotePath};
use super::front_matter::{self, FrontMatter};
use super::parsed_export::{KINDS, ParsedExport};
use super::report::Location;
use super::sections::{Fence, Section, sections};
use super::times;

/// The most bytes of a note that becomes one memory. It is the size of a chunk of the index, so a search finds
/// all of the note or nothing.
const NOTE_BYTES_MAX: usize = 1500;
/// The fields with the time of a note, in the order of their precedence.
const TIME_FIELDS: [&str; 6] = ["created", "date", "created_at", "creation_date", "date created", "day"];
/// The reason for a note with nothing but a title.
pub(super) const WITHOUT_TEXT: &str = "notes without text";
/// The reason for a heading with nothing below it.
pub(super) const HEADING_WITHOUT_TEXT: &str = "headings without text";

/// The fields of a note that all of its memories have.
#[derive(Debug)]
pub(super) struct NoteHead {
    pub(super) title: String,
    /// The title with the other names of the note.
    heading: String,
    pub(super) tags: Vec<String>,
    /// The lines of the front matter that have no other place.
    pub(super) properties: Vec<String>,
    /// Whether the front matter has a kind.
    has_kind: bool,
    fields: NewMemory,
}

/// Parses every note in a folder and its subfolders. `program` begins the source of each memory.
///
/// # Errors
/// If the folder cannot be read. Notes that cannot be read fail in `read`.
pub(super) fn parse(folder: &Path, program: &str, read: &mut ParsedExport) -> anyhow::Result<()> {
    for_each_note(folder, read, |note, text, read| {
        let (front, body, line) = front_matter::split(text);
        let location = Location::file(note.relative.clone());
        if front.get("id").is_some_and(|id| id.starts_with("mem_")) {
            return read
                .skip(location, "files that Lar exported (import their folder to change their memories)");
        }
        let head = NoteHead::of(program, &note.relative, front, read);
        push_text(&head, &location, sections(body, line), read);
    })
}

/// Calls `take` with every note of a folder and its text.
///
/// # Errors
/// If the folder cannot be read. Notes that cannot be read fail in `read`.
pub(super) fn for_each_note(
    folder: &Path,
    read: &mut ParsedExport,
    mut take: impl FnMut(&NotePath, &str, &mut ParsedExport),
) -> anyhow::Result<()> {
    let notes = folder::notes(folder, read)?;
    for note in notes {
        match read_text(&note.path) {
            Ok(text) => take(&note, &text, read),
            Err(error) => read.fail(Location::file(note.relative), error.to_string()),
        }
    }
    Ok(())
}

impl NoteHead {
    /// Takes the fields of a note from its front matter and its path.
    pub(super) fn of(program: &str, path: &str, mut front: FrontMatter, read: &mut ParsedExport) -> Self {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        let title = front.take_one(&["title"]).unwrap_or_else(|| stem.clone().into_owned());
        let others: Vec<String> =
            front.take(&["aliases", "alias"]).into_iter().filter(|name| *name != title).collect();
        let heading =
            if others.is_empty() { title.clone() } else { format!("{title} (also {})", others.join(", ")) };
        let mut tags = front.take_tags(&["tags", "tag"]);
        tags.extend(Some(folder.to_owned()).filter(|folder| !folder.is_empty()));
        let kind = take_kind(&mut front);
        let has_kind = kind.is_some();
        let fields = NewMemory {
            kind: Some(kind.unwrap_or_else(|| "note".into())),
            project: take_project(&mut front),
            source: Some(format!("{program}: {path}")),
            occurred_at: take_time(&mut front, &TIME_FIELDS, path, read).or_else(|| day_of_title(&stem)),
            valid_from: take_time(&mut front, &["valid_from"], path, read),
            valid_to: take_time(&mut front, &["valid_to"], path, read),
            ..NewMemory::default()
        };
        let properties = front.remaining_lines().into_iter().map(ToOwned::to_owned).collect();
        Self { title, heading, tags, properties, has_kind, fields }
    }

    /// Returns the kind in the front matter, if it has one.
    pub(super) fn own_kind(&self) -> Option<String> {
        self.fields.kind.clone().filter(|_| self.has_kind)
    }

    /// Returns whether the note has other names than its title.
    pub(super) fn has_other_names(&self) -> bool {
        self.heading != self.title
    }

    /// Returns a memory of the note with more tags.
    pub(super) fn memory(&self, content: String, more_tags: Vec<String>) -> NewMemory {
        let tags = self.tags.iter().cloned().chain(more_tags).collect();
        NewMemory { content, tags, ..self.fields.clone() }
    }
}

/// Adds the text of a note: as one memory if it is short, or else one for each section.
pub(super) fn push_text(
    head: &NoteHead,
    location: &Location,
    mut sections: Vec<Section<'_>>,
    read: &mut ParsedExport,
) {
    remove_title(&mut sections, &head.title);
    let properties = head.properties.join("\n");
    let whole = joined([properties.as_str(), &whole_text(&sections)], "\n\n");
    if whole.is_empty() && !head.has_other_names() {
        return read.skip(location.clone(), WITHOUT_TEXT);
    }
    if head.heading.len() + whole.len() <= NOTE_BYTES_MAX || sections.len() <= 1 {
        let tags = inline_tags(&whole);
        read.push(location.clone(), head.memory(joined([&head.heading, &whole], "\n"), tags));
        return;
    }
    for (at, section) in sections.iter().enumerate() {
        let text = match at {
            0 => joined([properties.as_str(), &section.text()], "\n\n"),
            _ => section.text(),
        };
        let here = location.line(section.line);
        if text.is_empty() {
            let mut inner =
                sections[at + 1..].iter().take_while(|next| next.headings.starts_with(&section.headings));
            let is_context = inner.any(|inner| !inner.text().is_empty());
            if !is_context && section.heading_line.is_some() {
                read.skip(here, HEADING_WITHOUT_TEXT);
            }
            continue;
        }
        let path: Vec<&str> =
            [head.heading.as_str()].into_iter().chain(section.headings.iter().map(String::as_str)).collect();
        read.push(here, head.memory(format!("{}\n{text}", path.join(" > ")), inline_tags(&text)));
    }
}

/// Removes the heading that repeats the title of the note.
fn remove_title(sections: &mut [Section<'_>], title: &str) {
    let is_title =
        |heading: Option<&String>| heading.is_some_and(|heading| heading.eq_ignore_ascii_case(title));
    for section in sections {
        if is_title(section.headings.first()) {
            section.headings.remove(0);
            if section.headings.is_empty() {
                section.heading_line = None;
            }
        }
    }
}

/// Returns the text of sections with their headings, without more than one empty line in a row.
fn whole_text(sections: &[Section<'_>]) -> String {
    let lines = sections.iter().flat_map(|section| {
        section.heading_line.into_iter().chain(section.lines.iter().map(|(_, line)| *line))
    });
    let mut text = String::new();
    let mut is_empty_before = true;
    for line in lines {
        let is_empty = line.trim().is_empty();
        if !(is_empty && is_empty_before) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        is_empty_before = is_empty;
    }
    text.trim_end().to_owned()
}

fn joined(parts: [&str; 2], between: &str) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}

/// Returns the tags in a text, such as `#project/falcon`. A number, a heading and code are no tags.
pub(super) fn inline_tags(text: &str) -> Vec<String> {
    let (mut tags, mut fence) = (Vec::new(), Fence::default());
    for line in text.lines() {
        if fence.contains(line) {
            continue;
        }
        // Every second part is between backticks.
        for word in line.split('`').step_by(2).flat_map(str::split_whitespace) {
            let Some(word) = word.trim_start_matches(['(', '[', '"', ',', ';']).strip_prefix('#') else {
                continue;
            };
            let end = word.find(|c: char| !c.is_alphanumeric() && !['_', '-', '/'].contains(&c));
            let tag = word[..end.unwrap_or(word.len())].trim_end_matches('/').to_owned();
            if tag.chars().any(|c| !c.is_numeric()) && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    tags
}

fn take_kind(front: &mut FrontMatter) -> Option<String> {
    let is_kind = front.get("kind").is_some_and(|kind| KINDS.contains(&kind));
    if is_kind { front.take_one(&["kind"]) } else { None }
}

/// Takes the project, which can be a link. Of several, the first is the project, and all stay in the text.
fn take_project(front: &mut FrontMatter) -> Option<String> {
    let value = front.take_first(&["project"])?;
    let link = value.strip_prefix("[[").and_then(|link| link.strip_suffix("]]"));
    Some(link.map_or(value.as_str(), |link| link.split('|').next().unwrap_or(link)).to_owned())
}

/// Takes the first of these fields that is a time. One that is none stays in the text.
fn take_time(front: &mut FrontMatter, names: &[&str], path: &str, read: &mut ParsedExport) -> Option<String> {
    let present: Vec<&str> = names.iter().copied().filter(|name| front.get(name).is_some()).collect();
    let is_time = |name: &&&str| front.get(name).is_some_and(|text| times::parse(text).is_some());
    match present.iter().find(is_time) {
        // Of several times, the first is taken, and all stay in the text.
        Some(name) => front.take_first(&[name]),
        None => {
            if !present.is_empty() {
                read.skip(Location::file(path), "times that cannot be read (they stay in the text)");
            }
            None
        }
    }
}

/// Returns the day with which a title begins, as in `2026-01-16 Meeting`.
fn day_of_title(title: &str) -> Option<String> {
    let day = title.get(..10).filter(|day| day.as_bytes()[4] == b'-' && times::parse(day).is_some())?;
    let is_end = title[10..].chars().next().is_none_or(|c| !c.is_alphanumeric());
    is_end.then(|| day.to_owned())
}

#[cfg(test)]
mod tests;
