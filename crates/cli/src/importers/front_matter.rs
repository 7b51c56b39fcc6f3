//! The front matter of a note: the lines between two `---` at its start.
//!
//! It is YAML. This reads what notes use of it: scalars, lists in both forms, quotes and comments. The lines of
//! a field stay available as they are, so that nothing of a field without a place in a memory is lost.

/// The front matter of a note.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FrontMatter {
    fields: Vec<Field>,
}

#[derive(Debug, PartialEq)]
struct Field {
    name: String,
    /// The scalar, or the items of the list.
    values: Vec<String>,
    is_list: bool,
    lines: Vec<String>,
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
        let mut fields: Vec<Field> = Vec::new();
        for line in lines {
            let is_inner = line.starts_with([' ', '\t', '-', '#']) || line.trim().is_empty();
            match line.split_once(':') {
                Some((name, value)) if !is_inner && (value.is_empty() || value.starts_with([' ', '\t'])) => {
                    let name = unquoted(name);
                    fields.push(Field {
                        name,
                        values: Vec::new(),
                        is_list: false,
                        lines: vec![(*line).into()],
                    });
                }
                _ => match fields.last_mut() {
                    Some(field) => field.lines.push((*line).into()),
                    None if line.trim().is_empty() || line.starts_with('#') => {}
                    // A line that is no field stays text.
                    None => fields.push(Field {
                        name: String::new(),
                        values: Vec::new(),
                        is_list: false,
                        lines: vec![(*line).into()],
                    }),
                },
            }
        }
        fields.iter_mut().for_each(Field::read_values);
        Self { fields }
    }

    /// Removes the first of these fields that has a value, and returns its values. Names are compared without
    /// case.
    pub(super) fn take(&mut self, names: &[&str]) -> Vec<String> {
        self.take_field(names).map_or_else(Vec::new, |field| field.values)
    }

    /// Removes a field like [`FrontMatter::take`], and returns its value if it is one line.
    pub(super) fn take_one(&mut self, names: &[&str]) -> Option<String> {
        self.take(names).into_iter().next()
    }

    /// Removes a field of tags. A text has tags between commas or spaces, a list one tag per item.
    pub(super) fn take_tags(&mut self, names: &[&str]) -> Vec<String> {
        let Some(field) = self.take_field(names) else { return Vec::new() };
        let parts: Vec<String> = match field.is_list {
            true => field.values,
            false => {
                let text = field.values.concat();
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

    /// Returns the lines of the fields that were not taken, without empty fields.
    pub(super) fn remaining_lines(&self) -> Vec<&str> {
        let fields = self.fields.iter().filter(|field| !field.values.is_empty() || field.name.is_empty());
        let lines = fields.flat_map(|field| field.lines.iter().map(|line| line.trim_end()));
        lines.filter(|line| !line.is_empty()).collect()
    }

    fn take_field(&mut self, names: &[&str]) -> Option<Field> {
        let at = names.iter().find_map(|name| {
            let is_it = |field: &Field| field.name.eq_ignore_ascii_case(name) && !field.values.is_empty();
            self.fields.iter().position(is_it)
        })?;
        Some(self.fields.remove(at))
    }
}

impl Field {
    fn read_values(&mut self) {
        let first = self.lines[0].split_once(':').map_or("", |(_, value)| value.trim());
        let first = without_comment(first);
        let inner = self.lines[1..].iter().map(|line| line.trim()).filter(|line| !line.is_empty());
        if let Some(list) = first.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
            // `[[a link]]` is text that looks like a list.
            if list.starts_with('[') {
                self.values = vec![first.into()];
                return;
            }
            self.is_list = true;
            self.values = flow_items(list);
        } else if matches!(first.trim_end_matches(['-', '+']), "|" | ">") {
            let text: Vec<&str> = inner.collect();
            self.values = vec![text.join("\n")];
        } else if !first.is_empty() {
            self.values = vec![unquoted(first)];
        } else {
            let items: Vec<&str> = inner.filter(|line| !line.starts_with('#')).collect();
            self.is_list = items.iter().any(|line| line.starts_with("- "));
            let item = |line: &&str| unquoted(without_comment(line.strip_prefix("- ").unwrap_or(line)));
            self.values = items.iter().map(item).collect();
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

/// Removes a comment at the end of a value. In quotes, `#` starts none.
fn without_comment(value: &str) -> &str {
    let is_quoted = value.starts_with(['"', '\'']);
    let end = if is_quoted { None } else { value.find(" # ") };
    value[..end.unwrap_or(value.len())].trim_end()
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
                "  lines"
            ]
        );
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
