//! The memories of a parsed export, and the items that were skipped or could not be read.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lar_api::memories::NewMemory;

use super::report::{Location, Notice};
use super::times;

/// The kinds of memories in Lar. Other programs can use the same names.
pub(super) const KINDS: [&str; 9] =
    ["fact", "event", "preference", "person", "place", "decision", "procedure", "pattern", "note"];
/// The most tags of a memory that the server accepts.
const TAGS_MAX: usize = 64;
/// The most characters of a tag that the server accepts.
pub(super) const TAG_CHARS_MAX: usize = 100;
/// The most characters of a source, a project and an id that the server accepts.
const NAME_CHARS_MAX: usize = 500;

/// A parsed export.
#[derive(Debug, Default)]
pub(super) struct ParsedExport {
    pub(super) entries: Vec<Entry>,
    /// The items that are no memories, or that were not kept as they are.
    pub(super) skipped: Vec<Notice>,
    /// The files and lines that could not be read.
    pub(super) failed: Vec<Notice>,
    /// The entries by the hash of the fields that identify a memory.
    by_hash: HashMap<u64, Vec<usize>>,
}

/// A memory of an export.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) memory: NewMemory,
    pub(super) location: Location,
    /// The index of the entry with the preceding turn of a dialogue.
    pub(super) follows: Option<usize>,
}

impl ParsedExport {
    /// Names an item that is not imported, or not as it is.
    pub(super) fn skip(&mut self, location: Location, reason: &str) {
        self.skipped.push(Notice { location, reason: reason.into() });
    }

    /// Names a file or a line that could not be read.
    pub(super) fn fail(&mut self, location: Location, reason: impl Into<String>) {
        self.failed.push(Notice { location, reason: reason.into() });
    }

    /// Adds a memory and returns its index; `None` if it is empty. For a memory that is there already, returns
    /// the index of the first.
    ///
    /// Fields that the server would refuse are corrected. A correction that loses something is named.
    pub(super) fn push(&mut self, location: Location, memory: NewMemory) -> Option<usize> {
        self.push_turn(location, memory, None)
    }

    /// Adds a memory like [`ParsedExport::push`], with the preceding turn of its dialogue.
    pub(super) fn push_turn(
        &mut self,
        location: Location,
        mut memory: NewMemory,
        follows: Option<usize>,
    ) -> Option<usize> {
        memory.content = memory.content.trim().to_owned();
        if memory.content.is_empty() {
            self.skip(location, "without text");
            return None;
        }
        self.correct_times(&location, &mut memory);
        self.correct_names(&location, &mut memory);
        let hash = hash(&memory);
        let same = |at: &usize| is_same(&self.entries[*at].memory, &memory);
        if let Some(first) = self.by_hash.get(&hash).and_then(|all| all.iter().copied().find(|at| same(at))) {
            self.skip(location, "repeated in the export");
            return Some(first);
        }
        let index = self.entries.len();
        self.by_hash.entry(hash).or_default().push(index);
        self.entries.push(Entry { memory, location, follows });
        Some(index)
    }

    /// Writes times as RFC 3339. Removes one that cannot be read, and an end that is not after its start.
    fn correct_times(&mut self, location: &Location, memory: &mut NewMemory) {
        let mut convert = |field: &mut Option<String>| {
            let text = field.take()?;
            let time = times::parse(&text);
            if time.is_none() {
                self.skip(location.clone(), "times that cannot be read (the memory is kept without them)");
            }
            *field = time.map(|time| time.to_string());
            time
        };
        convert(&mut memory.occurred_at);
        let (from, to) = (convert(&mut memory.valid_from), convert(&mut memory.valid_to));
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            memory.valid_from = None;
            self.skip(location.clone(), "times that end before they start (the start is left out)");
        }
    }

    /// Makes tags, the source, the project and ids single lines of the allowed length.
    fn correct_names(&mut self, location: &Location, memory: &mut NewMemory) {
        let mut tags: Vec<String> = Vec::with_capacity(memory.tags.len());
        for tag in std::mem::take(&mut memory.tags) {
            let tag = single_line(&tag);
            if tag.chars().count() > TAG_CHARS_MAX || tags.len() == TAGS_MAX {
                self.skip(location.clone(), "tags that are too long or too many (the memory is kept)");
            } else if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        memory.tags = tags;
        let NewMemory { source, project, conversation, message, .. } = memory;
        for field in [source, project, conversation, message] {
            let Some(text) = field.take() else { continue };
            let name = single_line(&text);
            if name.chars().count() > NAME_CHARS_MAX {
                self.skip(location.clone(), "names of more than 500 characters (they are cut)");
            }
            *field =
                Some(name.chars().take(NAME_CHARS_MAX).collect()).filter(|name: &String| !name.is_empty());
        }
    }
}

/// Returns a text as one line without control characters.
fn single_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Returns whether the server would store only one of two memories.
fn is_same(one: &NewMemory, other: &NewMemory) -> bool {
    one.content == other.content
        && one.tags == other.tags
        && one.source == other.source
        && one.project == other.project
        && one.occurred_at == other.occurred_at
}

fn hash(memory: &NewMemory) -> u64 {
    let mut hasher = DefaultHasher::new();
    let NewMemory { content, tags, source, project, occurred_at, .. } = memory;
    (content, tags, source, project, occurred_at).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(read: &ParsedExport) -> Vec<&str> {
        read.skipped.iter().map(|one| one.reason.as_str()).collect()
    }

    #[test]
    fn a_memory_is_corrected_to_what_the_server_accepts() {
        let mut read = ParsedExport::default();
        let memory = NewMemory {
            content: " Likes tea \n".into(),
            tags: vec!["a\nb".into(), " ".into(), "a b".into(), "x".repeat(101)],
            source: Some("mem0:\tme".into()),
            project: Some(" ".into()),
            occurred_at: Some("soon".into()),
            valid_from: Some("2026-01-16".into()),
            valid_to: Some("2025-01-16".into()),
            ..NewMemory::default()
        };
        assert_eq!(read.push(Location::file("a"), memory), Some(0));
        let kept = &read.entries[0].memory;
        assert_eq!(
            (kept.content.as_str(), kept.tags.as_slice()),
            ("Likes tea", ["a b".to_owned()].as_slice())
        );
        assert_eq!((kept.source.as_deref(), kept.project.as_deref()), (Some("mem0: me"), None));
        assert_eq!((kept.occurred_at.as_deref(), kept.valid_from.as_deref()), (None, None));
        assert_eq!(kept.valid_to.as_deref(), Some("2025-01-16T00:00:00.000Z"));
        assert_eq!(read.skipped.len(), 3);
    }

    #[test]
    fn an_empty_memory_and_a_repeated_one_are_skipped_and_named() {
        let mut read = ParsedExport::default();
        let tea = NewMemory { content: "Likes tea".into(), ..NewMemory::default() };
        let dated = NewMemory { occurred_at: Some("2026-01-16".into()), ..tea.clone() };
        assert_eq!(read.push(Location::file("a"), NewMemory::default()), None);
        assert_eq!(read.push(Location::file("b"), tea.clone()), Some(0));
        assert_eq!(read.push(Location::file("c"), dated), Some(1));
        assert_eq!(read.push(Location::file("d"), tea), Some(0));
        assert_eq!(reasons(&read), ["without text", "repeated in the export"]);
        assert_eq!(read.entries.len(), 2);
    }
}
