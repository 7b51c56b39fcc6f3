//! Entries with a key: assignments of a configuration, rows of a table, tasks of a list, and `key: value`.
//!
//! Two texts that consist of entries are compared key by key, whatever their length. A key does not say that it has one
//! value: there may be two hosts, two paths and two measurements. So only settings replace each other, that is numbers,
//! switches and levels of an identifier, if all else is the same. Other changes are links.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::compare::{DecisionRule, Relation};

/// The most lines of a text whose entries are compared.
const LINES_MAX: usize = 500;
/// The most words in the key of a prose entry.
const KEY_WORDS_MAX: usize = 6;
/// The most letters of a unit after a number, as in "512MiB".
const UNIT_CHARS_MAX: usize = 3;
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

/// Words that are the value of a switch or a level.
const SETTINGS: &[&str] = &[
    "true", "false", "on", "off", "yes", "no", "enabled", "disabled", "trace", "debug", "info", "warn",
    "warning", "error", "none", "always", "never", "auto",
];

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    /// Its key is an identifier, or a row and a column of a table with headings.
    Setting,
    /// A task, which is open and then done.
    Task,
    /// Its key is a phrase, or a row of a table without headings.
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
            let (key, entry) = line_entry(line)?;
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
        if shared.iter().any(|(known, new)| known.qualifier != new.qualifier) {
            return Some((Relation::Other, DecisionRule::None));
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
}

/// Returns whether the new entry is the known setting with another value, or a task that is done now.
fn is_other_setting(known: &Entry, new: &Entry) -> bool {
    let is_setting = |entry: &Entry| {
        let number = entry.value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
        let unit = entry.value.len() - number.len();
        let is_number = !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit() || c == '.')
            && number.matches('.').count() < 2
            && unit <= UNIT_CHARS_MAX;
        is_number || SETTINGS.contains(&entry.value.to_lowercase().as_str())
    };
    match (known.kind, new.kind) {
        (EntryKind::Setting, EntryKind::Setting) => is_setting(known) && is_setting(new),
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
        let qualifier = fold(text("rest").unwrap_or_default().trim().trim_start_matches(['#', '/']));
        return Some((fold(key), Entry { value, qualifier, kind: EntryKind::Setting }));
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
    let is_setting = is_identifier(key) && words(value) == 1;
    let kind = if is_setting { EntryKind::Setting } else { EntryKind::Prose };
    let value = unquote(value.trim_end_matches(['.', ',', ';']));
    let value = if is_setting { value } else { fold(&value) };
    Some((folded, Entry { value, qualifier: String::new(), kind }))
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
    let kind = if header.is_some() { EntryKind::Setting } else { EntryKind::Prose };
    for (at, cell) in rest.iter().enumerate() {
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
    new.len() > known.len() && known.iter().all(|item| new.contains(item))
}

fn unquote(value: &str) -> String {
    value.trim().trim_matches(['"', '\'', '`']).to_owned()
}

/// Returns a text in lower case with single spaces.
fn fold(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(known: &str, incoming: &str) -> Option<Relation> {
        Some(Entries::of(known)?.compare(&Entries::of(incoming)?)?.0)
    }

    #[test]
    fn entries_are_compared_by_key() {
        let cases = [
            ("LOG_LEVEL=info in prod", "LOG_LEVEL=warn in prod", Some(Relation::Replaces)),
            ("LOG_LEVEL=info in prod", "LOG_LEVEL=warn in staging", Some(Relation::Other)),
            ("vpn.endpoint=vpn1.example.org", "vpn.endpoint=vpn2.example.org", Some(Relation::MayReplace)),
            ("read.timeout=30", "write.timeout=30", None),
            ("PORT=1\nHOST=a", "PORT=2", Some(Relation::MayReplace)),
            ("PORT=1", "PORT=1\nHOST=a", Some(Relation::More)),
            ("[prod]\nport = 1", "[test]\nport = 2", None),
            ("| port | 3000 |", "| port | 3001 |", Some(Relation::MayReplace)),
            (
                "| app | port |\n|---|---|\n| web | 3000 |",
                "| app | port |\n|---|---|\n| web | 3001 |",
                Some(Relation::Replaces),
            ),
            ("| Anna | size |\n|---|---|\n| shoes | 38 |", "| Ben | size |\n|---|---|\n| shoes | 43 |", None),
            ("- [ ] renew the passport", "- [x] renew the passport", Some(Relation::Replaces)),
            ("- [x] water the plants", "- [ ] water the plants", Some(Relation::MayReplace)),
            ("# prod\n## limits\nmax_conn=20", "# staging\n## limits\nmax_conn=5", None),
            ("```ini a.ini\nthreads = 8\n```", "```ini b.ini\nthreads = 16\n```", None),
            ("AllowedIPs = 10.8.0.2/32", "AllowedIPs = 10.8.0.3/32", Some(Relation::MayReplace)),
            ("export PATH=\"$PATH:/opt/a\"", "export PATH=\"$PATH:/opt/b\"", Some(Relation::MayReplace)),
            ("HbA1c: 7.1", "HbA1c: 6.8", Some(Relation::MayReplace)),
            ("max_size=512MB", "max_size=1024MB", Some(Relation::Replaces)),
            ("\"name\": \"a\",\n\"port\": 80", "\"name\": \"b\",\n\"port\": 81", Some(Relation::Other)),
            ("TODO: renew the passport", "DONE: renew the passport", Some(Relation::Replaces)),
            ("on-call this week: Samir", "on-call this week: Ivana", Some(Relation::MayReplace)),
            ("dad's birthday: 7.8.", "dad's birthday: 8.7.", Some(Relation::MayReplace)),
            ("Allergies: penicillin, cat hair", "Allergies: penicillin", Some(Relation::MayReplace)),
            ("Allergies: penicillin", "Allergies: penicillin, cat hair", Some(Relation::More)),
            ("Allergies: penicillin", "Allergies:  Penicillin", Some(Relation::Same)),
            ("Note: buy milk", "Note: call the plumber", None),
            ("Tom: we should use another database", "Tom: I like it here in fact", None),
            ("\"port\": 80,", "\"port\": 81,", Some(Relation::Replaces)),
        ];
        for (known, incoming, expected) in cases {
            assert_eq!(relation(known, incoming), expected, "{known} | {incoming}");
        }
    }
}
