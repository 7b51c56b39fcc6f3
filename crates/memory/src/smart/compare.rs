//! What a text that is told is to one that is known: the same, more of it, its correction, another part of the same
//! thing, or another thing. Contradiction is looked for before sameness.
//!
//! Vectors cannot tell "is" from "is not", nor one port from another, so the words decide and meaning only bounds
//! them. Where no rule is sure the two are two things: that loses nothing.

use super::parse::{Class, ParsedText, Word, are_antonyms, is_locative};

/// What a text is to one that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    /// It says the same.
    Same,
    /// It says all of that, and more.
    More,
    /// It says that it is, or was, otherwise.
    Correction,
    /// It tells another part of the same thing.
    Part,
    /// It is about something else.
    Other,
}

/// How a relation was seen. Each is right so often as the labelled half shows that it was calibrated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DecisionRule {
    /// The same words in another form or order.
    SameWords,
    /// Nearly the same words, and the same meaning.
    SameMeaning,
    /// All of its words, and others that add to them.
    Contained,
    /// One denies what the other says.
    Negated,
    /// The same said of the same, with another value.
    OtherValue,
    /// It tells of a change of what is known.
    Changed,
    /// Both tell of one thing that is named the same, and each something else of it.
    OneThing,
    /// None of these.
    None,
}

/// How near two texts must mean the same, by one embedder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarityThresholds {
    /// To be the same in other words,
    pub same: f32,
    /// the same thing with something changed,
    pub changed: f32,
    /// or parts of one thing.
    pub part: f32,
}

/// Compares a text with one that is known. `meaning` is the cosine of their vectors, where there are any.
pub(crate) fn compare(
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

/// Where two texts differ, as places of their words.
struct WordDifference {
    /// In what is known and not in what is told,
    gone: Vec<usize>,
    /// and the other way round.
    new: Vec<usize>,
    /// Words that both have.
    shared: usize,
}

impl WordDifference {
    fn of(known: &ParsedText, incoming: &ParsedText) -> Self {
        let mut left: Vec<Option<&Word>> = incoming.words.iter().map(Some).collect();
        let mut gone = Vec::new();
        for (at, word) in known.words.iter().enumerate() {
            match left.iter().position(|other| other.is_some_and(|other| is_same_word(word, other))) {
                Some(place) => left[place] = None,
                None => gone.push(at),
            }
        }
        let new: Vec<usize> = (0..left.len()).filter(|at| left[*at].is_some()).collect();
        let shared = known.words.len() - gone.len();
        Self { gone, new, shared }
    }

    /// Whether nothing is new but a verb, which says what was said without.
    fn is_light(&self, incoming: &ParsedText) -> bool {
        let [at] = self.new[..] else { return false };
        incoming.words[at].class == Class::Verb && !incoming.words[at].starts_phrase
    }
}

/// Whether these words begin parts of the sentence of their own, or are values: "coffee cake" is no more of "coffee".
fn is_separate_phrase(of: &ParsedText, places: &[usize]) -> bool {
    places.iter().all(|at| {
        let word = &of.words[*at];
        let begins = *at == 0 || !places.contains(&(at - 1));
        let next = of.words.get(at + 1);
        let is_counted = is_quantity(of, *at) && !places.contains(&(at + 1));
        !is_counted
            && (!begins
                || word.starts_phrase
                || matches!(word.class, Class::Value | Class::Verb)
                || next.is_some_and(|next| next.starts_phrase))
    })
}

/// Whether a text that leaves these words of a known one out says nothing else by that.
fn drops_only_phrases(known: &ParsedText, gone: &[usize]) -> bool {
    is_separate_phrase(known, gone) && gone.iter().all(|at| known.words[*at].class != Class::Value)
}

/// Whether this word tells how many of the next: "two weeks".
fn is_quantity(of: &ParsedText, at: usize) -> bool {
    let unit = of.words.get(at + 1);
    of.words[at].class == Class::Value
        && unit.is_some_and(|unit| {
            unit.class == Class::Value
                && !unit.starts_phrase
                && !unit.stem.starts_with(|c: char| c.is_ascii_digit())
        })
}

/// The same word: in one form, or in two of one root ("weigh", "weight").
fn is_same_word(a: &Word, b: &Word) -> bool {
    if a.class == Class::Value || b.class == Class::Value {
        return a.stem == b.stem;
    }
    let (short, long) = if a.stem.len() <= b.stem.len() { (&a.stem, &b.stem) } else { (&b.stem, &a.stem) };
    a.stem == b.stem || short.len() >= 5 && long.len() - short.len() <= 2 && long.starts_with(short.as_str())
}

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
    let one = |parsed: &ParsedText, places: &[usize]| matches!(places, [at] if is_quantity(parsed, *at));
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

/// Whether one part of what is said was exchanged for another of its kind.
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
    // "My manager is Karen", "my favourite colour is blue".
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

/// What both are about has words in common, or both are about their writer.
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

/// Both are about the same.
fn has_equal_subject(known: &ParsedText, incoming: &ParsedText) -> bool {
    let (a, b) = (known.subject(), incoming.subject());
    let within =
        |a: &[Word], b: &[Word]| a.iter().all(|word| b.iter().any(|other| is_same_word(word, other)));
    within(a, b) && within(b, a) && (!a.is_empty() || known.is_about_writer == incoming.is_about_writer)
}

/// Whether the words that two texts share come in the same order in both.
fn has_same_order(known: &ParsedText, incoming: &ParsedText) -> bool {
    let mut rest = incoming.words.iter();
    known.words.iter().all(|word| rest.any(|other| is_same_word(word, other)))
}

/// Whether two texts of the same words say it of each other: "A calls B", "B calls A".
fn is_swapped(known: &ParsedText, incoming: &ParsedText) -> bool {
    let acts = known.verb.is_some() && known.verb == incoming.verb && known.verb.as_deref() != Some("be");
    let (before, now) = (known.subject(), incoming.subject());
    acts && !before.is_empty()
        && before.len() == now.len()
        && !before.iter().all(|word| now.iter().any(|other| is_same_word(word, other)))
}

/// Whether two texts may be the same in other words: what cannot be said otherwise is the same in both.
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

/// Whether two texts tell of one thing, each something else: it is named the same with a value, and nothing of one
/// could take the place of something in the other.
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
