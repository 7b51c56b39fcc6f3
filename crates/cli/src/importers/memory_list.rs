//! A list of memories as text, one per line or list item, as a person copies it from ChatGPT.

use super::passages::{emphasized, list_item};
use super::sections::heading;
use super::times;

/// An entry of a list.
#[derive(Debug, PartialEq)]
pub(super) struct ListEntry {
    pub(super) line: usize,
    pub(super) text: String,
    /// The date in front of the entry, as it is written.
    pub(super) date: Option<String>,
}

/// Returns the entries of a list, and the line numbers of its titles and introductions.
///
/// If the text has list items, other lines belong to the item above them, or introduce the list. If not, every
/// line is an entry.
pub(super) fn entries(text: &str) -> (Vec<ListEntry>, Vec<usize>) {
    let has_items = text.lines().any(|line| item(line.trim()).is_some());
    let (mut found, mut titles): (Vec<ListEntry>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut is_open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        let is_indented = line.starts_with([' ', '\t']);
        if trimmed.is_empty() {
            is_open = false;
        } else if trimmed.starts_with("```") {
            // Answers have the list in a code block.
        } else if heading(trimmed).is_some() || emphasized(trimmed).is_some() {
            titles.push(number);
            is_open = false;
        } else if let Some(item) = item(trimmed).filter(|_| !(is_indented && is_open)) {
            found.push(entry(number, item));
            is_open = true;
        } else if let (true, Some(last)) =
            (has_items && is_open || is_indented && !found.is_empty(), found.last_mut())
        {
            last.text.push('\n');
            last.text.push_str(trimmed);
        } else if trimmed.ends_with(':') {
            titles.push(number);
        } else {
            found.push(entry(number, trimmed));
        }
    }
    (found, titles)
}

/// Returns the text of a list item; also of one that starts with a date in brackets.
fn item(line: &str) -> Option<&str> {
    list_item(line).or_else(|| line.starts_with('[').then_some(line).filter(|line| dated(line).1.is_some()))
}

fn entry(line: usize, text: &str) -> ListEntry {
    let (text, date) = dated(text);
    ListEntry { line, text: text.to_owned(), date }
}

/// Returns whether lines of the text begin with a date in brackets.
pub(super) fn has_dated_lines(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| line.starts_with('[') && dated(line).1.is_some())
}

/// Splits the date from an entry such as `[2024-05-03] - The user likes tea`.
pub(super) fn dated(text: &str) -> (&str, Option<String>) {
    let in_brackets = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let bare = || {
        let end = text.find(char::is_whitespace)?;
        let date = text[..end].trim_end_matches(':');
        Some((date, &text[end..]))
    };
    let Some((date, rest)) = in_brackets.or_else(bare) else { return (text, None) };
    if times::parse(date).is_none() {
        return (text, None);
    }
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || ['.', ':', '-', '–', '—'].contains(&c));
    if rest.is_empty() { (text, None) } else { (rest, Some(date.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        entries(text).0.into_iter().map(|entry| entry.text).collect()
    }

    #[test]
    fn each_line_of_a_plain_list_is_an_entry() {
        let text = "User is allergic to walnuts.\nUser's bike is called Blitz: a red one.\n\nPrefers short answers\n  in British English\n";
        assert_eq!(
            texts(text),
            [
                "User is allergic to walnuts.",
                "User's bike is called Blitz: a red one.",
                "Prefers short answers\nin British English"
            ]
        );
    }

    #[test]
    fn items_of_an_answer_are_entries_and_its_introduction_is_none() {
        let text = "Here is what I remember about you:\n\n# Personal\n- Is allergic to walnuts\n- Has two cats\nwho are siblings\n\
                    **Work**\n1. Builds mills\n2. Likes:\n   - oak\n   - ash\n";
        let (found, titles) = entries(text);
        let found: Vec<&str> = found.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!(
            found,
            [
                "Is allergic to walnuts",
                "Has two cats\nwho are siblings",
                "Builds mills",
                "Likes:\n- oak\n- ash"
            ]
        );
        assert_eq!(titles, [1, 3, 7]);
    }

    #[test]
    fn dates_in_front_of_entries_are_their_times() {
        let text = "```\n[2024-05-03] - Likes tea\n1. [2024-05-04]. Likes cake\n- 2024-05-05: Likes rain\n[not a date] stays\n```\n";
        let found: Vec<(String, Option<String>)> =
            entries(text).0.into_iter().map(|entry| (entry.text, entry.date)).collect();
        let expected = [
            ("Likes tea", "2024-05-03"),
            ("Likes cake", "2024-05-04"),
            ("Likes rain\n[not a date] stays", "2024-05-05"),
        ];
        assert_eq!(found, expected.map(|(text, date)| (text.to_owned(), Some(date.to_owned()))));
        assert_eq!(texts("[note] stays whole\n[x] too\n"), ["[note] stays whole", "[x] too"]);
    }
}
