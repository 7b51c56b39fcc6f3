//! Word wrap of an answer while it arrives. Lines break between words, wide characters count as two columns,
//! and code blocks are not wrapped. Characters that would control the terminal are replaced.

use unicode_width::UnicodeWidthChar as _;

use crate::output::plain_char;

/// The mark at the start and the end of a code block.
const FENCE: &str = "```";
/// The divisor of the width that gives the maximum indentation of a wrapped line.
const INDENT_SHARE: usize = 2;

/// Wraps text that arrives in pieces. Pass each piece to [`Wrap::push`], and print the returned text. At the
/// end, print the text that [`Wrap::finish`] returns.
#[derive(Debug)]
pub(super) struct Wrap {
    /// The columns of a line, or `None` to break no line.
    width: Option<usize>,
    /// The columns written on the current line.
    column: usize,
    /// The current word, which may continue in the next piece.
    word: String,
    /// The columns of `word`.
    word_width: usize,
    /// The number of blanks between the last word and `word`.
    blanks: usize,
    /// The start of the current line before wrapping, to recognize code fences.
    line: String,
    /// The columns of indentation of wrapped lines in this paragraph.
    indent: usize,
    in_code: bool,
}

impl Wrap {
    /// Creates a wrap to lines of `width` columns. `None` breaks no line.
    pub(super) fn new(width: Option<usize>) -> Self {
        Self {
            width,
            column: 0,
            word: String::new(),
            word_width: 0,
            blanks: 0,
            line: String::new(),
            indent: 0,
            in_code: false,
        }
    }

    /// Takes the next piece. Returns the text that can be printed now.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let mut out = String::with_capacity(piece.len() + 8);
        for c in piece.chars() {
            match c {
                '\n' => self.end_line(&mut out),
                '\r' => {}
                c => self.character(plain_char(c), &mut out),
            }
        }
        out
    }

    /// Returns the rest of the text.
    pub(super) fn finish(mut self) -> String {
        let mut out = String::new();
        self.end_word(&mut out);
        out
    }

    fn character(&mut self, c: char, out: &mut String) {
        if self.line.len() < 64 {
            self.line.push(c);
        }
        let Some(width) = self.width.filter(|_| !self.in_code) else {
            out.push(c);
            return;
        };
        let columns = c.width().unwrap_or(0);
        if c == ' ' || c == '\t' {
            self.end_word(out);
            self.blanks += if c == '\t' { 4 } else { 1 };
            return;
        }
        if self.word_width + columns > width {
            self.end_word(out);
        }
        self.word.push(c);
        self.word_width += columns;
        // A line can break between any two ideographs, and must break within a word that is longer than a
        // line.
        if columns == 2 || self.word_width >= width {
            self.end_word(out);
        }
    }

    fn end_word(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let width = self.width.unwrap_or(usize::MAX);
        if self.column == 0 {
            self.indent = self.blanks.min(width / INDENT_SHARE) + bullet(&self.word);
        }
        let breaks = self.column > 0 && self.column + self.blanks + self.word_width > width;
        let before = if breaks { self.indent.min(width / INDENT_SHARE) } else { self.blanks };
        if breaks {
            out.push('\n');
            self.column = 0;
        }
        out.extend(std::iter::repeat_n(' ', before));
        out.push_str(&self.word);
        self.column += before + self.word_width;
        self.word.clear();
        (self.word_width, self.blanks) = (0, 0);
    }

    fn end_line(&mut self, out: &mut String) {
        self.end_word(out);
        out.push('\n');
        if self.line.trim_start().starts_with(FENCE) {
            self.in_code = !self.in_code;
        }
        self.line.clear();
        (self.column, self.blanks, self.indent) = (0, 0, 0);
    }
}

/// Returns the columns of a list marker and the blank after it. Returns 0 for any other word.
fn bullet(word: &str) -> usize {
    let digits = word.trim_end_matches(['.', ')']);
    let numbered =
        digits.len() + 1 == word.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if matches!(word, "-" | "*" | "+" | "•") || numbered { word.chars().count() + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrapped(width: usize, pieces: &[&str]) -> String {
        let mut wrap = Wrap::new(Some(width));
        let mut text: String = pieces.iter().map(|piece| wrap.push(piece)).collect();
        text.push_str(&wrap.finish());
        text
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped(10, &["The qui", "ck brown", " fox"]), "The quick\nbrown fox");
        assert_eq!(wrapped(10, &["exactly 10", " x"]), "exactly 10\nx");
        assert_eq!(wrapped(8, &["- one two three\n- four"]), "- one\n  two\n  three\n- four");
        assert_eq!(wrapped(9, &["12. one two three"]), "12. one\n    two\n    three");
        assert_eq!(wrapped(6, &["東京都は晴れ"]), "東京都\nは晴れ");
        assert_eq!(wrapped(5, &["abcdefghijk l"]), "abcde\nfghij\nk l");
        assert_eq!(wrapped(20, &["a\n\n  b"]), "a\n\n  b");
    }

    #[test]
    fn code_blocks_are_not_wrapped() {
        let code = "```rust\nlet number = 1 + 2 + 3;\n```\n";
        assert_eq!(wrapped(8, &[code, "and then more"]), format!("{code}and then\nmore"));
    }

    #[test]
    fn a_model_cannot_control_the_terminal() {
        assert_eq!(wrapped(80, &["\u{1b}[2Jgone\r\n\u{9b}x"]), "\u{fffd}[2Jgone\n\u{fffd}x");
        assert_eq!(Wrap::new(None).push("\u{1b}]0;x\u{7}"), "\u{fffd}]0;x\u{fffd}");
        assert_eq!(wrapped(80, &["gpj.\u{202e}exe\u{2028}x"]), "gpj.\u{fffd}exe\u{fffd}x");
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_no_line_is_too_long(text in "[a-z东 \n.-]{0,200}", width in 4_usize..40, cut in 0_usize..200) {
            let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let out = wrapped(width, &[&text[..cut], &text[cut..]]);
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&out), letters(&text));
            for line in out.lines() {
                let columns: usize = line.chars().map(|c| c.width().unwrap_or(0)).sum();
                let indent = line.len() - line.trim_start().len();
                prop_assert!(columns <= width + indent, "{line:?}");
            }
        }
    }
}
