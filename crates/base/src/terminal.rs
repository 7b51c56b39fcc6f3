//! The one rule for text of others on a terminal: what models, other programs and whoever named a file wrote does not steer it.
//! What commands show and the lines of the log keep to it.

/// What is shown in the place of a character that would steer the terminal.
const REPLACEMENT: char = '\u{fffd}';

/// A text of someone else's on one line: U+FFFD stands in the place of each character that would steer the terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(plain_char).collect()
}

/// As [`plain`], of a text whose line breaks are kept.
#[must_use]
pub fn plain_lines(text: &str) -> String {
    let lines = text.split('\n').map(|line| plain(line.strip_suffix('\r').unwrap_or(line)));
    lines.collect::<Vec<_>>().join("\n")
}

/// As [`plain`], of one character.
#[must_use]
pub fn plain_char(c: char) -> char {
    if is_terminal_control(c) { REPLACEMENT } else { c }
}

/// Whether a character does something to the terminal, or to the order of the characters around it: control characters but the
/// tab, the line and the paragraph separator, and those that embed, override or isolate a direction of text (the list of rustc's
/// lint `text_direction_codepoint_in_literal`, CVE-2021-42574). Marks that ordinary Hebrew and Arabic have (U+200E, U+200F,
/// U+061C) do not.
#[must_use]
pub fn is_terminal_control(c: char) -> bool {
    let is_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_direction || matches!(c, '\u{2028}' | '\u{2029}') || (c.is_control() && c != '\t')
}

/// JSON in which an escape stands for each character that would steer the terminal. It means the same: outside of strings JSON
/// has none of them but line breaks.
#[must_use]
pub fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if is_terminal_control(c) && c != '\n' {
            plain.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control characters, separators of lines, and characters that change the direction of text.
    const STEERING: &str = "\u{0}\u{1b}\u{7f}\u{9b}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";

    #[test]
    fn untrusted_text_does_not_control_the_terminal() {
        let replaced = "\u{fffd}".repeat(STEERING.chars().count());
        assert_eq!(plain(STEERING), replaced);
        assert_eq!(plain("a\nb\tc"), "a\u{fffd}b\tc");
        assert_eq!(plain_lines(&format!("a\r\nb{STEERING}\n")), format!("a\nb{replaced}\n"));
        let kept = "שלום\u{200f}, مرحبا\u{61c}, 👩‍👩‍👧, e\u{301}";
        assert_eq!(plain(kept), kept);
    }
}
