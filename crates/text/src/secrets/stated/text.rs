//! The text that is searched for stated secrets.

use super::languages::SecretLanguages;

/// Bytes around a noun in which a place is looked for.
pub(super) const PLACE_BYTES: usize = 120;

/// A text with the same text in lower case, byte for byte.
pub(super) struct StatedText<'a> {
    pub(super) text: &'a str,
    pub(super) lower: String,
    pub(super) languages: &'a SecretLanguages,
}

/// Returns whether a character is a vowel sign or another mark that continues a word.
pub(super) const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{97f}' | '\u{e31}'..='\u{e4e}')
}
