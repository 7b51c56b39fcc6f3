//! Applies the line limits of a request to the tokens of an answer.

use lar_base::Instant;
use lar_compat::LineLimits;

/// The state of one answer's line limits.
#[derive(Debug, Clone)]
pub(crate) struct LineTracker {
    limits: LineLimits,
    first_token: Option<Instant>,
    /// The spaces and tabs at the start of the current line; `None` after the indentation and in the first line.
    indent: Option<usize>,
    is_over: bool,
}

impl LineTracker {
    /// Creates the state before the first token.
    pub(crate) const fn new(limits: LineLimits) -> Self {
        Self { limits, first_token: None, indent: None, is_over: false }
    }

    /// Returns whether a limit has ended the answer.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Adds the text of a token that arrived at `now`.
    ///
    /// If a limit ends the answer, returns the number of the text's bytes that belong to the answer.
    pub(crate) fn add(&mut self, text: &str, now: Instant) -> Option<usize> {
        let first_token = *self.first_token.get_or_insert(now);
        let is_late = self.limits.time_max.is_some_and(|time_max| now.since(first_token) > time_max);
        let kept =
            self.find_short_indent(text).or_else(|| (is_late && text.contains('\n')).then_some(text.len()));
        self.is_over = kept.is_some();
        kept
    }

    /// Returns the position of the first word of a line with too little indentation.
    fn find_short_indent(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate() {
            match (byte, self.indent) {
                (b' ' | b'\t', Some(indent)) => self.indent = Some(indent + 1),
                (_, Some(indent)) if indent < self.limits.indent_min => return Some(at),
                (b'\n', _) => self.indent = Some(0),
                _ => self.indent = None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns the limited text of an answer with one token per millisecond, and whether a limit ended the answer.
    fn limited(limits: LineLimits, tokens: &[&str]) -> (String, bool) {
        let (mut lines, mut left) = (LineTracker::new(limits), String::new());
        for (at, token) in (0..).zip(tokens) {
            match lines.add(token, Instant::from_millis(at)) {
                Some(kept) => {
                    left.push_str(&token[..kept]);
                    return (left, lines.is_over());
                }
                None => left.push_str(token),
            }
        }
        (left, lines.is_over())
    }

    #[test]
    fn a_line_with_too_little_indentation_ends_the_answer_before_its_first_word() {
        let two = LineLimits { indent_min: 2, time_max: None };
        let cases: &[(&[&str], &str, bool)] = &[
            (&["a = 1\n", "  b", "\n", " ", "\tc\n  d"], "a = 1\n  b\n \tc\n  d", false),
            (&["a\n", "  b\nc"], "a\n  b\n", true),
            (&["a\n", " ", "é"], "a\n ", true),
            (&["a\n", "\n  b"], "a\n", true),
            (&["a\n  b\n "], "a\n  b\n ", false),
        ];
        for (tokens, left, is_over) in cases {
            assert_eq!(limited(two, tokens), ((*left).to_owned(), *is_over), "{tokens:?}");
        }
        assert_eq!(limited(LineLimits::default(), &["a\n", "b"]), ("a\nb".into(), false));
    }

    #[test]
    fn the_first_line_break_after_the_time_ends_the_answer() {
        let limits = |millis| LineLimits { indent_min: 0, time_max: Some(Duration::from_millis(millis)) };
        let tokens = ["a\n", "b\n", "c", "d\n", "e\n"];
        assert_eq!(limited(limits(1), &tokens), ("a\nb\ncd\n".into(), true));
        assert_eq!(limited(limits(0), &tokens), ("a\nb\n".into(), true), "the first token does not end it");
        assert_eq!(limited(limits(9), &tokens), ("a\nb\ncd\ne\n".into(), false));
        assert_eq!(limited(limits(1), &["a", "b", "c", "d"]), ("abcd".into(), false), "a line is never cut");
    }
}
