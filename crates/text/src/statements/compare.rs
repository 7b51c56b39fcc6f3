//! Comparison of a new text with a known one: the same, more detail, a correction, another part of the same
//! thing, or unrelated. Contradictions are checked before equality.
//!
//! Vectors cannot distinguish "is" from "is not", or one port from another. Therefore the words decide, and a
//! low similarity can only reject a match. If no rule is certain, the texts count as unrelated, which loses
//! nothing.

use super::parse::{Class, ParsedText, Word, are_antonyms, is_locative};

/// The relation of a new text to a known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// Both texts say the same, in the same or in other words.
    Same,
    /// It says the same and more.
    More,
    /// It contradicts the known text.
    Correction,
    /// It says something else about the same thing.
    Part,
    /// It is about something else.
    Other,
}

/// The rule that determined a relation. The accuracy of each was measured on labeled texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionRule {
    /// Both texts have the same words in another form or order.
    SameWords,
    /// Both texts have nearly the same words and a high similarity.
    SameMeaning,
    /// The new text has all words of the known one and adds others.
    Contained,
    /// One text negates the other.
    Negated,
    /// Both texts have the same subject and different values.
    OtherValue,
    /// The new text reports a change of the known one.
    Changed,
    /// Both texts name the same thing and say something different about it.
    OneThing,
    /// No rule applies.
    None,
}

/// The minimum cosine similarities of one embedder for some relations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarityThresholds {
    /// The minimum for the same statement in other words.
    pub same: f32,
    /// The minimum for a correction.
    pub changed: f32,
    /// The minimum for two parts of one thing.
    pub part: f32,
}

/// Compares a new text with a known one.
///
/// `similarity` is the cosine of their vectors with the embedder's thresholds, or `None` if unknown.
pub fn compare(
    known: &ParsedText,
    incoming: &ParsedText,
    similarity: Option<(f32, SimilarityThresholds)>,
) -> (Relation, DecisionRule) {
    let near = |threshold: fn(&SimilarityThresholds) -> f32| {
        similarity.is_none_or(|(cosine, thresholds)| cosine >= threshold(&thresholds))
    };
    let difference = WordDifference::of(known, incoming);
    if let Some(rule) = correction(known, incoming, &difference)
        && near(|thresholds| thresholds.changed)
    {
        return (Relation::Correction, rule);
    }
    if incoming.is_question
        || known.negated != incoming.negated
        || incoming.reports_change && !difference.gone.is_empty()
    {
        return (Relation::Other, DecisionRule::None);
    }
    match (difference.gone.is_empty(), difference.new.is_empty()) {
        (true, true) if known.is_passive == incoming.is_passive && is_swapped(known, incoming) => {}
        (true, true) => return (Relation::Same, DecisionRule::SameWords),
        (true, false) if difference.is_light(incoming) => return (Relation::Same, DecisionRule::SameWords),
        (true, false)
            if has_same_order(known, incoming)
                && has_equal_subject(known, incoming)
                && is_separate_phrase(incoming, &difference.new) =>
        {
            return (Relation::More, DecisionRule::Contained);
        }
        (false, true) if has_same_order(incoming, known) && drops_only_phrases(known, &difference.gone) => {
            return (Relation::Same, DecisionRule::SameWords);
        }
        (false, false)
            if is_rephrased(known, incoming, &difference)
                && similarity.is_some_and(|(cosine, thresholds)| cosine >= thresholds.same) =>
        {
            return (Relation::Same, DecisionRule::SameMeaning);
        }
        (false, false)
            if is_same_thing(known, incoming, &difference) && near(|thresholds| thresholds.part) =>
        {
            return (Relation::Part, DecisionRule::OneThing);
        }
        _ => {}
    }
    (Relation::Other, DecisionRule::None)
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

    /// Returns whether the only new word is a verb, which the known text implies.
    fn is_light(&self, incoming: &ParsedText) -> bool {
        let [at] = self.new[..] else { return false };
        incoming.words[at].class == Class::Verb && !incoming.words[at].starts_phrase
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

/// Returns the rule by which the new text corrects the known one, if any.
fn correction(
    known: &ParsedText,
    incoming: &ParsedText,
    difference: &WordDifference,
) -> Option<DecisionRule> {
    if incoming.is_question || difference.shared == 0 {
        return None;
    }
    let gone: Vec<&Word> = difference.gone.iter().map(|at| &known.words[*at]).collect();
    let new: Vec<&Word> = difference.new.iter().map(|at| &incoming.words[*at]).collect();
    if known.negated != incoming.negated && gone.iter().all(|word| word.class == Class::Verb) {
        return Some(DecisionRule::Negated);
    }
    let share = difference.shared as f32 / known.words.len().max(1) as f32;
    // "Balu, not Bruno".
    let instead = incoming.words.iter().any(|word| {
        word.negated
            && word.class != Class::Verb
            && known.words.iter().any(|other| !other.negated && is_same_word(word, other))
    });
    let ended = incoming.reports_change && new.is_empty() && incoming.words.len() <= 2;
    if (incoming.reports_change || incoming.is_correction || instead)
        && (share >= 0.5 || ended)
        && has_similar_subject(known, incoming)
    {
        return Some(DecisionRule::Changed);
    }
    let one =
        |parsed: &ParsedText, positions: &[usize]| matches!(positions, [at] if is_quantity(parsed, *at));
    let fits = known.is_single_valued() && !known.is_past_event && known.verb == incoming.verb;
    if fits
        && (new.is_empty() && one(known, &difference.gone)
            || gone.is_empty() && one(incoming, &difference.new))
    {
        return Some(DecisionRule::OtherValue);
    }
    if known.negated != incoming.negated
        || gone.is_empty()
        || new.is_empty()
        || !has_equal_subject(known, incoming)
    {
        return None;
    }
    if gone.len() == 1 && new.iter().any(|new| are_antonyms(&gone[0].text, &new.text)) {
        return Some(DecisionRule::OtherValue);
    }
    if known.is_past_event || incoming.is_past_event && !incoming.reports_change {
        return None;
    }
    let verbs = known.verb == incoming.verb || known.verb.is_none() || incoming.verb.is_none();
    let value = |words: &[&Word]| words.iter().all(|word| word.class == Class::Value);
    if verbs && value(&gone) && value(&new) && !known.is_multi_valued() {
        return Some(DecisionRule::OtherValue);
    }
    if known.verb != incoming.verb || !known.is_single_valued() {
        return None;
    }
    is_value_replaced(known, &gone, &new).then_some(DecisionRule::OtherValue)
}

/// Returns whether one phrase of the predicate was replaced by another of its kind.
fn is_value_replaced(known: &ParsedText, gone: &[&Word], new: &[&Word]) -> bool {
    let (Some(first), Some(instead)) = (gone.first(), new.first()) else { return false };
    let predicate_len = known.predicate().count();
    let remaining = predicate_len - gone.len().min(predicate_len);
    let names = |words: &[&Word]| words.iter().all(|word| matches!(word.class, Class::Name | Class::Value));
    let is = known.verb.as_deref() == Some("be") || known.verb.as_deref() == Some("call");
    // "is in the hall", "is with the neighbours", "runs on the old machine".
    let placed = remaining == 0
        && is_locative(first.preposition)
        && is_locative(instead.preposition)
        && (first.preposition == instead.preposition || is);
    // "My manager is Karen", "my favorite color is blue".
    let identity = is
        && remaining == 0
        && !known.subject().is_empty()
        && (names(gone) && names(new) || known.is_about_writer && gone.len() == 1 && new.len() == 1);
    // "I prefer answers in English".
    let of_kind = !is
        && remaining > 0
        && first.preposition == instead.preposition
        && is_locative(first.preposition)
        && gone.len() == 1
        && new.len() == 1;
    placed || identity || of_kind
}

/// Returns whether the new text contains most of the known subject, or that subject is the writer.
fn has_similar_subject(known: &ParsedText, incoming: &ParsedText) -> bool {
    let of = known.subject();
    if of.is_empty() {
        return known.is_about_writer;
    }
    let named: Vec<&Word> = of.iter().filter(|word| word.class != Class::Verb).collect();
    let found =
        named.iter().filter(|word| incoming.words.iter().any(|other| is_same_word(word, other))).count();
    found * 2 > named.len() || named.len() == 2 && found == 1
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

/// Returns whether two texts may say the same in other words: they differ in at most one verb each.
fn is_rephrased(known: &ParsedText, incoming: &ParsedText, difference: &WordDifference) -> bool {
    let gone = difference.gone.iter().map(|at| &known.words[*at]);
    let new = difference.new.iter().map(|at| &incoming.words[*at]);
    let (gone, new): (Vec<&Word>, Vec<&Word>) = (gone.collect(), new.collect());
    if gone.iter().any(|gone| new.iter().any(|new| are_antonyms(&gone.text, &new.text))) {
        return false;
    }
    let free = |word: &&Word| matches!(word.class, Class::Verb);
    gone.iter().all(free)
        && new.iter().all(free)
        && gone.len() <= 1
        && new.len() <= 1
        && difference.shared >= 2
        || new.is_empty() && gone.iter().all(free) && gone.len() == 1
}

/// Returns whether two texts say different things about the same subject.
///
/// They must share a value, and no phrase of one may be a replacement for a phrase of the other.
fn is_same_thing(known: &ParsedText, incoming: &ParsedText, difference: &WordDifference) -> bool {
    if !has_equal_subject(known, incoming) || known.subject().is_empty() || difference.shared < 3 {
        return false;
    }
    let gone: Vec<&Word> = difference.gone.iter().map(|at| &known.words[*at]).collect();
    let new: Vec<&Word> = difference.new.iter().map(|at| &incoming.words[*at]).collect();
    if gone.is_empty() || new.is_empty() {
        return false;
    }
    let anchored = known
        .words
        .iter()
        .enumerate()
        .any(|(at, word)| word.class == Class::Value && !difference.gone.contains(&at));
    let value = |word: &&&Word| word.class == Class::Value;
    let both = gone.iter().any(|word| value(&word)) && new.iter().any(|word| value(&word));
    let first = |words: &[&Word]| words.first().and_then(|word| word.preposition);
    let exchanged = first(&gone).is_some() && first(&gone) == first(&new);
    let begins =
        |words: &[&Word]| words.first().is_some_and(|word| word.starts_phrase || word.class == Class::Verb);
    anchored && !both && !exchanged && begins(&gone) && begins(&new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relation(known: &str, incoming: &str) -> Relation {
        compare(&ParsedText::of(known), &ParsedText::of(incoming), None).0
    }

    #[test]
    fn words_alone_decide_the_relation() {
        let cases = [
            ("Service A calls service B.", "Service B calls service A.", Relation::Other),
            ("I like dark mode.", "I don’t like dark mode.", Relation::Correction),
            ("The server is up.", "the server IS up!", Relation::Same),
            ("Rehearsal starts at 20:00.", "Rehearsal starts at 8 pm.", Relation::Same),
            ("I like coffee.", "I like coffee cake.", Relation::Other),
            ("I visited Kyoto in 2019.", "I visited Kyoto in 2024.", Relation::Other),
            ("Passports expire in 2027.", "Passports expire in 2035.", Relation::Correction),
            ("Meine Schwester wohnt in Köln.", "Mein Bruder wohnt in Bonn.", Relation::Other),
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
            prop_assume!(!incoming.reports_change && !incoming.is_correction);
            prop_assert_eq!(relation(&text, &text), Relation::Same);
        }
    }
}
