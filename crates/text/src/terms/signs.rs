//! The words of a text with the signs that change what it says, in order.
//!
//! Every symbol is such a sign: `!debug` is not `debug`, and `a && b` is not `a || b`. Punctuation that only
//! divides or decorates words does not count: marks at the end of a word or sentence, quotation marks, brackets
//! around words, dashes between words, bullets and headings. A question mark always counts, because a question
//! states nothing.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation as _;

use super::words::{is_emoji, is_unspaced, normalize};

/// Marks that end words and sentences. Before a word they are signs, as in `!debug`, `.env` and `:8080`.
const MARKS: &[char] = &['.', ',', ';', ':', '!', '?', '؟'];
/// Punctuation that is never a sign.
const PUNCTUATION: &str = "¡¿。、・،؛۔।॥։׃።፣፤၊။។៕་།…";
const QUOTES: &str = "'\"`´‘’‚‛“”„‟«»‹›「」『』〝〞〟";
const OPENING: &str = "([{【〔〖〘〚〈《⟨⟦";
const CLOSING: &str = ")]}】〕〗〙〛〉》⟩⟧";
const DASHES: &str = "-‐‑‒–—―−";
/// Marks of the items of a list, with a space after them.
const BULLETS: &str = "-–—*•‣▪●○◦·";
/// Signs of expressions, in which brackets and dashes change the meaning as well.
const OPERATORS: &str = "&|!*/+-=<>^~≠≤≥±×÷∧∨¬⁄";
/// Characters without width, which show nothing.
const INVISIBLE: &[char] =
    &['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}'];
/// Marks that choose between the picture and the sign of one character.
const VARIATIONS: &[char] = &['\u{fe0e}', '\u{fe0f}'];
const SUPERSCRIPTS: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻";

/// A word or a sign of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) kind: PieceKind,
}

/// The kind of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Word,
    Emoji,
    Sign,
    /// A bracket or a dash, which is a sign in a text with operators.
    InExpression,
}

/// Returns the emoji and the signs of a text in order.
pub(crate) fn signs_of(text: &str) -> Vec<String> {
    let text = comparable(text);
    let pieces = words_and_signs(&text).into_iter();
    pieces.filter(|piece| piece.kind != PieceKind::Word).map(|piece| piece.text.to_owned()).collect()
}

/// Returns a text in Unicode's compatible form, in which an exponent after a number is still one: 10² is not 102.
pub(super) fn comparable(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| SUPERSCRIPTS.contains(c)) {
        return normalize(text);
    }
    let mut marked = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if SUPERSCRIPTS.contains(c) && marked.ends_with(|before: char| before.is_ascii_digit()) {
            marked.push('^');
        }
        marked.push(c);
    }
    Cow::Owned(normalize(&marked).into_owned())
}

/// Returns the words and the signs of a comparable text in order.
pub(super) fn words_and_signs(text: &str) -> Vec<Piece<'_>> {
    let mut reader = SignReader { text, at: 0, is_line_start: true, open: [false; 2], pieces: Vec::new() };
    for (start, piece) in text.split_word_bound_indices() {
        // Runs of marks and dashes are read at once. A vowel sign may follow the last mark, and be a word with it.
        if start >= reader.at || piece.contains(char::is_alphanumeric) {
            reader.at = start;
            reader.at += reader.read(piece);
        }
    }
    let mut pieces = reader.pieces;
    let has_operator = pieces
        .iter()
        .any(|piece| piece.kind == PieceKind::Sign && piece.text.contains(|c| OPERATORS.contains(c)));
    if !has_operator {
        pieces.retain(|piece| piece.kind != PieceKind::InExpression);
    }
    pieces
}

/// Reads the pieces of a text.
struct SignReader<'a> {
    text: &'a str,
    /// The start of the piece, and then its end.
    at: usize,
    /// Whether nothing but spaces, bullets and quote marks precedes it on its line.
    is_line_start: bool,
    /// Whether a quotation with ' and one with " is open.
    open: [bool; 2],
    pieces: Vec<Piece<'a>>,
}

impl<'a> SignReader<'a> {
    /// Reads a piece, and the rest of its run of marks or dashes. Returns the bytes that it has read.
    fn read(&mut self, piece: &'a str) -> usize {
        let is_line_start = std::mem::take(&mut self.is_line_start);
        if piece.contains(char::is_alphanumeric) {
            self.push(piece, PieceKind::Word);
            return piece.len();
        }
        if is_emoji(piece) {
            self.push(piece, PieceKind::Emoji);
            return piece.len();
        }
        let Some(first) = piece.chars().next() else { return 0 };
        if first.is_whitespace() || first.is_control() || INVISIBLE.contains(&first) {
            self.is_line_start = is_line_start || piece.contains(['\n', '\r', '\u{85}', '\u{2028}']);
            return piece.len();
        }
        if VARIATIONS.contains(&first) || PUNCTUATION.contains(first) {
            return piece.len();
        }
        if is_line_start && self.is_line_marker(first) {
            self.is_line_start = true;
            return first.len_utf8();
        }
        if MARKS.contains(&first) {
            return self.read_run(|c| MARKS.contains(&c), Self::read_marks);
        }
        if DASHES.contains(first) {
            return self.read_run(|c| DASHES.contains(c), Self::read_dashes);
        }
        let next = self.after(piece.len());
        if QUOTES.contains(first) {
            // 5' and 5" are lengths, unless a quotation ends.
            let quotation = match first {
                '\'' => Some(0),
                '"' => Some(1),
                _ => None,
            };
            let Some(at) = quotation else { return piece.len() };
            let follows_digit = self.before().is_some_and(|c| c.is_ascii_digit());
            if follows_digit && !self.open[at] && !next.is_some_and(char::is_alphabetic) {
                self.push(piece, PieceKind::Sign);
            } else {
                self.open[at] = !self.open[at];
            }
        } else if OPENING.contains(first) || CLOSING.contains(first) {
            let (before, after) = (&self.text[..self.at], &self.text[self.at + piece.len()..]);
            let is_empty = OPENING.contains(first) && after.trim_start().starts_with(|c| CLOSING.contains(c))
                || CLOSING.contains(first) && before.trim_end().ends_with(|c| OPENING.contains(c));
            self.push(piece, if is_empty { PieceKind::Sign } else { PieceKind::InExpression });
        } else {
            self.push(piece.trim_end_matches(VARIATIONS), PieceKind::Sign);
        }
        piece.len()
    }

    fn push(&mut self, text: &'a str, kind: PieceKind) {
        self.pieces.push(Piece { text, kind });
    }

    /// Returns the character before the piece.
    fn before(&self) -> Option<char> {
        self.text[..self.at].chars().next_back()
    }

    /// Returns the character after the next `length` bytes.
    fn after(&self, length: usize) -> Option<char> {
        self.text[self.at + length..].chars().next()
    }

    /// Returns whether the character begins an item, a heading or a quoted line.
    fn is_line_marker(&self, first: char) -> bool {
        let rest = &self.text[self.at + first.len_utf8()..];
        let is_space_next = |text: &str| text.starts_with(char::is_whitespace);
        match first {
            '#' => is_space_next(rest.trim_start_matches('#')),
            '>' => !rest.trim_start().starts_with(|c: char| c.is_numeric() || "=-.".contains(c)),
            '-' if rest.starts_with(char::is_alphabetic) => true,
            _ => BULLETS.contains(first) && is_space_next(rest),
        }
    }

    fn read_run(&mut self, is_in_run: impl Fn(char) -> bool, read: fn(&mut Self, &'a str)) -> usize {
        let rest = &self.text[self.at..];
        let run = &rest[..rest.find(|c| !is_in_run(c)).unwrap_or(rest.len())];
        read(self, run);
        run.len()
    }

    fn read_marks(&mut self, run: &'a str) {
        let (before, after) = (self.before(), self.after(run.len()));
        let follows_word = before.is_some_and(|c| !c.is_whitespace() && !OPENING.contains(c));
        let ends = after.is_none_or(|c| {
            let ends_word =
                is_unspaced(c) || [QUOTES, CLOSING, PUNCTUATION].iter().any(|marks| marks.contains(c));
            c.is_whitespace() || follows_word && (ends_word || is_emoji(c.encode_utf8(&mut [0; 4])))
        });
        let divides = matches!(run, "," | ";") && before.is_some_and(char::is_alphanumeric);
        if !ends && !divides {
            self.push(run, PieceKind::Sign);
        } else if run.contains(['?', '؟']) {
            self.push("?", PieceKind::Sign);
        }
    }

    fn read_dashes(&mut self, run: &'a str) {
        let (before, after) = (self.before(), self.after(run.len()));
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let outer = |text: &str, is_before: bool| {
            let text = text.trim();
            if is_before { text.chars().next_back() } else { text.chars().next() }
        };
        let is_between_numbers = is_digit(outer(&self.text[..self.at], true))
            && is_digit(outer(&self.text[self.at + run.len()..], false));
        let is_symbol = |c: Option<char>| {
            c.is_some_and(|c| {
                let is_mark = MARKS.contains(&c)
                    || [QUOTES, OPENING, CLOSING, PUNCTUATION].iter().any(|marks| marks.contains(c));
                !c.is_alphanumeric() && !c.is_whitespace() && !is_mark
            })
        };
        let begins_number = !is_word(before) && (is_digit(after) || after == Some('.'));
        let begins_flag = !is_word(before)
            && before.is_none_or(|c| !CLOSING.contains(c))
            && is_word(after)
            && run.starts_with('-');
        if begins_flag && !is_digit(after) {
            self.push(run, PieceKind::Sign);
        } else if is_between_numbers || begins_number || is_symbol(before) || is_symbol(after) {
            self.push("-", PieceKind::Sign);
        } else {
            self.push("-", PieceKind::InExpression);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signs(text: &str) -> String {
        signs_of(text).join(" ")
    }

    #[test]
    fn symbols_are_signs() {
        for (text, expected) in [
            ("if debug && fast", "& &"),
            ("retries != 3", "! ="),
            ("!debug, *.rs and ./run", "! * . . /"),
            ("rm -rf --force", "- --"),
            ("-5 °C to -3", "- ° -"),
            ("2026-11-30", "- -"),
            ("a -> b", "- >"),
            ("a && (b || c)", "& & ( | | )"),
            ("x = a - b", "= -"),
            ("x = [], foo()", "= [ ] ( )"),
            ("☐ milk ✓ bread", "☐ ✓"),
            ("std::vec! .env", ":: ."),
            ("10:30", ":"),
            ("5' or 5\" or 6\"", "' \" \""),
            ("size=\"5\" x=\"6\"", "= ="),
            (":!𑍋", ":!"),
            ("10² m²", "^"),
            ("> 5 GB", ">"),
            ("C#, C++. #4 @anna", "# + + # @"),
            ("Ist Elena vegan ?! 🎻", "? 🎻"),
            ("هل هو هنا؟", "?"),
        ] {
            assert_eq!(signs(text), expected, "{text}");
        }
    }

    #[test]
    fn punctuation_around_words_is_no_sign() {
        for text in [
            "Great! Well... \"quoted\", 'single', «French», „German“ and `code`.",
            "# Heading\n- a well-known item\n  * (another) one\n> > quoted – or not — so",
            "¡Hola! ¿No! Ça va ! C'est « bien » : oui ; non",
            "我住在柏林。我有一只猫！好，「是」",
            "猫がいる！はい、そうです。",
            "मेरा घर यहाँ है। नमस्ते",
            "the \"Route 66\"",
            "Dr. Okafor (my dentist), e.g. on Monday…",
            "milk,bread;eggs",
        ] {
            assert_eq!(signs(text), "", "{text}");
        }
    }

    proptest! {
        #[test]
        fn all_words_of_any_text_are_read(text in "[-a-z0-9 \n.!?:'\"()–—²½🎻>#*]{0,40}|\\PC{0,40}") {
            let text = comparable(&text);
            let expected = text.split_word_bounds().filter(|piece| piece.contains(char::is_alphanumeric));
            let pieces = words_and_signs(&text).into_iter();
            let words = pieces.filter(|piece| piece.kind == PieceKind::Word).map(|piece| piece.text);
            prop_assert_eq!(words.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }
}
