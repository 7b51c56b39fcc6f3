//! Terminal-safe text: untrusted text must not control the terminal that shows it.
//!
//! Untrusted text comes from models, other programs and file names. Command output and log lines pass through
//! these functions.

/// The replacement for a character that would control the terminal.
const REPLACEMENT: char = '\u{fffd}';

/// Replaces each control character of an untrusted text, line breaks included, by U+FFFD.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(plain_char).collect()
}

/// Replaces control characters like [`plain`], but keeps line breaks.
#[must_use]
pub fn plain_lines(text: &str) -> String {
    let lines = text.split('\n').map(|line| plain(line.strip_suffix('\r').unwrap_or(line)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces one character like [`plain`].
#[must_use]
pub fn plain_char(c: char) -> char {
    if is_terminal_control(c) { REPLACEMENT } else { c }
}

/// Returns whether a character controls the terminal or reorders the text around it.
///
/// These are control characters except the tab, the line and paragraph separators, and the characters that
/// embed, override or isolate a text direction (the list of rustc's lint
/// `text_direction_codepoint_in_literal`, CVE-2021-42574). The marks of ordinary Hebrew and Arabic text
/// (U+200E, U+200F, U+061C) are allowed.
#[must_use]
pub fn is_terminal_control(c: char) -> bool {
    let is_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_direction || matches!(c, '\u{2028}' | '\u{2029}') || (c.is_control() && c != '\t')
}

/// Escapes each character of a JSON text that would control the terminal.
///
/// The value stays the same: outside of strings, JSON contains no such characters except line breaks.
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

    /// Control characters, line separators, and characters that change the text direction.
    const STEERING: &str = "\u{0}\u{1b}\u{7f}\u{9b}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
                            \u{2066}\u{2067}\u{2068}\u{2069}";

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
