//! Detection of texts that an embedder cannot read.
//!
//! An embedder trained on English maps every Thai sentence, and every row of emoji, to nearly the same
//! vector. A search with such a vector would find any other text that the embedder cannot read.
//!
//! Detection needs no list of scripts. The text is embedded a second time with its letters scrambled. If the
//! embedder can read the text, the two vectors differ about as much as those of English and scrambled
//! English.

use unicode_normalization::UnicodeNormalization as _;

use crate::vectors::{Quantized, dot_product};

/// English sentences, to measure the cosine between readable text and its scrambled form.
pub(crate) const ENGLISH: [&str; 3] = [
    "When is the birthday of my mother?",
    "The spare key is under the blue flower pot.",
    "What is the weather like today?",
];
/// A text counts as unreadable if the cosine with its scrambled form exceeds that of English by more than
/// this. With MiniLM the cosine is 0.10 on average for English, 0.29 to 0.68 for questions in Korean,
/// Chinese, Japanese, Arabic, Hebrew, Russian, Greek and Hindi, and 1.00 for Thai and emoji (measured
/// 2026-11-28).
pub(crate) const MARGIN: f32 = 0.15;
/// The bits of a letter's code point that scrambling flips. The result is in the same script and mostly a
/// letter.
const SCRAMBLED_BITS: u32 = 3;

/// Returns the scrambled form of a text that an embedder may be unable to read.
///
/// These are texts with fewer Latin letters and digits than other characters. Every embedder can read other
/// texts, so the result is `None` for them. A text without letters is its own scrambled form.
pub(crate) fn scrambled_form(text: &str) -> Option<String> {
    let (mut latin, mut other) = (0_usize, 0_usize);
    for c in text.nfkd().filter(|c| !c.is_whitespace()) {
        match c {
            c if c.is_ascii_alphanumeric() => latin += 1,
            c if !c.is_ascii() => other += 1,
            _ => {}
        }
    }
    (latin == 0 || other > latin).then(|| scramble(text))
}

/// Scrambles the letters of a text.
pub(crate) fn scramble(text: &str) -> String {
    let scramble = |c: char| match c {
        c if c.is_ascii_alphabetic() || !(c.is_ascii() || c.is_whitespace()) => {
            char::from_u32(c as u32 ^ SCRAMBLED_BITS).unwrap_or(c)
        }
        c => c,
    };
    text.chars().map(scramble).collect()
}

/// Returns the cosine of two vectors.
pub(crate) fn cosine(a: &Quantized, b: &Quantized) -> f32 {
    dot_product(&a.bytes, &b.bytes) as f32 * a.scale * b.scale
}

#[cfg(test)]
mod tests {
    use super::scrambled_form;

    #[test]
    fn only_texts_in_other_scripts_are_scrambled() {
        for text in ["When is Anna's birthday?", "Müller's café in Łódź", "42", "Straße 12, 東"] {
            assert_eq!(scrambled_form(text), None, "{text}");
        }
        for text in ["🎉🎉🎉", "วันเกิดของแม่", "蓝色花盆", "Когда день рождения?"]
        {
            let scrambled = scrambled_form(text).unwrap();
            assert_ne!(scrambled, text);
            assert_eq!(scrambled.chars().count(), text.chars().count(), "{text}");
        }
        assert_eq!(scrambled_form("?!").as_deref(), Some("?!"), "it has no letters");
    }
}
