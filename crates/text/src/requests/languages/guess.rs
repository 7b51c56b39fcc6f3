//! Guesses the languages of a text from its script and its frequent words.

use std::collections::HashSet;

use super::lists::{List, PhraseHit};

/// Languages with a script of their own.
pub(super) const OTHER_SCRIPTS: [&str; 6] = ["ja", "zh", "ko", "ru", "hi", "th"];

/// A set of languages, by their indices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LanguageSet(u32);

impl LanguageSet {
    /// Returns whether a language belongs to the set.
    pub(crate) fn contains(self, language: usize) -> bool {
        self.0 & 1 << language != 0
    }

    /// Adds a language. Returns whether it is new.
    pub(crate) fn insert(&mut self, language: usize) -> bool {
        let is_new = !self.contains(language);
        self.0 |= 1 << language;
        is_new
    }

    /// Returns the languages of both sets.
    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether two sets have a language in common.
    pub(crate) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the first language. `None` if the set is empty.
    pub(crate) fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }

    /// Returns the language of a set with one.
    pub(crate) fn single(self) -> Option<usize> {
        self.first().filter(|_| self.0.count_ones() == 1)
    }
}

impl FromIterator<usize> for LanguageSet {
    fn from_iter<T: IntoIterator<Item = usize>>(languages: T) -> Self {
        let mut set = Self::default();
        languages.into_iter().for_each(|language| {
            set.insert(language);
        });
        set
    }
}

/// A guess of the languages of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess {
    /// The languages. Several if the text is short, and none if its script belongs to no known language.
    pub(crate) languages: LanguageSet,
    /// Whether the script or several frequent words tell the language.
    pub(crate) is_sure: bool,
}

/// Frequent words that make a guess sure.
const SURE_WORDS_MIN: usize = 3;

/// Guesses which of the languages with some codes a text is written in. `hits` are those of the text.
pub(super) fn guess(codes: &[&str], text: &str, hits: &[PhraseHit]) -> Guess {
    let set_of = |is_needed: &dyn Fn(&str) -> bool| {
        let members = codes.iter().enumerate().filter(|(_, code)| is_needed(code));
        members.map(|(index, _)| index).collect::<LanguageSet>()
    };
    match script_of(text) {
        TextScript::Of(code) => {
            return Guess { languages: set_of(&|other| other == code), is_sure: true };
        }
        TextScript::Unknown => return Guess { languages: LanguageSet::default(), is_sure: true },
        TextScript::Latin => {}
    }
    let mut counts = vec![0_usize; codes.len()];
    // "No, no, no" is one word.
    let mut words = HashSet::new();
    for hit in hits.iter().filter(|hit| hit.list == List::Common) {
        counts[hit.language] += usize::from(words.insert((hit.language, hit.phrase)));
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return Guess { languages: set_of(&|code| !OTHER_SCRIPTS.contains(&code)), is_sure: false };
    }
    let best = counts.iter().enumerate().filter(|(_, count)| **count == most);
    Guess { languages: best.map(|(index, _)| index).collect(), is_sure: most >= SURE_WORDS_MIN }
}

/// The script of most letters of a text.
enum TextScript {
    /// The script of one of the languages.
    Of(&'static str),
    Latin,
    Unknown,
}

fn script_of(text: &str) -> TextScript {
    // A character of other scripts counts about as much as four Latin letters.
    const WEIGHT: usize = 4;
    let (mut latin, mut unknown, mut counts) = (0_usize, 0_usize, [0_usize; 6]);
    for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
        match letter {
            '\u{3040}'..='\u{30ff}' => counts[0] += WEIGHT,
            '\u{3400}'..='\u{9fff}' => counts[1] += WEIGHT,
            '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => counts[2] += WEIGHT,
            '\u{400}'..='\u{52f}' => counts[3] += WEIGHT,
            '\u{900}'..='\u{97f}' => counts[4] += WEIGHT,
            '\u{e00}'..='\u{e7f}' => counts[5] += WEIGHT,
            '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' | '\u{ff00}'..='\u{ff5a}' => latin += 1,
            _ => unknown += WEIGHT,
        }
    }
    // Japanese is written in kana and ideographs.
    if counts[0] > 0 {
        counts[0] += counts[1];
        counts[1] = 0;
    }
    let most = counts.iter().enumerate().max_by_key(|(_, count)| **count);
    match most {
        _ if unknown > latin && counts.iter().all(|count| *count < unknown) => TextScript::Unknown,
        Some((script, count)) if *count > latin => TextScript::Of(OTHER_SCRIPTS[script]),
        _ => TextScript::Latin,
    }
}

#[cfg(test)]
mod tests {
    use crate::requests::languages::languages;

    fn guess(text: &str) -> Option<&'static str> {
        let text = text.to_lowercase();
        let guess = languages().guess(&text, &languages().scan(&text));
        guess.languages.single().map(|language| languages().all[language].code)
    }

    #[test]
    fn the_script_or_frequent_words_tell_the_language() {
        for (text, code) in [
            ("I moved to Oslo and it is cold", "en"),
            ("Ich bin nach Oslo gezogen und es ist kalt", "de"),
            ("J'ai déménagé à Oslo et il fait froid", "fr"),
            ("我搬到了奥斯陆", "zh"),
            ("オスロに引っ越した", "ja"),
            ("Я переехал в Осло", "ru"),
            ("오슬로로 이사했어", "ko"),
        ] {
            assert_eq!(guess(text), Some(code), "{text}");
        }
        assert_eq!(guess("عشت في أوسلو"), None);
        assert_eq!(guess("Oslo"), None);
    }
}
