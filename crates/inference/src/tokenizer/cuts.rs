//! Finds positions where a long text can be split without changing its tokens.
//!
//! A tokenizer first splits a text into words, by regular expressions or at every position that no token
//! spans. All known tokenizers split `letter space letter` before the space, and `letter line-break` before
//! the line break.

/// A slice ends in the last `1/END_SHARE` of its longest size, if a word ends there.
const END_SHARE: usize = 2;

/// The positions at which words end in every tokenizer that this vocabulary may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// Whether a word ends before a space.
    pub at_blanks: bool,
    /// Whether a word ends before a line break.
    pub at_lines: bool,
}

impl Cuts {
    /// Excludes the positions that a token spans; call it with the bytes of every token.
    pub fn exclude(&mut self, piece: &[u8]) {
        let after_letter = |byte: u8| {
            let letter = |at: usize| piece[at].is_ascii_alphanumeric() || piece[at] >= 0x80;
            (1..piece.len()).any(|at| piece[at] == byte && letter(at - 1))
        };
        self.at_blanks = self.at_blanks && !after_letter(b' ');
        self.at_lines = self.at_lines && !after_letter(b'\n');
    }

    /// Returns the end of a slice of at most this many bytes: after a word if one ends near there.
    #[must_use]
    pub fn end(self, text: &str, most: usize) -> usize {
        if text.len() <= most {
            return text.len();
        }
        let most = text.floor_char_boundary(most);
        let before = |at: usize| text[..at].chars().next_back().is_some_and(is_letter);
        let after = |at: usize| text[at + 1..].chars().next().is_some_and(is_letter);
        let ends = |at: &usize| match text.as_bytes()[*at] {
            b'\n' => self.at_lines && before(*at),
            b' ' => self.at_blanks && before(*at) && after(*at),
            _ => false,
        };
        ((most - most / END_SHARE).max(1)..most).rev().find(ends).unwrap_or(most)
    }
}

/// Returns whether every tokenizer treats a character as a letter: one of a script that separates words by
/// spaces and has no combining marks.
fn is_letter(character: char) -> bool {
    let latin_greek_or_cyrillic = character <= '\u{24f}' || ('\u{370}'..='\u{52f}').contains(&character);
    latin_greek_or_cyrillic && character.is_alphabetic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_between_words() {
        let cuts = Cuts { at_blanks: true, at_lines: true };
        assert_eq!(cuts.end("one two three", 20), 13);
        assert_eq!(cuts.end("one two three", 9), 7);
        assert_eq!(cuts.end("one two\nthree", 9), 7);
        assert_eq!(
            cuts.end("one two 3  ,four", 14),
            14,
            "a digit or a second space may belong to the word before"
        );
        assert_eq!(cuts.end(&"é".repeat(10), 9), 8, "at a character boundary");
        assert_eq!(cuts.end("это что", 12), 6, "also in other alphabets");
        assert_eq!(Cuts { at_blanks: false, ..cuts }.end("one two three", 9), 9);
    }

    #[test]
    fn a_token_spanning_a_boundary_forbids_the_split() {
        let mut cuts = Cuts { at_blanks: true, at_lines: true };
        for token in [" the", "\n\n", ".\n", "\t\t", "é"] {
            cuts.exclude(token.as_bytes());
        }
        assert_eq!(cuts, Cuts { at_blanks: true, at_lines: true });
        cuts.exclude(b"of the");
        assert_eq!(cuts, Cuts { at_blanks: false, at_lines: true });
        cuts.exclude("é\n".as_bytes());
        assert_eq!(cuts, Cuts { at_blanks: false, at_lines: false });
    }
}
