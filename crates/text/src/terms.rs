//! The tokenizer of the keyword index: the normalized words of a text with their counts.
//!
//! Text is split at word boundaries (Unicode annex 29), lower-cased, stripped of accents and stemmed
//! (Snowball, English words only). Stop words are removed. Each ideograph is a word.

use std::collections::HashMap;

use rust_stemmers::{Algorithm, Stemmer};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation as _;

/// The most bytes in a word. A longer one is truncated; it is more likely encoded data than a word.
const WORD_BYTES_MAX: usize = 64;
/// Words that are too common to search for.
const STOP_WORDS: &[&str] = &[
    "a", "about", "am", "an", "and", "are", "as", "at", "be", "but", "by", "did", "do", "does", "for",
    "from", "had", "has", "have", "he", "how", "i", "if", "in", "into", "is", "it", "me", "my", "no", "not",
    "of", "on", "or", "our", "she", "such", "that", "the", "their", "then", "there", "these", "they", "this",
    "to", "was", "we", "what", "when", "where", "which", "who", "will", "with", "you", "your",
];

/// The bytes of a stored entry before its words.
const FINGERPRINT_BYTES: usize = 8;

/// The distinct words of a text with their counts, in order of first occurrence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Each word with its count, at least 1.
    pub counts: Vec<(String, u32)>,
    /// The total number of words, without stop words.
    pub length: u32,
}

/// Returns a fingerprint of all words in order.
///
/// Texts that differ only in punctuation, case and whitespace have the same fingerprint.
pub fn fingerprint_of(text: &str) -> u64 {
    let mut hash = Sha256::new();
    for word in split_words(text) {
        hash.update(word);
        hash.update([0]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
}

impl Terms {
    /// Returns the words of a text without stop words, or with them if there are no others.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let found = Self::count_terms(split_words(text).filter(|word| !STOP_WORDS.contains(&word.as_str())));
        if found.length > 0 { found } else { Self::count_terms(split_words(text)) }
    }

    fn count_terms(words: impl Iterator<Item = String>) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let mut found = Self::default();
        let mut positions: HashMap<String, usize> = HashMap::new();
        for word in words {
            let stem = if word.is_ascii() { stemmer.stem(&word).into_owned() } else { word };
            found.length = found.length.saturating_add(1);
            match positions.get(&stem) {
                Some(position) => found.counts[*position].1 += 1,
                None => {
                    positions.insert(stem.clone(), found.counts.len());
                    found.counts.push((stem, 1));
                }
            }
        }
        found
    }

    /// Encodes the keyword entry for storage: the fingerprint, then each word's count, length in bytes and
    /// text.
    #[must_use]
    pub fn encode(&self, fingerprint: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FINGERPRINT_BYTES + self.counts.len() * 8);
        bytes.extend(fingerprint.to_le_bytes());
        for (word, count) in &self.counts {
            bytes.push(u8::try_from(*count).unwrap_or(u8::MAX));
            bytes.push(u8::try_from(word.len()).unwrap_or(u8::MAX));
            bytes.extend(word.as_bytes());
        }
        bytes
    }

    /// Decodes a stored keyword entry: the fingerprint and the words. An incomplete word at the end is
    /// ignored.
    pub fn decode(bytes: &[u8]) -> (u64, impl Iterator<Item = (&str, u32)>) {
        let (fingerprint, mut bytes) = bytes.split_first_chunk().unwrap_or((&[0; FINGERPRINT_BYTES], &[]));
        let words = std::iter::from_fn(move || {
            let [count, length, rest @ ..] = bytes else { return None };
            let (word, rest) = rest.split_at_checked(usize::from(*length))?;
            bytes = rest;
            Some((std::str::from_utf8(word).ok()?, u32::from(*count)))
        });
        (u64::from_le_bytes(*fingerprint), words)
    }
}

fn split_words(text: &str) -> impl Iterator<Item = String> + '_ {
    let folded = text.unicode_words().map(|word| {
        let mut folded: String =
            word.nfkd().filter(|letter| !is_combining_mark(*letter)).flat_map(char::to_lowercase).collect();
        for ending in ["'s", "’s", "'", "’"] {
            if let Some(rest) = folded.strip_suffix(ending) {
                folded.truncate(rest.len());
            }
        }
        let mut end = folded.len().min(WORD_BYTES_MAX);
        while !folded.is_char_boundary(end) {
            end -= 1;
        }
        folded.truncate(end);
        folded
    });
    folded.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms_of(text: &str) -> String {
        let counts = Terms::of(text).counts;
        counts.iter().map(|(word, count)| format!("{word}×{count}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_normalized_to_one_form() {
        assert_eq!(
            terms_of("We moved to Postgres; moving the café’s menu."),
            "move×2 postgr×1 cafe×1 menu×1"
        );
        assert_eq!(terms_of("to be or not to be"), "to×2 be×2 or×1 not×1", "only stop words");
        assert_eq!(terms_of("東京 Straße ﬁne"), "東×1 京×1 straße×1 fine×1");
        assert_eq!(terms_of(" … !"), "");
    }

    #[test]
    fn fingerprints_depend_on_every_word() {
        assert_eq!(fingerprint_of("The server is up."), fingerprint_of("the  server IS up!"));
        for other in ["The server is not up.", "Up is the server.", "The servers is up."] {
            assert_ne!(fingerprint_of("The server is up."), fingerprint_of(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn keyword_entries_round_trip(text in any::<String>()) {
            let words = Terms::of(&text);
            let encoded = words.encode(fingerprint_of(&text));
            let (fingerprint, read) = Terms::decode(&encoded);
            prop_assert_eq!(fingerprint, fingerprint_of(&text));
            let read: Vec<(String, u32)> = read.map(|(word, count)| (word.to_owned(), count)).collect();
            let written = words.counts.into_iter().map(|(word, count)| (word, count.min(255)));
            let written: Vec<(String, u32)> = written.collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn decode_accepts_any_bytes(bytes in any::<Vec<u8>>()) {
            let _ = Terms::decode(&bytes).1.count();
        }
    }
}
