//! The front matter of a note: the lines between two `---` at its start.
//!
//! It is YAML. This reads what notes use of it: scalars, lists in both forms, quotes and comments. The lines of
//! a field stay available as they are, so that nothing of a field without a place in a memory is lost. The comments
//! of a field that was taken stay, too.

/// The front matter of a note.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FrontMatter {
    fields: Vec<Field>,
    /// The comments that are in no remaining field.
    comments: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct Field {
    name: String,
    /// The scalar, or the items of the list.
    values: Vec<String>,
    is_list: bool,
    lines: Vec<String>,
    comments: Vec<String>,
}

/// Returns the front matter of a note, the text after it, and the number of the line where that starts. A text
/// without an end of the front matter has none.
pub(super) fn split(text: &str) -> (FrontMatter, &str, usize) {
    let none = (FrontMatter::default(), text, 1);
    let Some((first, mut rest)) = text.split_once('\n') else { return none };
    if first.trim_end() != "---" {
        return none;
    }
    let (mut lines, mut number) = (Vec::new(), 1);
    loop {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        number += 1;
        if matches!(line.trim_end(), "---" | "...") {
            return (FrontMatter::of(&lines), after, number + 1);
        }
        if after.is_empty() && !rest.contains('\n') {
            return none;
        }
        lines.push(line);
        rest = after;
    }
}

impl FrontMatter {
    fn of(lines: &[&str]) -> Self {
        let (mut fields, mut comments): (Vec<Field>, Vec<String>) = (Vec::new(), Vec::new());
        for line in lines {
            let is_inner = line.starts_with([' ', '\t', '-', '#', ']', '}']) || line.trim().is_empty();
            match line.split_once(':') {
                Some((name, value)) if !is_inner && (value.is_empty() || value.starts_with([' ', '\t'])) => {
                    fields.push(Field::new(unquoted(name), line));
                }
                _ => match fields.last_mut().filter(|field| is_inner && !field.name.is_empty()) {
                    Some(field) => field.lines.push((*line).into()),
                    None if line.trim().is_empty() => {}
                    None if line.starts_with('#') => comments.push((*line).into()),
                    // A line that is no field stays text.
                    None => fields.push(Field::new(String::new(), line)),
                },
            }
        }
        fields.iter_mut().for_each(Field::read_values);
        Self { fields, comments }
    }

    /// Removes the first of these fields that has a value, and returns its values. Names are compared without
    /// case.
    pub(super) fn take(&mut self, names: &[&str]) -> Vec<String> {
        self.take_field(names).map_or_else(Vec::new, |field| field.values)
    }

    /// Returns the first value of the first of these fields that has one. Removes the field if it has no other value.
    pub(super) fn take_first(&mut self, names: &[&str]) -> Option<String> {
        let at = self.position(names)?;
        match self.fields[at].values.as_slice() {
            [_] => self.take_field(names)?.values.pop(),
            [first, ..] if self.fields[at].is_list => Some(first.clone()),
            _ => None,
        }
    }

    /// Removes the first of these fields that has a value, if it has only one, and returns that.
    pub(super) fn take_one(&mut self, names: &[&str]) -> Option<String> {
        let at = self.position(names)?;
        if self.fields[at].values.len() > 1 {
            return None;
        }
        self.take_field(names)?.values.pop()
    }

    /// Removes a field of tags. A text has tags between commas or spaces, a list one tag per item.
    pub(super) fn take_tags(&mut self, names: &[&str]) -> Vec<String> {
        let Some(field) = self.take_field(names) else { return Vec::new() };
        let parts: Vec<String> = match field.is_list {
            true => field.values,
            false => {
                let text = field.values.join(" ");
                text.split([',', ' ']).map(ToOwned::to_owned).collect()
            }
        };
        let tags = parts.iter().map(|tag| tag.trim().trim_start_matches('#').to_owned());
        tags.filter(|tag| !tag.is_empty()).collect()
    }

    /// Returns the value of a field without removing it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        field.values.first().map(String::as_str)
    }

    /// Returns the lines of the fields that were not taken, without empty fields, and the comments of the others.
    pub(super) fn remaining_lines(&self) -> Vec<&str> {
        let lines = self.fields.iter().flat_map(|field| {
            let is_kept = !field.values.is_empty() || field.name.is_empty();
            if is_kept { &field.lines } else { &field.comments }
        });
        let lines = lines.chain(&self.comments).map(|line| line.trim_end());
        lines.filter(|line| !line.is_empty()).collect()
    }

    fn position(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| {
            let is_it = |field: &Field| field.name.eq_ignore_ascii_case(name) && !field.values.is_empty();
            self.fields.iter().position(is_it)
        })
    }

    fn take_field(&mut self, names: &[&str]) -> Option<Field> {
        let mut field = self.fields.remove(self.position(names)?);
        self.comments.append(&mut field.comments);
        Some(field)
    }
}

impl Field {
    fn new(name: String, line: &str) -> Self {
        Self { name, values: Vec::new(), is_list: false, lines: vec![line.into()], comments: Vec::new() }
    }

    fn read_values(&mut self) {
        let first = self.lines[0].split_once(':').map_or("", |(_, value)| value.trim());
        let inner = self.lines[1..].iter().map(|line| line.trim()).filter(|line| !line.is_empty());
        if matches!(without_comment(first).0.trim_end_matches(['-', '+']), "|" | ">") {
            let text: Vec<&str> = inner.collect();
            self.values = vec![text.join("\n")];
            self.comments.extend(without_comment(first).1.map(ToOwned::to_owned));
            return;
        }
        let mut lines = Vec::new();
        for line in std::iter::once(first).chain(inner) {
            let (line, comment) = without_comment(line);
            self.comments.extend(comment.map(ToOwned::to_owned));
            lines.push(line);
        }
        if first.is_empty() || lines[0].is_empty() {
            let items: Vec<&str> = lines[1..].iter().copied().filter(|line| !line.is_empty()).collect();
            self.is_list = items.iter().any(|line| line.starts_with("- "));
            let item = |line: &&str| unquoted(line.strip_prefix("- ").unwrap_or(line));
            self.values = items.iter().map(item).collect();
        } else {
            // A value goes on in the lines below it.
            lines.retain(|line| !line.is_empty());
            let text = lines.join(" ");
            match text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                // `[[a link]]` is text that looks like a list.
                Some(list) if !list.starts_with('[') => {
                    self.is_list = true;
                    self.values = flow_items(list);
                }
                _ => self.values = vec![unquoted(&text)],
            }
        }
        self.values.retain(|value| !value.is_empty());
    }
}

/// Splits the items of a list in brackets at the commas outside of quotes.
fn flow_items(list: &str) -> Vec<String> {
    let (mut items, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, c) in list.char_indices() {
        match c {
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() && list[start..at].trim().is_empty() => quote = Some(c),
            ',' if quote.is_none() => {
                items.push(unquoted(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(unquoted(&list[start..]));
    items
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    text.to_owned()
}

/// Splits the comment from the end of a value. In quotes, `#` starts none.
fn without_comment(value: &str) -> (&str, Option<&str>) {
    if value.starts_with("# ") || value == "#" {
        return ("", Some(value));
    }
    let is_quoted = value.strip_prefix("- ").unwrap_or(value).starts_with(['"', '\'']);
    match value.find(" # ").filter(|_| !is_quoted) {
        Some(at) => (value[..at].trim_end(), Some(value[at..].trim())),
        None => (value.trim_end(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_lists_quotes_and_comments_are_read() {
        let text = "---\ntitle: \"Tea: a guide\" \ntags: [drinks, \"hot, cold\"]\naliases:\n  - Chai\n  - 'Cha'\n\
                    created: 2026-01-16 # by hand\nempty:\nsource: https://example.com/#x\nrelated: \"[[Cake]]\"\n\
                    up: [[Home]]\nsummary: |\n  two\n  lines\n---\nBody\n";
        let (mut front, body, line) = split(text);
        assert_eq!((body, line), ("Body\n", 16));
        assert_eq!(front.take(&["aliases", "alias"]), ["Chai", "Cha"]);
        assert_eq!(front.take_tags(&["tags"]), ["drinks", "hot, cold"]);
        assert_eq!(front.take_one(&["created"]).as_deref(), Some("2026-01-16"));
        assert_eq!(front.take_one(&["Title"]).as_deref(), Some("Tea: a guide"));
        assert_eq!(front.get("up"), Some("[[Home]]"));
        assert_eq!(front.get("summary"), Some("two\nlines"));
        assert_eq!(front.take_one(&["created"]), None, "it was taken");
        assert_eq!(
            front.remaining_lines(),
            [
                "source: https://example.com/#x",
                "related: \"[[Cake]]\"",
                "up: [[Home]]",
                "summary: |",
                "  two",
                "  lines",
                "# by hand"
            ]
        );
    }

    #[test]
    fn nothing_of_a_field_that_was_taken_is_lost() {
        let head = "# at the start\nproject: [A, B]\ntitle:\n  - One\n  - Two\ndate: a long\n  value\n\
                    tags: [x, # why\n  y,\n  z\n]\nno field at all\nowner:\n  name: Mira\n  town: Graz\nempty:\n  # todo\n";
        let mut front = split(&format!("---\n{head}---\n")).0;
        assert_eq!(front.take_first(&["project"]).as_deref(), Some("A"));
        assert_eq!(front.take_one(&["title"]), None);
        assert_eq!(front.take_one(&["date"]).as_deref(), Some("a long value"));
        assert_eq!(front.take_tags(&["tags"]), ["x", "y", "z"]);
        assert_eq!(front.take_first(&["owner"]), None, "an object has no first value");
        let expected = [
            "project: [A, B]",
            "title:",
            "  - One",
            "  - Two",
            "no field at all",
            "owner:",
            "  name: Mira",
            "  town: Graz",
            "# todo",
            "# at the start",
            "# why",
        ];
        assert_eq!(front.remaining_lines(), expected);
        let mut one = split("---\nproject: [A]\n---\n").0;
        assert_eq!((one.take_first(&["project"]).as_deref(), one.remaining_lines().len()), (Some("A"), 0));
    }

    #[test]
    fn tags_are_read_in_every_form() {
        for head in [
            "tags: [a, b]",
            "tags: a, b",
            "tags: a b",
            "tags: \"#a #b\"",
            "tags:\n- a\n- b",
            "tags:\n  - \"#a\"\n  - b # why",
            "Tags: ['a',\"b\"]",
        ] {
            let text = format!("---\n{head}\n---\n");
            assert_eq!(split(&text).0.take_tags(&["tags", "tag"]), ["a", "b"], "{head}");
        }
    }

    #[test]
    fn a_text_without_front_matter_is_all_body() {
        for text in ["", "Text", "---\ntitle: x\nno end", "--- a\n---\n", "Text\n---\na: b\n---\n", "---"] {
            assert_eq!(split(text), (FrontMatter::default(), text, 1), "{text:?}");
        }
        assert_eq!(split("---\n---\nText"), (FrontMatter::default(), "Text", 3));
        assert_eq!(split("---\na: b\n---").1, "");
    }
}
