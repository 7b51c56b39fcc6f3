//! Finds the phrases of a list in a sentence.

use std::ops::Range;

use super::languages::{List, PhraseHit, RequestMatch, languages};
use crate::own_words::Sentence;

/// A phrase found in a sentence.
#[derive(Debug, Clone)]
pub(super) struct RequestPlace {
    /// The index of the language.
    pub(super) language: usize,
    /// The phrase with the chatter and polite words around it, in bytes of the sentence.
    pub(super) at: Range<usize>,
    /// The texts of the request.
    pub(super) texts: Vec<Range<usize>>,
}

impl RequestPlace {
    /// Returns the first text of the request.
    pub(super) fn text(&self) -> Option<Range<usize>> {
        self.texts.first().cloned()
    }
}

/// Finds the phrases of a list in a sentence, first in the languages that it is probably written in.
///
/// Leaves out those after words of another's speech: "she says: remember …".
pub(super) fn find(sentence: &Sentence, folded: &str, list: List) -> Vec<RequestPlace> {
    let mut candidates: Vec<(usize, Vec<usize>)> = Vec::new();
    for hit in sentence.hits.iter().filter(|hit| hit.list == list) {
        let is_likely = sentence.languages.contains(hit.language);
        // A short denial means something else in other languages. And scripts are not mixed within a request.
        let may_differ = list != List::CorrectOwn
            && languages().all[hit.language].is_latin()
            && !starts_with_opener(sentence, folded);
        if !is_likely && !may_differ {
            continue;
        }
        match candidates.iter_mut().find(|(language, _)| *language == hit.language) {
            Some((_, phrases)) => phrases.push(hit.phrase),
            None => candidates.push((hit.language, vec![hit.phrase])),
        }
    }
    candidates.sort_by_key(|(language, _)| !sentence.languages.contains(*language));
    let mut places = Vec::new();
    for (language, mut phrases) in candidates {
        phrases.sort_unstable();
        phrases.dedup();
        let is_polite = sentence.hits.iter().any(|hit| hit.list == List::Polite && hit.language == language);
        for RequestMatch { at, texts } in languages().all[language].find(list, &phrases, is_polite, folded) {
            places.push(RequestPlace { language, at, texts });
        }
    }
    places.retain(|place| {
        !is_reported_before(sentence, place.at.start) && !is_attributed(folded, place.language, &place.at)
    });
    places
}

/// Returns whether a sentence starts with chatter of its own language, such as the Italian "guarda" ("look"), which
/// may be a request in another one.
fn starts_with_opener(sentence: &Sentence, folded: &str) -> bool {
    let language = sentence.languages.single().map(|language| &languages().all[language]);
    language.is_some_and(|language| language.chatter_end(List::Openers, folded).is_some())
}

/// Returns whether a colon after other words leads to a request: "From the docs: keep in mind …".
pub(super) fn is_attributed(folded: &str, language: usize, at: &Range<usize>) -> bool {
    let start = folded[at.clone()].trim_start_matches([' ', '\u{3000}']);
    let before = folded[..at.start].trim_end();
    let has_colon = start.starts_with([':', '：']) || before.ends_with([':', '：']);
    has_colon
        && !before.is_empty()
        && languages().all[language].chatter_end(List::Openers, before.trim_start()).is_none()
}

/// Returns whether words of another's speech stand before a position.
pub(super) fn is_reported_before(sentence: &Sentence, position: usize) -> bool {
    let position = sentence.at.start + position;
    has_words(&sentence.hits, sentence, |hit| {
        hit.end <= position && hit.list == List::Reported && !is_own_speech(sentence, hit)
    })
}

/// Returns whether a word of speech belongs to the user's own: "I told you".
fn is_own_speech(sentence: &Sentence, speech: &PhraseHit) -> bool {
    has_words(&sentence.hits, sentence, |hit| {
        hit.list == List::OwnSpeech && hit.start <= speech.start && speech.end <= hit.end
    })
}

/// Returns whether a hit in one of the sentence's languages fulfils a condition.
pub(super) fn has_words(
    hits: &[PhraseHit],
    sentence: &Sentence,
    is_needed: impl Fn(&PhraseHit) -> bool,
) -> bool {
    hits.iter().any(|hit| sentence.languages.contains(hit.language) && is_needed(hit))
}

/// Returns whether a text in lower case starts with a phrase of a list.
pub(super) fn matches_start(folded: &str, list: List, language: usize) -> bool {
    languages().all[language].is_any_match(list, folded.trim())
}
