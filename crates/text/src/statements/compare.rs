//! Comparison of a new text with a known one.
//!
//! Only a certain replacement hides the known text. A text that seems related, and might make the known one
//! outdated, is *linked* to it: both stay, and a person decides. The words decide: vectors cannot distinguish
//! "is" from "is not", or one port from another.

use super::entries::Entries;
use super::parse::{Class, ParsedText, Word, is_single_sentence};
use super::written::WrittenChange;
use crate::stance::Stance;
use crate::terms::{FoundTerms, QueryTerms, QueryWord};

/// The most bytes in a sentence whose grammar is compared.
const SENTENCE_BYTES_MAX: usize = 400;
/// A text is related to another if they share at least this many content words. Fitted with [`SimilarityThresholds`] on
/// the calibration pairs (`benches/RESULTS.md`, "Smart ingest decisions").
const SHARED_WORDS_MIN: usize = 2;
/// The least mean share of common words, if no similarity is known.
const SHARE_MIN: f32 = 0.4;

/// The relation of a new text to a known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The new text says nothing that the known one does not say.
    Same,
    /// It says the same and more.
    More,
    /// It certainly replaces the known text.
    Replaces,
    /// It may make the known text outdated.
    MayReplace,
    /// It contradicts the known text, but reports or doubts.
    Contradicts,
    /// It is about something else.
    Other,
}

/// The rule that determined a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionRule {
    /// Both texts have the same words in another form or order.
    SameWords,
    /// The new text has all words of the known one and adds others.
    Contained,
    /// The same words, but one text is negated.
    Negated,
    /// The same sentence with another number.
    OtherValue,
    /// The same key of a configuration, table or list with another value.
    SameKey,
    /// The new text names the known value as wrong or as past.
    Corrected,
    /// The user said that the new text is a correction.
    StatedByUser,
    /// The new text reports a change of the same thing.
    Changed,
    /// Both texts are about the same thing.
    SameSubject,
    /// No rule applies.
    None,
}

/// The minimum similarities for some relations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarityThresholds {
    /// The minimum for two texts about the same thing.
    pub related: f32,
}

/// A text, prepared for comparisons.
#[derive(Debug, Clone)]
pub struct Statement {
    entries: Option<Entries>,
    /// The grammar of a single sentence.
    sentence: Option<ParsedText>,
    stance: Stance,
    /// The content words, with all forms that find them.
    words: QueryTerms,
    found: FoundTerms,
}

impl Statement {
    /// Prepares a text for comparisons.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let is_sentence = text.len() <= SENTENCE_BYTES_MAX && is_single_sentence(text);
        Self {
            entries: Entries::of(text),
            sentence: is_sentence.then(|| ParsedText::of(text)),
            stance: Stance::of(text),
            words: QueryTerms::of(text),
            found: FoundTerms::of(text),
        }
    }

    /// Returns whether the text contains nothing to remember: filler words, or only a question.
    #[must_use]
    pub fn has_no_content(&self) -> bool {
        self.sentence.as_ref().is_some_and(ParsedText::has_no_content)
    }

    /// Returns whether the text asks something, so that it contains nothing to remember.
    #[must_use]
    pub fn is_question(&self) -> bool {
        self.sentence.as_ref().is_some_and(|sentence| sentence.is_question)
    }

    /// Returns the content words, at most 500.
    #[must_use]
    pub fn words(&self) -> &[QueryWord] {
        &self.words.words
    }

    /// Returns whether the text has a word in one of its forms.
    #[must_use]
    pub fn has_word(&self, word: &QueryWord) -> bool {
        self.found.has(word)
    }

    /// Returns whether the writer states the text, and does not report, doubt, wish or imagine it.
    #[must_use]
    pub fn is_stated(&self) -> bool {
        self.stance == Stance::Stated
    }

    /// Compares a new text with this one.
    ///
    /// `similarity` is that of their vectors with the thresholds for it, or `None` if unknown.
    #[must_use]
    pub fn compare(
        &self,
        incoming: &Self,
        similarity: Option<(f32, SimilarityThresholds)>,
    ) -> (Relation, DecisionRule) {
        if let (Some(known), Some(new)) = (&self.entries, &incoming.entries)
            && let Some((relation, rule)) = known.compare(new)
        {
            let changes = matches!(relation, Relation::More | Relation::Replaces);
            let is_certain = self.is_stated() && incoming.is_stated();
            return if changes && !is_certain { (Relation::MayReplace, rule) } else { (relation, rule) };
        }
        if incoming.stance == Stance::Imagined {
            return (Relation::Other, DecisionRule::None);
        }
        if let (Some(known), Some(new)) = (&self.sentence, &incoming.sentence)
            && self.stance == Stance::Stated
            && incoming.stance == Stance::Stated
            && let Some(found) = compare_sentences(known, new)
        {
            return found;
        }
        if !self.is_related(incoming, similarity) {
            return (Relation::Other, DecisionRule::None);
        }
        let changes = incoming.sentence.as_ref().is_some_and(|sentence| sentence.reports_change);
        match incoming.stance {
            Stance::Doubtful => (Relation::Contradicts, DecisionRule::SameSubject),
            _ if changes => (Relation::MayReplace, DecisionRule::Changed),
            _ => (Relation::MayReplace, DecisionRule::SameSubject),
        }
    }

    /// Returns whether two texts are about the same thing.
    fn is_related(&self, incoming: &Self, similarity: Option<(f32, SimilarityThresholds)>) -> bool {
        let shared = self.words_in(incoming).max(incoming.words_in(self));
        let share = self.share_of_common_words(incoming);
        shared >= SHARED_WORDS_MIN
            && similarity.map_or(share >= SHARE_MIN, |(cosine, thresholds)| cosine >= thresholds.related)
    }

    /// Returns the number of content words of this text that another one has.
    fn words_in(&self, other: &Self) -> usize {
        self.words.words.iter().filter(|word| other.found.has(word)).count()
    }

    /// Returns the mean of the shares of each text's content words that the other has, 0 to 1.
    fn share_of_common_words(&self, other: &Self) -> f32 {
        let share = |a: &Self, b: &Self| a.words_in(b) as f32 / a.words.words.len().max(1) as f32;
        f32::midpoint(share(self, other), share(other, self))
    }
}

/// Compares two sentences that their writers state. `None` if no rule applies.
fn compare_sentences(known: &ParsedText, incoming: &ParsedText) -> Option<(Relation, DecisionRule)> {
    if incoming.is_question {
        return Some((Relation::Other, DecisionRule::None));
    }
    if known.written.is_same(&incoming.written) {
        return Some((Relation::Same, DecisionRule::SameWords));
    }
    if let Some(rule) = replacement(known, incoming) {
        return Some((Relation::Replaces, rule));
    }
    let difference = WordDifference::of(known, incoming);
    if difference.shared == 0 || !known.written.is_english || !incoming.written.is_english {
        return None;
    }
    if incoming.is_addition && !known.is_addition {
        return Some((Relation::Other, DecisionRule::None));
    }
    if is_exchange(known, incoming, &difference) {
        // Two events of one kind are two events.
        let is_past = known.is_past_event && incoming.is_past_event;
        let link = (Relation::MayReplace, DecisionRule::OtherValue);
        return Some(if is_past { (Relation::Other, DecisionRule::None) } else { link });
    }
    let is_changed = incoming.reports_change && !difference.gone.is_empty();
    if known.negated != incoming.negated || is_changed || denies_word_of(incoming, known) {
        return None;
    }
    // The parser drops words, so the written forms decide whether one text says all that the other says.
    let (known_form, new_form) = (&known.written, &incoming.written);
    match (difference.gone.is_empty(), difference.new.is_empty()) {
        (true, true) if known.is_passive == incoming.is_passive && is_swapped(known, incoming) => None,
        (true, true) if known_form.has_same_words(new_form) => {
            Some((Relation::Same, DecisionRule::SameWords))
        }
        (true, false) if !incoming.reports_change && new_form.adds_to(known_form) => {
            Some((Relation::More, DecisionRule::Contained))
        }
        (false, true) if known_form.adds_to(new_form) => Some((Relation::Same, DecisionRule::SameWords)),
        // One has a condition, a time, a place, a reason or a quantity that the other does not have.
        (true, _) | (_, true) if difference.shared >= SHARED_WORDS_MIN => {
            Some((Relation::MayReplace, DecisionRule::SameSubject))
        }
        _ => None,
    }
}

/// Returns the rule by which the new text certainly replaces the known one, if any.
///
/// Times, days, doses and measurements never replace each other unless the known one is named as wrong: there may be
/// two of them.
fn replacement(known: &ParsedText, incoming: &ParsedText) -> Option<DecisionRule> {
    let is_past = known.is_past_event || incoming.is_past_event;
    if incoming.is_addition && !known.is_addition || is_past || known.is_question {
        return None;
    }
    let has_time = || known.words.iter().chain(&incoming.words).any(Word::is_time_or_measurement);
    match known.written.change_by(&incoming.written, incoming.is_correction)? {
        WrittenChange::Negation => Some(DecisionRule::Negated),
        WrittenChange::Denial => Some(DecisionRule::Corrected),
        WrittenChange::Value if !has_time() => Some(DecisionRule::OtherValue),
        WrittenChange::Word if !has_time() => Some(DecisionRule::Corrected),
        WrittenChange::Value | WrittenChange::Word => None,
    }
}

/// The difference between two texts, as positions of their words.
struct WordDifference {
    /// Words only in the known text.
    gone: Vec<usize>,
    /// Words only in the new text.
    new: Vec<usize>,
    /// The number of words in both.
    shared: usize,
}

impl WordDifference {
    fn of(known: &ParsedText, incoming: &ParsedText) -> Self {
        let mut left: Vec<Option<&Word>> = incoming.words.iter().map(Some).collect();
        let mut gone = Vec::new();
        for (at, word) in known.words.iter().enumerate() {
            match left.iter().position(|other| other.is_some_and(|other| is_same_word(word, other))) {
                Some(position) => left[position] = None,
                None => gone.push(at),
            }
        }
        let new: Vec<usize> = (0..left.len()).filter(|at| left[*at].is_some()).collect();
        let shared = known.words.len() - gone.len();
        Self { gone, new, shared }
    }
}

/// Returns whether two words are the same or share a root ("weigh", "weight").
fn is_same_word(a: &Word, b: &Word) -> bool {
    if a.class == Class::Value || b.class == Class::Value {
        return a.stem == b.stem;
    }
    let (short, long) = if a.stem.len() <= b.stem.len() { (&a.stem, &b.stem) } else { (&b.stem, &a.stem) };
    a.stem == b.stem || short.len() >= 5 && long.len() - short.len() <= 2 && long.starts_with(short.as_str())
}

/// Returns whether a sentence denies a word of another one, as "Rex, not Balu" does.
fn denies_word_of(incoming: &ParsedText, known: &ParsedText) -> bool {
    incoming.words.iter().any(|word| {
        word.negated
            && word.class != Class::Verb
            && known.words.iter().any(|other| !other.negated && is_same_word(word, other))
    })
}

/// Returns whether two sentences about the same subject differ in one word at the same place.
fn is_exchange(known: &ParsedText, incoming: &ParsedText, difference: &WordDifference) -> bool {
    let ([gone], [new]) = (&difference.gone[..], &difference.new[..]) else { return false };
    gone == new
        && known.negated == incoming.negated
        && known.verb == incoming.verb
        && *gone >= known.subject
        && has_equal_subject(known, incoming)
        && known.is_single_valued()
}

/// Returns whether both texts have the same subject.
fn has_equal_subject(known: &ParsedText, incoming: &ParsedText) -> bool {
    let (a, b) = (known.subject(), incoming.subject());
    let within =
        |a: &[Word], b: &[Word]| a.iter().all(|word| b.iter().any(|other| is_same_word(word, other)));
    within(a, b) && within(b, a) && (!a.is_empty() || known.is_about_writer == incoming.is_about_writer)
}

/// Returns whether two texts with the same words swap subject and object: "A calls B", "B calls A".
fn is_swapped(known: &ParsedText, incoming: &ParsedText) -> bool {
    let acts = known.verb.is_some() && known.verb == incoming.verb && known.verb.as_deref() != Some("be");
    let (before, now) = (known.subject(), incoming.subject());
    acts && !before.is_empty()
        && before.len() == now.len()
        && !before.iter().all(|word| now.iter().any(|other| is_same_word(word, other)))
}

#[cfg(test)]
mod tests;
