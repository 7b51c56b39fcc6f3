//! The sections that clients add around a user's own text, such as `<system-reminder>…</system-reminder>`.
//!
//! A section starts with a tag at the start of a line and ends with the first closing tag of the same name.
//! Finding the sections takes time in proportion to the text, however many tags it has: clients choose the text.

use std::collections::HashMap;

/// The maximum number of different closing tags that can end a section. Clients use a few. The limit bounds
/// the memory that a text with many different tags takes.
const CLOSING_TAGS_MAX: usize = 1024;

/// Removes the sections from a user's message. Also removes whitespace around the rest.
///
/// A tag that is never closed is part of the user's text, which may be about markup.
pub(crate) fn strip_client_sections(text: &str) -> String {
    let closing_tags = last_closing_tags(text);
    let mut stripped = String::new();
    // The start of the text that is neither kept nor removed yet, and of the line that is read.
    let (mut rest_start, mut line_start) = (0, 0);
    while line_start < text.len() {
        let line = &text[line_start..];
        let start = line_start + (line.len() - line.trim_start().len());
        let section = &text[start..];
        match opening_tag(section).filter(|name| closing_tags.get(name).is_some_and(|last| *last > start)) {
            Some(name) => {
                let closing_tag = format!("</{name}>");
                let length = section.find(&closing_tag).map_or(section.len(), |at| at + closing_tag.len());
                stripped.push_str(&text[rest_start..start]);
                (rest_start, line_start) = (start + length, start + length);
            }
            None => line_start = section.find('\n').map_or(text.len(), |end| start + end + 1),
        }
    }
    stripped.push_str(&text[rest_start..]);
    stripped.trim().to_owned()
}

/// Returns the offset of the last closing tag of each name, for the first [`CLOSING_TAGS_MAX`] names.
fn last_closing_tags(text: &str) -> HashMap<&str, usize> {
    let mut tags = HashMap::new();
    for (at, start) in text.match_indices("</") {
        if let Some(name) = tag_name(&text[at + start.len()..])
            && (tags.len() < CLOSING_TAGS_MAX || tags.contains_key(name))
        {
            tags.insert(name, at);
        }
    }
    tags
}

/// Returns the name of the tag at the start of a text, if that is an opening tag.
fn opening_tag(text: &str) -> Option<&str> {
    tag_name(text.strip_prefix('<')?)
}

/// Returns the name at the start of a text, if `>` follows it.
fn tag_name(text: &str) -> Option<&str> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_');
    let end = text.bytes().position(|byte| !is_name(byte))?;
    (end > 0 && text[end..].starts_with('>')).then(|| &text[..end])
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn client_sections_are_stripped_from_user_messages() {
        let cases = [
            ("Hello.", "Hello."),
            ("<system-reminder>\nRemember that x.\n</system-reminder>\nHello.", "Hello."),
            ("<environment_context>\n<cwd>/w</cwd>\n</environment_context>", ""),
            ("Hello.\n<context>a</context>\nBye.", "Hello.\n\nBye."),
            ("Hello.\n  <a>1</a> <b>2</b>\tBye.", "Hello.\n   \tBye."),
            ("<a>1</a><b>2</b>3<c>4</c>", "3<c>4</c>"),
            ("<a>1</a>2</a>", "2</a>"),
            ("</a>1\n<a>2", "</a>1\n<a>2"),
            ("What is <b> in HTML?", "What is <b> in HTML?"),
            ("<b>never closed", "<b>never closed"),
            ("<b>a\n<i>x</i>", "<b>a"),
            ("<B>1</B>\n<>2</>\n<é>3</é>\n<a", "<B>1</B>\n<>2</>\n<é>3</é>\n<a"),
            ("", ""),
        ];
        for (text, own) in cases {
            assert_eq!(strip_client_sections(text), own, "{text}");
        }
    }

    #[test]
    fn tags_that_repeat_for_a_megabyte_are_read_once() {
        let lines = 1 << 18;
        let unclosed = "<a>\n".repeat(lines);
        assert_eq!(strip_client_sections(&unclosed), unclosed.trim());
        // Each name is another one, and none is closed.
        let mut names = String::new();
        for number in 0..lines / 2 {
            let digit = |place: u32| char::from(b'a' + ((number >> (4 * place)) & 15) as u8);
            let _ = writeln!(names, "<{}>", (0..5).map(digit).collect::<String>());
        }
        assert_eq!(strip_client_sections(&names), names.trim());
        assert_eq!(last_closing_tags(&names.replace('<', "</")).len(), CLOSING_TAGS_MAX);
        assert_eq!(strip_client_sections(&"<a></a>".repeat(lines)), "");
        assert_eq!(strip_client_sections(&("</a>".repeat(lines) + "\n<a>")), "</a>".repeat(lines) + "\n<a>");
        let closed_at_the_end = "<a>\n".repeat(lines) + "</a>\nHello.";
        assert_eq!(strip_client_sections(&closed_at_the_end), "Hello.");
    }
}
