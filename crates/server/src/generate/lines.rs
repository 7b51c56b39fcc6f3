//! Limits that end an answer at its lines, as llama.cpp's server has them for editors that complete code.
//!
//! `n_indent`: a line that is indented by less ends the answer before its first word; the first line, which goes on from the
//! prompt, may begin as it likes. `t_max_predict_ms`: once that time has passed since the first token, the next line break
//! ends the answer, so that its last line is whole.

use std::time::Duration;

use lar_base::Instant;

/// What ends an answer at its lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LineLimits {
    /// Spaces and tabs that each line but the first begins with at least; 0 is no limit.
    pub(crate) indent_min: usize,
    /// Time from the first token after which the next line break ends the answer.
    pub(crate) time_max: Option<Duration>,
}

impl LineLimits {
    /// Whether anything is limited.
    pub(crate) const fn is_any(&self) -> bool {
        self.indent_min > 0 || self.time_max.is_some()
    }
}

/// How far the lines of one answer have come.
#[derive(Debug, Clone)]
pub(super) struct LineTracker {
    limits: LineLimits,
    first_token: Option<Instant>,
    /// Spaces and tabs of the current line so far; `None` behind its indentation, and in the first line.
    indent: Option<usize>,
    is_over: bool,
}

impl LineTracker {
    pub(super) const fn new(limits: LineLimits) -> Self {
        Self { limits, first_token: None, indent: None, is_over: false }
    }

    /// Whether a limit has ended the answer.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes in the text of a token that came at `now`. Returns how many bytes of it stay where a limit ends the answer.
    pub(super) fn add(&mut self, text: &str, now: Instant) -> Option<usize> {
        let first_token = *self.first_token.get_or_insert(now);
        let is_late = self.limits.time_max.is_some_and(|time_max| now.since(first_token) > time_max);
        let kept =
            self.find_short_indent(text).or_else(|| (is_late && text.contains('\n')).then_some(text.len()));
        self.is_over = kept.is_some();
        kept
    }

    /// Where in a text the first word of a line stands that is indented by too little.
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
    use super::*;

    /// What is left of an answer whose tokens come a millisecond after each other, and whether a limit ended it.
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
    fn a_line_that_is_indented_by_too_little_ends_the_answer_before_its_first_word() {
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
        assert_eq!(limited(limits(0), &tokens), ("a\nb\n".into(), true), "not at the first token");
        assert_eq!(limited(limits(9), &tokens), ("a\nb\ncd\ne\n".into(), false));
        assert_eq!(limited(limits(1), &["a", "b", "c", "d"]), ("abcd".into(), false), "no line is cut");
    }
}
