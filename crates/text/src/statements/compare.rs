//! Comparison of a new text with a known one.
//!
//! Only a certain replacement hides the known text. A text that seems related, and might make the known one
//! outdated, is *linked* to it: both stay, and a person decides. The words decide: vectors cannot distinguish
//! "is" from "is not", or one port from another.

use super::entries::Entries;
use super::parse::{Class, ParsedText, Word, are_antonyms, is_single_sentence};
use crate::stance::Stance;
use crate::terms::{FoundTerms, QueryTerms};

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

/// The minimum cosine similarities of one embedder for some relations.
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

    /// Compares a new text with this one.
    ///
    /// `similarity` is the cosine of their vectors with the embedder's thresholds, or `None` if unknown.
    #[must_use]
    pub fn compare(
        &self,
        incoming: &Self,
        similarity: Option<(f32, SimilarityThresholds)>,
    ) -> (Relation, DecisionRule) {
        if let (Some(known), Some(new)) = (&self.entries, &incoming.entries)
            && let Some(found) = known.compare(new)
        {
            return found;
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
    let difference = WordDifference::of(known, incoming);
    if difference.shared == 0 {
        return None;
    }
    if let Some(rule) = replacement(known, incoming, &difference) {
        return Some((Relation::Replaces, rule));
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
    match (difference.gone.is_empty(), difference.new.is_empty()) {
        (true, true) if known.is_passive == incoming.is_passive && is_swapped(known, incoming) => None,
        (true, true) => Some((Relation::Same, DecisionRule::SameWords)),
        (true, false)
            if known.verb == incoming.verb
                && has_same_order(known, incoming)
                && has_equal_subject(known, incoming)
                && is_separate_phrase(incoming, &difference.new) =>
        {
            Some((Relation::More, DecisionRule::Contained))
        }
        (false, true) if has_same_order(incoming, known) && drops_only_phrases(known, &difference.gone) => {
            Some((Relation::Same, DecisionRule::SameWords))
        }
        _ => None,
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

/// Returns whether these words form separate phrases or are values. "Cake" in "coffee cake" is not one.
fn is_separate_phrase(of: &ParsedText, positions: &[usize]) -> bool {
    positions.iter().all(|at| {
        let word = &of.words[*at];
        let begins = *at == 0 || !positions.contains(&(at - 1));
        let next = of.words.get(at + 1);
        let is_counted = is_quantity(of, *at) && !positions.contains(&(at + 1));
        !is_counted
            && (!begins
                || word.starts_phrase
                || matches!(word.class, Class::Value | Class::Verb)
                || next.is_some_and(|next| next.starts_phrase))
    })
}

/// Returns whether dropping these words from the known text leaves its statement unchanged.
fn drops_only_phrases(known: &ParsedText, gone: &[usize]) -> bool {
    is_separate_phrase(known, gone) && gone.iter().all(|at| known.words[*at].class != Class::Value)
}

/// Returns whether this word counts the next one, as in "two weeks".
fn is_quantity(of: &ParsedText, at: usize) -> bool {
    let unit = of.words.get(at + 1);
    of.words[at].class == Class::Value
        && unit.is_some_and(|unit| {
            unit.class == Class::Value
                && !unit.starts_phrase
                && !unit.stem.starts_with(|c: char| c.is_ascii_digit())
        })
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

/// Returns the rule by which the new text certainly replaces the known one, if any.
///
/// Times, days and doses never replace each other: there may be two of them.
fn replacement(
    known: &ParsedText,
    incoming: &ParsedText,
    difference: &WordDifference,
) -> Option<DecisionRule> {
    if incoming.is_addition && !known.is_addition {
        return None;
    }
    let gone: Vec<&Word> = difference.gone.iter().map(|at| &known.words[*at]).collect();
    let new: Vec<&Word> = difference.new.iter().map(|at| &incoming.words[*at]).collect();
    if known.negated != incoming.negated {
        let is_bare = gone.is_empty() && new.is_empty() && known.words.len() == incoming.words.len();
        return (is_bare && has_same_order(known, incoming)).then_some(DecisionRule::Negated);
    }
    // "Balu, not Bruno".
    let denied = denies_word_of(incoming, known);
    // Another time is a qualifier, unless it takes the place of a time.
    let adds_time = new.iter().any(|word| word.is_time()) && !known.words.iter().any(Word::is_time);
    if denied && gone.is_empty() && !new.is_empty() && !adds_time {
        return Some(DecisionRule::Corrected);
    }
    let ([gone], [new]) = (&gone[..], &new[..]) else { return None };
    let has_time = known.words.iter().chain(&incoming.words).any(Word::is_time);
    let same_place = difference.gone[0] == difference.new[0];
    let is_present = !known.is_past_event && !incoming.is_past_event;
    if has_time || !same_place || !is_present || !has_equal_subject(known, incoming) {
        return None;
    }
    if are_antonyms(&gone.text, &new.text) {
        return Some(DecisionRule::OtherValue);
    }
    let in_predicate = difference.gone[0] >= known.subject && difference.new[0] >= incoming.subject;
    let has_one_value = known.verb == incoming.verb && known.is_single_valued();
    if !in_predicate || !has_one_value || is_dose(known, difference.gone[0]) {
        return None;
    }
    let is_number = |word: &Word| word.stem.starts_with(|c: char| c.is_ascii_digit());
    if is_number(gone) && is_number(new) {
        return Some(DecisionRule::OtherValue);
    }
    incoming.is_correction.then_some(DecisionRule::Corrected)
}

/// Returns whether a number counts a dose: "5 mg", "2 tablets".
fn is_dose(of: &ParsedText, at: usize) -> bool {
    const UNITS: &[&str] = &[
        "mg", "ml", "mcg", "µg", "g", "iu", "ie", "unit", "tablet", "pill", "drop", "puff", "capsul",
        "spoon", "dose", "tsp", "tbsp",
    ];
    of.words
        .get(at + 1)
        .is_some_and(|unit| UNITS.contains(&unit.stem.as_str()) || UNITS.contains(&unit.text.as_str()))
        || of.words.iter().any(|word| matches!(word.stem.as_str(), "dose" | "dosag"))
}

/// Returns whether both texts have the same subject.
fn has_equal_subject(known: &ParsedText, incoming: &ParsedText) -> bool {
    let (a, b) = (known.subject(), incoming.subject());
    let within =
        |a: &[Word], b: &[Word]| a.iter().all(|word| b.iter().any(|other| is_same_word(word, other)));
    within(a, b) && within(b, a) && (!a.is_empty() || known.is_about_writer == incoming.is_about_writer)
}

/// Returns whether the new text contains all words of the known one in the same order.
fn has_same_order(known: &ParsedText, incoming: &ParsedText) -> bool {
    let mut rest = incoming.words.iter();
    known.words.iter().all(|word| rest.any(|other| is_same_word(word, other)))
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relation(known: &str, incoming: &str) -> Relation {
        Statement::of(known).compare(&Statement::of(incoming), None).0
    }

    #[test]
    fn only_certain_replacements_replace() {
        let cases = [
            ("I like dark mode.", "I don’t like dark mode.", Relation::Replaces),
            ("The contract is signed.", "The contract is not signed.", Relation::Replaces),
            ("Our dog is called Balu.", "Our dog is called Rex, not Balu.", Relation::Replaces),
            (
                "The dentist is on 4 May at noon.",
                "The dentist is on 5 May at noon now, not on 4 May.",
                Relation::Replaces,
            ),
            (
                "The oven runs ten degrees too hot.",
                "The oven runs twenty degrees too hot.",
                Relation::Replaces,
            ),
            (
                "The retry limit in the payment worker is 3.",
                "The retry limit in the payment worker is 5.",
                Relation::Replaces,
            ),
            ("The NAS has 8 TB of space.", "The NAS has 16 TB of space.", Relation::Replaces),
            ("The backup server is at 10.0.0.12.", "The backup server is at 10.0.0.47.", Relation::Replaces),
            (
                "Feature flag new_checkout is enabled in production.",
                "Feature flag new_checkout is disabled in production.",
                Relation::Replaces,
            ),
        ];
        for (known, incoming, expected) in cases {
            assert_eq!(relation(known, incoming), expected, "{known} | {incoming}");
        }
    }

    #[test]
    fn what_looks_like_a_replacement_hides_nothing() {
        let cases = [
            ("Yoga is on Monday at 18:00.", "Yoga is on Thursday at 7:00."),
            ("The dose is 5 mg in the morning.", "The dose is 10 mg in the evening."),
            ("I take 5 mg of lisinopril.", "I take 10 mg of lisinopril."),
            ("The bus comes at 8:10.", "The bus comes at 8:40 too."),
            ("The bus comes at 8:10.", "The bus comes at 8:40."),
            ("The login page uses OAuth.", "The login page tests were moved to tests/auth."),
            ("The API accepts JSON.", "The API doesn't accept JSON larger than 2 MB."),
            ("We meet in room 3.", "We meet in room 4, not in room 3, on Fridays."),
            ("We use Postgres.", "Tom would be happier if we didn't use Postgres."),
            ("Anna lives in Berlin.", "Anna's brother moved to Berlin."),
            ("Ben works at Siemens.", "Ben's wife quit her job at Siemens."),
            ("I work on Fridays.", "I don't work on Fridays in August."),
            ("The contract is signed.", "I dreamt the contract was not signed."),
            ("My dentist is Dr. Okafor.", "My dentist is not Dr. Okafor in this story."),
            ("`UserRepo.find()` is case sensitive.", "`OrderRepo.find()` is not case sensitive."),
            (
                "Chris from accounting is on parental leave until March.",
                "Chris from support is back from parental leave.",
            ),
            ("The board call was 10 Nov.", "The next board call is 12 Jan."),
            ("Elena is vegan.", "\"Elena isn't vegan\", says her ex, but he says a lot of things."),
            ("Allergies: penicillin, cat hair", "Allergies: penicillin"),
            ("I visited Kyoto in 2019.", "I visited Kyoto in 2024."),
            ("My dentist is Dr. Okafor.", "My dentist is Dr. Weber now."),
            ("Service A calls service B.", "Service B calls service A."),
            ("I like coffee.", "I like coffee cake."),
            ("Room 12 has 30 seats.", "Room 14 has 30 seats."),
            ("Balu was at the vet on 3 May.", "Balu died at the vet on 3 May."),
            ("Tom bought the tickets.", "Tom sold the tickets."),
            ("Meine Schwester wohnt in Köln.", "Mein Bruder wohnt in Bonn."),
        ];
        for (known, incoming) in cases {
            let relation = relation(known, incoming);
            let keeps = matches!(relation, Relation::MayReplace | Relation::Contradicts | Relation::Other);
            assert!(keeps, "{relation:?}: {known} | {incoming}");
        }
    }

    #[test]
    fn texts_that_may_replace_another_say_why() {
        let cases = [
            ("My dentist is Dr. Okafor.", "My dentist is Dr. Weber now.", DecisionRule::OtherValue),
            ("The bus comes at 8:10.", "The bus comes at 8:40.", DecisionRule::OtherValue),
            ("on-call this week: Samir", "on-call this week: Ivana", DecisionRule::SameKey),
        ];
        for (known, incoming, rule) in cases {
            let found = Statement::of(known).compare(&Statement::of(incoming), None);
            assert_eq!(found, (Relation::MayReplace, rule), "{known} | {incoming}");
        }
    }

    #[test]
    fn repeated_texts_say_nothing_new() {
        let cases = [
            ("The server is up.", "the server IS up!", Relation::Same),
            ("Rehearsal starts at 20:00.", "Rehearsal starts at 8 pm.", Relation::Same),
            (
                "Our dog is called Balu.",
                "Our dog is called Balu and is a Bernese mountain dog.",
                Relation::More,
            ),
        ];
        for (known, incoming, expected) in cases {
            assert_eq!(relation(known, incoming), expected, "{known} | {incoming}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_compared(known in "\\PC{0,80}", incoming in "\\PC{0,80}") {
            relation(&known, &incoming);
        }

        #[test]
        fn a_text_is_the_same_as_itself(words in proptest::collection::vec("[a-z]{2,9}", 1..9)) {
            let text = words.join(" ");
            let incoming = ParsedText::of(&text);
            prop_assume!(!incoming.reports_change && !incoming.is_correction && Stance::of(&text) == Stance::Stated);
            prop_assume!(!incoming.words.is_empty());
            prop_assert_eq!(relation(&text, &text), Relation::Same);
        }
    }
}
