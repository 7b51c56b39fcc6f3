//! Entries with a key: assignments of a configuration, rows of a table, tasks of a list, and `key: value`.
//!
//! Two texts that consist of entries are compared key by key, whatever their length. A key does not say that it has one
//! value: there may be two hosts, two paths and two measurements. So only settings of programs replace each other, that
//! is numbers, switches and levels, if all else is the same. Other changes are links.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::compare::{DecisionRule, Relation};
use super::settings::{is_about_measurement, is_limiting, is_setting};

/// The most lines of a text whose entries are compared.
const LINES_MAX: usize = 500;
/// The most words in the key of a prose entry.
const KEY_WORDS_MAX: usize = 6;
/// The most words of an item that a list may have in addition.
const ITEM_WORDS_MAX: usize = 3;
/// The value of a task that is not done.
const OPEN: &str = "open";
/// The value of a task that is done.
const DONE: &str = "done";
/// The most words in the value of a prose entry. A longer one is a sentence.
const VALUE_WORDS_MAX: usize = 12;

/// `NAME=value`, `name := value;`, `export NAME="a b" # comment` and `"name": 3,`. The key is an identifier.
static ASSIGNMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"^(?:export\s+|set\s+|const\s+|let\s+)?(?P<key>[A-Za-z_][\w./-]{2,80})\s*(?::=|=)\s*(?P<value>"[^"]*"|'[^']*'|[^\s"'=]\S*)[,;]?(?P<rest>\s.*)?$|^"(?P<json>[\w./ -]{1,80})"\s*:\s*(?P<number>.+?),?$"#,
    )
    .ok()
});
/// `key: value` in prose or YAML.
static LABELED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?P<key>[^:=|：]{2,60}?)\s*[:：]\s*(?P<value>[^\s/].*)$").ok());
/// A task of a list, or a line that begins with its state.
static TASK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(?:\[(?P<box>[ xX])\]\s+|(?P<state>TODO|DONE|OPEN|FIXED|CLOSED):\s+)(?P<task>\S.*)$").ok()
});

/// Keys that label a note. Two notes with the same label are two notes.
const LABELS: &[&str] = &[
    "note",
    "notes",
    "nb",
    "n.b",
    "ps",
    "p.s",
    "fyi",
    "todo",
    "idea",
    "ideas",
    "tip",
    "reminder",
    "remember",
    "question",
    "answer",
    "warning",
    "info",
    "update",
    "decision",
    "decided",
    "bug",
    "fix",
    "issue",
    "lesson",
    "quote",
    "re",
    "fwd",
    "subject",
    "example",
    "e.g",
    "i.e",
    "today",
    "yesterday",
    "tomorrow",
    "done",
    "next",
    "important",
    "summary",
    "context",
    "result",
    "seen",
    "read",
    "bought",
    "heard",
    "learned",
    "learnt",
    "fact",
    "user",
    "assistant",
    "correction",
    "hinweis",
    "notiz",
    "idee",
    "achtung",
    "merke",
    "wichtig",
    "heute",
    "rappel",
    "attention",
    "aujourd'hui",
    "nota",
    "recordatorio",
    "hoy",
    "lembrete",
    "hoje",
    "promemoria",
    "oggi",
    "uwaga",
    "notatka",
    "dzisiaj",
    "заметка",
    "важно",
    "сегодня",
    "not",
    "hatırlatma",
    "bugün",
    "备注",
    "注意",
    "メモ",
    "注意点",
    "메모",
];

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    /// Its key and its value are certainly a setting of a program.
    Setting,
    /// A task, which is open and then done.
    Task,
    /// Anything else, such as a phrase, a measurement, or a row of a table without headings.
    Prose,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    value: String,
    /// The rest of the line, such as "in prod".
    qualifier: String,
    kind: EntryKind,
}

/// The entries of a text, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entries(BTreeMap<String, Entry>);

impl Entries {
    /// Returns the entries of a text, or `None` if a line is neither an entry nor a heading, or a key occurs
    /// twice.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut entries = BTreeMap::new();
        let mut sections: Vec<(usize, String)> = Vec::new();
        let mut header: Option<Vec<String>> = None;
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() || lines.len() > LINES_MAX {
            return None;
        }
        for (at, line) in lines.iter().enumerate() {
            if matches!(*line, "{" | "}" | "[" | "]" | "}," | "],") {
                continue;
            }
            if let Some(about) = line.strip_prefix("```") {
                // The fence may name the file, besides the language.
                let names_file = about.trim().contains([' ', '.', '/', ':']);
                open_section(&mut sections, usize::MAX, if names_file { about } else { "" });
                continue;
            }
            let section = sections.iter().map(|(_, title)| title.as_str()).collect::<Vec<_>>().join("\n");
            if let Some(cells) = table_cells(line) {
                let is_rule =
                    |cells: &[String]| cells.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c)));
                if is_rule(&cells) {
                    continue;
                }
                if lines.get(at + 1).and_then(|next| table_cells(next)).is_some_and(|next| is_rule(&next)) {
                    header = Some(cells);
                    continue;
                }
                row_entries(&cells, header.as_deref(), &section, &mut entries)?;
                continue;
            }
            let is_heading = line.starts_with('#') || line.starts_with('[') && line.ends_with(']');
            if is_heading && TASK.as_ref().is_none_or(|task| !task.is_match(line)) {
                let level = line.chars().take_while(|c| *c == '#').count();
                open_section(&mut sections, level.max(1), line);
                continue;
            }
            let (key, mut entry) = line_entry(line)?;
            if entry.kind == EntryKind::Setting && is_about_measurement(&section) {
                entry.kind = EntryKind::Prose;
            }
            insert(&mut entries, format!("{section}\n{key}"), entry)?;
        }
        (!entries.is_empty()).then_some(Self(entries))
    }

    /// Compares a new text's entries with known ones. `None` if they have no key in common.
    pub(super) fn compare(&self, incoming: &Self) -> Option<(Relation, DecisionRule)> {
        let shared: Vec<(&Entry, &Entry)> =
            self.0.iter().filter_map(|(key, known)| Some((known, incoming.0.get(key)?))).collect();
        if shared.is_empty() {
            return None;
        }
        let others: Vec<&(&Entry, &Entry)> =
            shared.iter().filter(|(known, new)| known.qualifier != new.qualifier).collect();
        if others.iter().any(|(known, new)| !known.qualifier.is_empty() && !new.qualifier.is_empty()) {
            return Some((Relation::Other, DecisionRule::None));
        }
        // "while we are away" limits an entry.
        if !others.is_empty() || self.limits_beside(incoming) || incoming.limits_beside(self) {
            return Some((Relation::MayReplace, DecisionRule::SameKey));
        }
        let covers = |a: &Self, b: &Self| b.0.keys().all(|key| a.0.contains_key(key));
        let changed: Vec<&(&Entry, &Entry)> =
            shared.iter().filter(|(known, new)| known.value != new.value).collect();
        let is_extended = |(known, new): &&(&Entry, &Entry)| is_longer_list(&known.value, &new.value);
        if changed.iter().all(is_extended) {
            return Some(match (covers(self, incoming), covers(incoming, self), changed.is_empty()) {
                (true, _, true) => (Relation::Same, DecisionRule::SameWords),
                (_, true, _) => (Relation::More, DecisionRule::Contained),
                _ => (Relation::Other, DecisionRule::None),
            });
        }
        let (is_same_record, is_alone) =
            (covers(self, incoming) && covers(incoming, self), changed.len() == 1);
        if is_same_record && is_alone && changed.iter().all(|(known, new)| is_other_setting(known, new)) {
            return Some((Relation::Replaces, DecisionRule::SameKey));
        }
        // Most of a record changed: it is another one.
        if shared.len() > 1 && changed.len() == shared.len() {
            return Some((Relation::Other, DecisionRule::None));
        }
        Some((Relation::MayReplace, DecisionRule::SameKey))
    }

    /// Returns whether it has entries that others do not have, and that may limit the rest of its entries, as in
    /// "when: we are away".
    fn limits_beside(&self, others: &Self) -> bool {
        self.0.iter().filter(|(key, _)| !others.0.contains_key(*key)).any(|(key, entry)| {
            let is_prose = entry.kind == EntryKind::Prose;
            is_limiting(key) || is_prose && is_limiting(&entry.value)
        })
    }
}

/// Returns whether the new entry is the known setting with another value, or a task that is done now.
fn is_other_setting(known: &Entry, new: &Entry) -> bool {
    match (known.kind, new.kind) {
        (EntryKind::Setting, EntryKind::Setting) => true,
        (EntryKind::Task, EntryKind::Task) => known.value == OPEN && new.value == DONE,
        _ => false,
    }
}

/// Starts a section below those of lower levels. An empty title only ends the others.
fn open_section(sections: &mut Vec<(usize, String)>, level: usize, title: &str) {
    sections.retain(|(above, _)| *above < level);
    if !title.trim().is_empty() {
        sections.push((level, fold(title)));
    }
}

/// Parses a line as an entry.
fn line_entry(line: &str) -> Option<(String, Entry)> {
    let line = line.trim_start_matches(['-', '*', '•', '–', ' ']);
    if let Some(found) = TASK.as_ref()?.captures(line) {
        let state = found.name("box").or(found.name("state"))?.as_str().to_uppercase();
        let is_done = matches!(state.as_str(), "X" | "DONE" | "FIXED" | "CLOSED");
        let value = if is_done { DONE } else { OPEN }.to_owned();
        let entry = Entry { value, qualifier: String::new(), kind: EntryKind::Task };
        return Some((fold(found.name("task")?.as_str()), entry));
    }
    if let Some(found) = ASSIGNMENT.as_ref()?.captures(line) {
        let text = |name: &str| found.name(name).map(|found| found.as_str());
        let (key, value) = (text("key").or(text("json"))?, text("value").or(text("number"))?);
        let value = unquote(value);
        if value.starts_with(['=', '>', '~']) || value.split_whitespace().count() > VALUE_WORDS_MAX {
            return None;
        }
        let rest = text("rest").unwrap_or_default().trim();
        let qualifier = fold(rest.trim_start_matches(['#', '/']));
        let is_comment = rest.starts_with(['#', '/']);
        let after_value = if is_comment { "" } else { &qualifier };
        let is_setting = is_setting(key, is_identifier(key), &value, after_value);
        let kind = kind_of(is_setting && !is_about_measurement(&qualifier));
        return Some((fold(key), Entry { value, qualifier, kind }));
    }
    let found = LABELED.as_ref()?.captures(line)?;
    let (key, value) = (found.name("key")?.as_str(), found.name("value")?.as_str());
    let folded = fold(key);
    let words = |text: &str| text.split_whitespace().count();
    // "Anna: …" reports what someone says.
    let is_speech = words(key) == 1 && words(value) > 3 && key.starts_with(char::is_uppercase);
    let is_time =
        key.ends_with(|c: char| c.is_ascii_digit()) && value.starts_with(|c: char| c.is_ascii_digit());
    if is_speech
        || is_time
        || LABELS.contains(&folded.as_str())
        || words(key) > KEY_WORDS_MAX
        || words(value) > VALUE_WORDS_MAX
        || value.contains(". ")
    {
        return None;
    }
    let is_code = is_identifier(key) && words(value) == 1;
    let value = unquote(value.trim_end_matches(['.', ',', ';']));
    let kind = kind_of(is_code && is_setting(key, true, &value, ""));
    let value = if is_code { value } else { fold(&value) };
    Some((folded, Entry { value, qualifier: String::new(), kind }))
}

fn kind_of(is_setting: bool) -> EntryKind {
    if is_setting { EntryKind::Setting } else { EntryKind::Prose }
}

/// Adds the cells of a table's row, each with the row's first cell and the headings as key. Without headings, a row may
/// be one of several with the same first cell.
fn row_entries(
    cells: &[String],
    header: Option<&[String]>,
    section: &str,
    entries: &mut BTreeMap<String, Entry>,
) -> Option<()> {
    let (first, rest) = cells.split_first()?;
    let headings = fold(&header.unwrap_or_default().join("|"));
    let is_other = [section, &headings, first].iter().any(|about| is_about_measurement(about));
    for (at, cell) in rest.iter().enumerate() {
        let heading = header.and_then(|cells| cells.get(at + 1));
        let is_setting = heading.is_some_and(|heading| is_setting(heading, false, cell, ""));
        let kind = kind_of(is_setting && !is_other);
        let entry = Entry { value: fold(cell), qualifier: String::new(), kind };
        insert(entries, format!("{section}\n{headings}\n{}\n{at}", fold(first)), entry)?;
    }
    Some(())
}

/// Adds an entry. `None` if the key exists.
fn insert(entries: &mut BTreeMap<String, Entry>, key: String, entry: Entry) -> Option<()> {
    entries.insert(key, entry).is_none().then_some(())
}

/// Returns the cells of a table's row, or `None` for any other line.
fn table_cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
    (cells.len() > 1).then_some(cells)
}

/// Returns whether a key is an identifier of a program: `vpn.endpoint`, `LOG_LEVEL`, `maxRetries`. "HbA1c" and "LDL-C"
/// are not.
fn is_identifier(key: &str) -> bool {
    let has_joint = key.contains(['_', '.']) && !key.contains(' ') && !key.ends_with('.');
    let humps = key.starts_with(|c: char| c.is_ascii_lowercase())
        && !key.contains([' ', '-'])
        && key.chars().any(|c| c.is_ascii_uppercase());
    key.is_ascii() && (has_joint || humps)
}

/// Returns whether the new list contains all items of the known one and others.
fn is_longer_list(known: &str, new: &str) -> bool {
    let items = |text: &str| -> Vec<String> {
        text.split([',', ';', '、', '，']).map(fold).filter(|item| !item.is_empty()).collect()
    };
    let (known, new) = (items(known), items(new));
    // An exception or a quantity is no item.
    let is_item = |item: &String| {
        item.split(' ').count() <= ITEM_WORDS_MAX && !item.contains(char::is_numeric) && !is_limiting(item)
    };
    new.len() > known.len()
        && known.iter().all(|item| new.contains(item))
        && new.iter().filter(|item| !known.contains(item)).all(is_item)
}

fn unquote(value: &str) -> String {
    value.trim().trim_matches(['"', '\'', '`']).to_owned()
}

/// Returns a text in lower case with single spaces.
fn fold(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
