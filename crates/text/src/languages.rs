//! The languages whose words Lar knows: their function words, letters and words for times.
//!
//! A language is a file in `languages/`, which a speaker can read and correct. Any other language is searched
//! too, but without stemming and with all of its words.

mod data;
mod detection;

use std::sync::LazyLock;

use self::data::parse;
pub use self::data::{LanguageData, TimeWords, english_base_form};
pub use self::detection::{TextLanguages, detect};

/// A language with a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// English, in any country.
    English,
    /// German, Deutsch.
    German,
    /// French, français.
    French,
    /// Spanish, español.
    Spanish,
    /// Italian, italiano.
    Italian,
    /// Portuguese, português.
    Portuguese,
    /// Dutch, Nederlands.
    Dutch,
    /// Swedish, svenska.
    Swedish,
    /// Danish, dansk.
    Danish,
    /// Norwegian, norsk bokmål.
    Norwegian,
    /// Finnish, suomi.
    Finnish,
    /// Hungarian, magyar.
    Hungarian,
    /// Romanian, română.
    Romanian,
    /// Turkish, Türkçe.
    Turkish,
    /// Polish, polski.
    Polish,
    /// Czech, čeština.
    Czech,
    /// Vietnamese, tiếng Việt.
    Vietnamese,
    /// Russian, русский.
    Russian,
    /// Ukrainian, українська.
    Ukrainian,
    /// Greek, ελληνικά.
    Greek,
    /// Arabic, العربية.
    Arabic,
    /// Persian, فارسی.
    Persian,
    /// Hebrew, עברית.
    Hebrew,
    /// Hindi, हिन्दी.
    Hindi,
    /// Tamil, தமிழ்.
    Tamil,
    /// Thai, ภาษาไทย.
    Thai,
    /// Japanese, 日本語.
    Japanese,
    /// Chinese, 中文, with simplified or traditional characters.
    Chinese,
    /// Korean, 한국어.
    Korean,
}

/// A writing system, as far as languages are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Script {
    /// The Latin alphabet, and any script that is not listed.
    Latin,
    /// The Cyrillic alphabet.
    Cyrillic,
    /// The Greek alphabet.
    Greek,
    /// The Arabic script, also of Persian and Urdu.
    Arabic,
    /// The Hebrew script.
    Hebrew,
    /// Devanagari, of Hindi, Marathi and Nepali.
    Devanagari,
    /// The Tamil script.
    Tamil,
    /// The scripts of Thai, Lao, Khmer and Burmese, which put no space between words.
    Thai,
    /// Hiragana and katakana.
    Kana,
    /// Chinese characters, also in Japanese.
    Han,
    /// The Korean alphabet.
    Hangul,
}

impl Language {
    /// All languages. The first of each script is the default of that script.
    pub const ALL: [Self; 29] = [
        Self::English,
        Self::German,
        Self::French,
        Self::Spanish,
        Self::Italian,
        Self::Portuguese,
        Self::Dutch,
        Self::Swedish,
        Self::Danish,
        Self::Norwegian,
        Self::Finnish,
        Self::Hungarian,
        Self::Romanian,
        Self::Turkish,
        Self::Polish,
        Self::Czech,
        Self::Vietnamese,
        Self::Russian,
        Self::Ukrainian,
        Self::Greek,
        Self::Arabic,
        Self::Persian,
        Self::Hebrew,
        Self::Hindi,
        Self::Tamil,
        Self::Thai,
        Self::Japanese,
        Self::Chinese,
        Self::Korean,
    ];

    /// Returns the ISO 639-1 code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.file().0
    }

    /// Returns the script in which it is written. Japanese is written in [`Script::Han`] as well.
    #[must_use]
    pub const fn script(self) -> Script {
        match self {
            Self::Russian | Self::Ukrainian => Script::Cyrillic,
            Self::Greek => Script::Greek,
            Self::Arabic | Self::Persian => Script::Arabic,
            Self::Hebrew => Script::Hebrew,
            Self::Hindi => Script::Devanagari,
            Self::Tamil => Script::Tamil,
            Self::Thai => Script::Thai,
            Self::Japanese => Script::Kana,
            Self::Chinese => Script::Han,
            Self::Korean => Script::Hangul,
            _ => Script::Latin,
        }
    }

    /// Returns whether it is the default of its script, whose terms have no language before them.
    #[must_use]
    pub fn is_default(self) -> bool {
        self.script().default_language() == self
    }

    /// Returns its words and letters.
    #[must_use]
    pub fn data(self) -> &'static LanguageData {
        static DATA: LazyLock<Vec<LanguageData>> =
            LazyLock::new(|| Language::ALL.iter().map(|language| parse(language.file().1)).collect());
        &DATA[self as usize]
    }

    /// Returns whether a word in lower case carries no content.
    #[must_use]
    pub fn is_stop_word(self, word: &str) -> bool {
        let data = self.data();
        data.stop_words.contains(word) && !data.searched.contains(word)
    }

    const fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::English => ("en", include_str!("languages/english.toml")),
            Self::German => ("de", include_str!("languages/german.toml")),
            Self::French => ("fr", include_str!("languages/french.toml")),
            Self::Spanish => ("es", include_str!("languages/spanish.toml")),
            Self::Italian => ("it", include_str!("languages/italian.toml")),
            Self::Portuguese => ("pt", include_str!("languages/portuguese.toml")),
            Self::Dutch => ("nl", include_str!("languages/dutch.toml")),
            Self::Swedish => ("sv", include_str!("languages/swedish.toml")),
            Self::Danish => ("da", include_str!("languages/danish.toml")),
            Self::Norwegian => ("no", include_str!("languages/norwegian.toml")),
            Self::Finnish => ("fi", include_str!("languages/finnish.toml")),
            Self::Hungarian => ("hu", include_str!("languages/hungarian.toml")),
            Self::Romanian => ("ro", include_str!("languages/romanian.toml")),
            Self::Turkish => ("tr", include_str!("languages/turkish.toml")),
            Self::Polish => ("pl", include_str!("languages/polish.toml")),
            Self::Czech => ("cs", include_str!("languages/czech.toml")),
            Self::Vietnamese => ("vi", include_str!("languages/vietnamese.toml")),
            Self::Russian => ("ru", include_str!("languages/russian.toml")),
            Self::Ukrainian => ("uk", include_str!("languages/ukrainian.toml")),
            Self::Greek => ("el", include_str!("languages/greek.toml")),
            Self::Arabic => ("ar", include_str!("languages/arabic.toml")),
            Self::Persian => ("fa", include_str!("languages/persian.toml")),
            Self::Hebrew => ("he", include_str!("languages/hebrew.toml")),
            Self::Hindi => ("hi", include_str!("languages/hindi.toml")),
            Self::Tamil => ("ta", include_str!("languages/tamil.toml")),
            Self::Thai => ("th", include_str!("languages/thai.toml")),
            Self::Japanese => ("ja", include_str!("languages/japanese.toml")),
            Self::Chinese => ("zh", include_str!("languages/chinese.toml")),
            Self::Korean => ("ko", include_str!("languages/korean.toml")),
        }
    }
}

impl Script {
    /// All scripts.
    pub const ALL: [Self; 11] = [
        Self::Latin,
        Self::Cyrillic,
        Self::Greek,
        Self::Arabic,
        Self::Hebrew,
        Self::Devanagari,
        Self::Tamil,
        Self::Thai,
        Self::Kana,
        Self::Han,
        Self::Hangul,
    ];

    /// Returns the script of a letter, or `None` if it is no letter.
    #[must_use]
    pub fn of(letter: char) -> Option<Self> {
        let script = match letter {
            '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Self::Greek,
            '\u{400}'..='\u{52f}' => Self::Cyrillic,
            '\u{590}'..='\u{5ff}' => Self::Hebrew,
            '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' => Self::Arabic,
            '\u{900}'..='\u{97f}' => Self::Devanagari,
            '\u{b80}'..='\u{bff}' => Self::Tamil,
            '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => Self::Thai,
            '\u{3041}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' => Self::Kana,
            '々' | '〇' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => {
                Self::Han
            }
            '\u{20000}'..='\u{323af}' => Self::Han,
            '\u{1100}'..='\u{11ff}' | '\u{3131}'..='\u{318e}' | '\u{ac00}'..='\u{d7a3}' => Self::Hangul,
            _ => Self::Latin,
        };
        let is_letter = letter.is_alphabetic() || matches!(letter, '々' | '〇' | 'ー');
        is_letter.then_some(script)
    }

    /// Returns the script of the first letter of a text.
    #[must_use]
    pub fn of_first(text: &str) -> Option<Self> {
        text.chars().find_map(Self::of)
    }

    /// Returns the languages that are written in it.
    pub fn languages(self) -> impl Iterator<Item = Language> {
        Language::ALL.into_iter().filter(move |language| language.script() == self)
    }

    /// Returns the language of a word whose text does not show it.
    #[must_use]
    pub const fn default_language(self) -> Language {
        match self {
            Self::Latin => Language::English,
            Self::Cyrillic => Language::Russian,
            Self::Greek => Language::Greek,
            Self::Arabic => Language::Arabic,
            Self::Hebrew => Language::Hebrew,
            Self::Devanagari => Language::Hindi,
            Self::Tamil => Language::Tamil,
            Self::Thai => Language::Thai,
            Self::Kana => Language::Japanese,
            Self::Han => Language::Chinese,
            Self::Hangul => Language::Korean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_its_words() {
        for (at, language) in Language::ALL.into_iter().enumerate() {
            assert_eq!(language as usize, at);
            let data = language.data();
            assert!(data.stop_words.len() > 30, "{language:?}");
            assert!(data.searched.is_subset(&data.stop_words), "{language:?}");
            let time = &data.time;
            assert!([0, 12].contains(&time.months.len()), "{language:?}");
            assert!([0, 7].contains(&time.weekdays.len()), "{language:?}");
            for word in &data.stop_words {
                assert_eq!(*word, word.to_lowercase(), "{language:?}");
            }
            for letter in data.distinct.split_whitespace() {
                assert!(data.letters.contains(letter), "{language:?} {letter}");
            }
        }
        for script in [Script::Latin, Script::Cyrillic, Script::Arabic, Script::Han, Script::Kana] {
            assert_eq!(script.languages().next(), Some(script.default_language()));
        }
    }
}
