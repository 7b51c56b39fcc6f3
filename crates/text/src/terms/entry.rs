//! The stored keyword entry of a chunk: its words with their counts, and those of its labels.
//!
//! The labels are the memory's tags and its day, which are searched like words of the text.

use super::{Terms, fingerprint_of};
use crate::days::Day;
use crate::languages::{Language, detect};

/// The bytes of a stored entry before its words.
const FINGERPRINT_BYTES: usize = 8;
/// Set in the count of a form that does not add to the length.
const OTHER_FORM: u8 = 0x80;
/// The largest count. One more occurrence of so frequent a word changes no score.
const COUNT_MAX: u8 = 0x7f;
/// The end of the words of the text and the start of those of the labels: a count and a length of zero.
const LABELS_START: [u8; 2] = [0, 0];

/// The labels of a memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labels<'a> {
    /// Its tags.
    pub tags: &'a [String],
    /// The day when it happened or was said; `None` if unknown.
    pub day: Option<Day>,
}

/// A term of a stored keyword entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTerm<'a> {
    /// The term.
    pub term: &'a str,
    /// The number of its occurrences, 1 to 127.
    pub count: u32,
    /// Whether it is another form of a word, which does not add to the length of the text.
    pub is_other_form: bool,
    /// Whether it is in the labels rather than the text.
    pub is_label: bool,
}

/// Encodes the keyword entry of a text for storage: the fingerprint, then the words of the text and of its
/// labels.
#[must_use]
pub fn encode_entry(text: &str, labels: Labels<'_>) -> Vec<u8> {
    let languages = detect(text);
    let mut bytes = Terms::in_languages(text, languages).encode(fingerprint_of(text));
    let mut more: Vec<Terms> = labels.tags.iter().map(|tag| Terms::in_languages(tag, languages)).collect();
    if let Some(day) = labels.day {
        // The day is named in English as well, so that questions in either language find it.
        let language = languages.main();
        more.push(Terms::in_languages(&day.in_words(Language::English), detect("")));
        if language != Language::English {
            more.push(Terms::in_languages(&day.in_words(language), languages));
        }
    }
    if !more.is_empty() {
        bytes.extend(LABELS_START);
        more.iter().for_each(|terms| terms.encode_terms(&mut bytes));
    }
    bytes
}

/// Decodes a stored keyword entry: the fingerprint and the terms. An incomplete term at the end is ignored.
pub fn decode_entry(bytes: &[u8]) -> (u64, impl Iterator<Item = StoredTerm<'_>>) {
    let (fingerprint, mut bytes) = bytes.split_first_chunk().unwrap_or((&[0; FINGERPRINT_BYTES], &[]));
    let mut is_label = false;
    let terms = std::iter::from_fn(move || {
        loop {
            let [count, length, rest @ ..] = bytes else { return None };
            if [*count, *length] == LABELS_START {
                (is_label, bytes) = (true, rest);
                continue;
            }
            let (term, rest) = rest.split_at_checked(usize::from(*length))?;
            bytes = rest;
            return Some(StoredTerm {
                term: std::str::from_utf8(term).ok()?,
                count: u32::from(count & COUNT_MAX),
                is_other_form: count & OTHER_FORM != 0,
                is_label,
            });
        }
    });
    (u64::from_le_bytes(*fingerprint), terms)
}

impl Terms {
    /// Encodes a keyword entry without labels.
    #[must_use]
    pub fn encode(&self, fingerprint: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FINGERPRINT_BYTES + self.counts.len() * 8);
        bytes.extend(fingerprint.to_le_bytes());
        self.encode_terms(&mut bytes);
        bytes
    }

    /// Appends each term's count, length in bytes and text.
    fn encode_terms(&self, bytes: &mut Vec<u8>) {
        let forms = [(&self.counts, 0), (&self.other_forms, OTHER_FORM)];
        for (form, count, mark) in
            forms.iter().flat_map(|(forms, mark)| forms.iter().map(move |(form, count)| (form, count, mark)))
        {
            // A form has at most 67 bytes.
            let Ok(length) = u8::try_from(form.len()) else { continue };
            bytes.push(u8::try_from(*count).unwrap_or(COUNT_MAX).min(COUNT_MAX) | mark);
            bytes.push(length);
            bytes.extend(form.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_are_separate_from_the_text() {
        let tags = ["garden".to_owned()];
        let entry =
            encode_entry("Ich pflanze Rosen.", Labels { tags: &tags, day: Day::of_date(2023, 5, 30) });
        let (fingerprint, terms) = decode_entry(&entry);
        assert_eq!(fingerprint, fingerprint_of("ich pflanze rosen"));
        let terms: Vec<StoredTerm<'_>> = terms.collect();
        let of = |is_label: bool| {
            let terms = terms.iter().filter(|term| term.is_label == is_label && !term.is_other_form);
            terms.map(|term| term.term).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(false), "de/pflanz de/ros");
        assert_eq!(of(true), "de/gard tuesday 30 may 2023 de/dienstag 30 de/mai 2023");
    }

    proptest! {
        #[test]
        fn keyword_entries_round_trip(text in any::<String>()) {
            let words = Terms::of(&text);
            let encoded = encode_entry(&text, Labels::default());
            let (fingerprint, read) = decode_entry(&encoded);
            prop_assert_eq!(fingerprint, fingerprint_of(&text));
            let read: Vec<(String, u32, bool)> =
                read.map(|term| (term.term.to_owned(), term.count, term.is_other_form)).collect();
            let forms = |forms: Vec<(String, u32)>, is_other| {
                forms.into_iter().map(move |(form, count)| (form, count.min(127), is_other))
            };
            let written: Vec<(String, u32, bool)> =
                forms(words.counts, false).chain(forms(words.other_forms, true)).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn decode_accepts_any_bytes(bytes in any::<Vec<u8>>()) {
            let _ = decode_entry(&bytes).1.count();
        }
    }
}
