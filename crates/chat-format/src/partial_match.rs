//! The start of a mark at the end of a text that is still arriving.

/// Returns the length of the longest suffix of `text` that is a proper prefix of `mark`.
#[must_use]
pub fn partial_match_len(text: &str, mark: &str) -> usize {
    let fits = |length: &usize| mark.is_char_boundary(*length) && text.ends_with(&mark[..*length]);
    (1..mark.len().min(text.len() + 1)).rev().find(fits).unwrap_or(0)
}
