//! The text that is searched for stated secrets.

use std::ops::Range;

use super::languages::SecretLanguages;

/// Bytes around a noun in which a place is looked for.
pub(super) const PLACE_BYTES: usize = 120;

/// A text with the same text in lower case, byte for byte.
pub(super) struct StatedText<'a> {
    pub(super) text: &'a str,
    pub(super) lower: String,
    pub(super) languages: &'a SecretLanguages,
}

impl StatedText<'_> {
    /// Returns the words around a range: those nearby in the same sentence and line.
    pub(super) fn sentence(&self, at: &Range<usize>) -> Range<usize> {
        let lower = &self.lower;
        let start = lower.ceil_char_boundary(at.start.saturating_sub(PLACE_BYTES));
        let end = lower.floor_char_boundary(at.end + PLACE_BYTES);
        let ends = |window: &str, at: usize| {
            window[at..].starts_with('\n')
                || window[at + 1..].starts_with(' ') && window[at..].starts_with(['.', '!', '?'])
        };
        let window = &lower[start..at.start];
        let start = window
            .rmatch_indices(['\n', '.', '!', '?'])
            .find(|(at, _)| ends(window, *at))
            .map_or(start, |(at, _)| start + at + 1);
        let window = &lower[at.end..end];
        let end = window
            .match_indices(['\n', '.', '!', '?'])
            .find(|(at, _)| ends(window, *at))
            .map_or(end, |(sign, _)| at.end + sign);
        start..end
    }
}

/// Returns whether a character is a vowel sign or another mark that continues a word.
pub(super) const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{97f}' | '\u{e31}'..='\u{e4e}')
}
