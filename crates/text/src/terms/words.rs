//! Splits a text into the units that are searched: words, numbers, emoji, and n-grams of Chinese characters.
//!
//! Word boundaries are those of Unicode annex 29. Thai, Lao, Khmer, Burmese and hiragana have no spaces, so a
//! dictionary finds their words. Chinese characters are searched as single characters and pairs, because a
//! dictionary cuts the same characters differently in different sentences. The mean reciprocal rank of 25
//! questions each among 1,025 texts is 0.98 for Thai (0.69 without the dictionary, 0.85 with the best n-grams),
//! 0.97 for Japanese and 0.93 for Chinese (0.91 by the dictionary alone; 2026-11-30).

use std::borrow::Cow;
use std::ops::RangeInclusive;

use icu_segmenter::WordSegmenter;
use icu_segmenter::options::WordBreakInvariantOptions;
use unicode_normalization::{UnicodeNormalization as _, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::languages::{Language, Script};

/// The most hiragana after a Chinese character that are its inflection or a particle.
const INFLECTION_MAX: usize = 2;
/// The lengths of the parts of hiragana under which a text is found as well, because a dictionary often cuts
/// hiragana at a wrong place.
const HIRAGANA_PARTS: RangeInclusive<usize> = 3..=5;
/// The shortest beginning or end of a katakana word under which a text is found as well.
const KATAKANA_PART_MIN: usize = 3;

/// A unit of a text that can be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// The text in Unicode's compatible form (NFKC), with its case.
    pub(super) text: String,
    pub(super) kind: UnitKind,
    /// The word before a hyphen that directly precedes this one.
    pub(super) joined_to: Option<String>,
}

/// The kind of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitKind {
    /// A word in a script.
    Word(Script),
    /// A number, maybe with letters.
    Number,
    /// An emoji.
    Emoji,
    /// One or two Chinese characters, or a word in kana or Thai: it has one form only.
    Fixed(Script),
    /// A part of a word, which finds a text but is not searched for.
    Part,
}

/// Returns the text in Unicode's compatible form, in which ｆｕｌｌ ｗｉｄｔｈ is full width and ﬁ is fi.
pub(super) fn normalize(text: &str) -> Cow<'_, str> {
    use unicode_normalization::IsNormalized::Yes;
    if is_nfkc_quick(text.chars()) == Yes { Cow::Borrowed(text) } else { Cow::Owned(text.nfkc().collect()) }
}

/// Splits a normalized text into units, without Japanese, Chinese and Thai stop words.
pub(super) fn split(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut han = HanRun::default();
    let mut before: Option<&str> = None;
    for piece in pieces(text) {
        let hyphen = before.filter(|before| *before == "-").and(units.last());
        let joined_to = hyphen.map(|unit: &Unit| unit.text.clone());
        before = Some(piece);
        if is_emoji(piece) {
            han.end(&mut units);
            push(&mut units, without_variations(piece), UnitKind::Emoji, None);
            continue;
        }
        match Script::of_first(piece) {
            Some(Script::Han | Script::Kana) => split_japanese(piece, &mut han, &mut units),
            Some(Script::Thai) => {
                han.end(&mut units);
                if !Language::Thai.is_stop_word(piece) {
                    push(&mut units, piece.to_owned(), UnitKind::Fixed(Script::Thai), None);
                }
            }
            script => {
                han.end(&mut units);
                let starts_with_digit = piece.starts_with(|c: char| c.is_numeric());
                match script {
                    Some(script) if !starts_with_digit => {
                        push(&mut units, piece.to_owned(), UnitKind::Word(script), joined_to);
                    }
                    _ if piece.contains(char::is_numeric) => {
                        push(&mut units, piece.to_owned(), UnitKind::Number, None);
                    }
                    _ => {}
                }
            }
        }
    }
    han.end(&mut units);
    push_kana_parts(text, &mut units);
    units
}

/// Adds the parts of the words in kana.
fn push_kana_parts(text: &str, units: &mut Vec<Unit>) {
    let is_kana = |c: char| Script::of(c) == Some(Script::Kana);
    for run in text.split(|c| !is_kana(c)).filter(|run| !run.is_empty()) {
        let is_hiragana = |c: &char| ('\u{3041}'..='\u{309f}').contains(c);
        let letters: Vec<char> = run.chars().collect();
        for word in letters.chunk_by(|a, b| is_hiragana(a) == is_hiragana(b)) {
            let lengths = if is_hiragana(&word[0]) { HIRAGANA_PARTS } else { KATAKANA_PART_MIN..=word.len() };
            for length in lengths.filter(|length| *length <= word.len()) {
                let at_ends = |at: usize| at == 0 || at + length == word.len();
                let parts = word.windows(length).enumerate();
                for (_, part) in parts.filter(|(at, _)| is_hiragana(&word[0]) || at_ends(*at)) {
                    push(units, part.iter().collect(), UnitKind::Part, None);
                }
            }
        }
    }
}

fn push(units: &mut Vec<Unit>, text: String, kind: UnitKind, joined_to: Option<String>) {
    units.push(Unit { text, kind, joined_to });
}

/// Returns the pieces of a text between word boundaries, including spaces and punctuation.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    if !text.chars().any(is_unspaced) {
        return text.split_word_bounds().collect();
    }
    let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
    let mut start = 0;
    let ends = segmenter.segment_str(text).filter(|end| *end > 0);
    ends.map(|end| &text[std::mem::replace(&mut start, end)..end]).collect()
}

/// Returns whether a letter is of a script that puts no space between words.
pub(super) fn is_unspaced(letter: char) -> bool {
    letter >= '\u{e00}' && matches!(Script::of(letter), Some(Script::Thai | Script::Kana | Script::Han))
}

/// Splits a piece that starts with a Chinese character or kana.
fn split_japanese(piece: &str, han: &mut HanRun, units: &mut Vec<Unit>) {
    let is_stop_word = [Language::Japanese, Language::Chinese].iter().any(|of| of.is_stop_word(piece));
    let mut rest = piece;
    while let Some(script) = Script::of_first(rest) {
        let is_other = |c: char| Script::of(c) != Some(script);
        let length =
            rest.find(is_other).unwrap_or(rest.len()).max(rest.chars().next().map_or(1, char::len_utf8));
        let (part, tail) = rest.split_at(length);
        rest = tail;
        if script == Script::Han {
            if is_stop_word {
                han.end(units)
            } else {
                han.characters.extend(part.chars())
            }
            continue;
        }
        let follows_han = !han.characters.is_empty();
        han.end(units);
        let length = part.chars().count();
        let is_hiragana = part.chars().all(|letter| ('\u{3041}'..='\u{309f}').contains(&letter));
        let inflects = is_hiragana && (length == 1 || (follows_han && length <= INFLECTION_MAX));
        if script == Script::Kana && !is_stop_word && !inflects {
            push(units, part.to_owned(), UnitKind::Fixed(Script::Kana), None);
        }
    }
}

/// Consecutive Chinese characters without a stop word between them.
#[derive(Debug, Default)]
struct HanRun {
    characters: Vec<char>,
}

impl HanRun {
    /// Adds each character and each pair of neighbours to the units.
    fn end(&mut self, units: &mut Vec<Unit>) {
        for character in &self.characters {
            push(units, character.to_string(), UnitKind::Fixed(Script::Han), None);
        }
        for pair in self.characters.windows(2) {
            push(units, pair.iter().collect(), UnitKind::Fixed(Script::Han), None);
        }
        self.characters.clear();
    }
}

/// Returns whether a piece is an emoji: a picture, a flag, or a joined sequence of them.
///
/// Check marks, arrows and signs such as © are punctuation.
pub(super) fn is_emoji(piece: &str) -> bool {
    piece.chars().next().is_some_and(|first| match first {
        '✁'..='❀' | '❖'..='❢' | '❥'..='➔' => false,
        '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '⌚' | '⌛' | '⏩'..='⏺' | '⭐' | '⭕' => {
            !matches!(first, '☐'..='☒')
        }
        _ => false,
    })
}

/// Removes skin tones and the marks that choose between a picture and a sign.
fn without_variations(emoji: &str) -> String {
    let is_variation = |c: char| matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    let plain: String = emoji.chars().filter(|c| !is_variation(*c)).collect();
    if plain.is_empty() { emoji.to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units_of(text: &str) -> String {
        let units = split(&normalize(text)).into_iter().filter(|unit| unit.kind != UnitKind::Part);
        units.map(|unit| unit.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn text_is_split_into_words_numbers_and_emoji() {
        assert_eq!(units_of("Don't stop: 3.5 km, e-mail!"), "Don't stop 3.5 km e mail");
        assert_eq!(units_of("I ❤️ my 🎻👩‍🚀👍🏽 🇩🇪 → ✓ ☐ ©"), "I ❤ my 🎻 👩‍🚀 👍 🇩🇪");
        assert_eq!(units_of("ＡＢＣ ﬁne ½"), "ABC fine 1⁄2");
        assert_eq!(units_of(" … !"), "");
    }

    #[test]
    fn unspaced_scripts_are_split() {
        assert_eq!(units_of("我的猫叫咪咪"), "猫 叫 咪 咪 猫叫 叫咪 咪咪");
        assert_eq!(
            units_of("東京大学で日本語を勉強しました"),
            "東 京 大 学 東京 京大 大学 日 本 語 日本 本語 勉 強 勉強"
        );
        assert_eq!(units_of("スマートフォンが好き、いちごも食べる"), "スマートフォン 好 いちご 食");
        assert_eq!(units_of("แมวของฉันชื่อมีมี่"), "แมว ชื่อ มี่");
        assert_eq!(units_of("집에서 5월 3일"), "집에서 5월 3일");
    }
}
