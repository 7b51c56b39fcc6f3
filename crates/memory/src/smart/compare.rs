//! What a text that is told is to one that is known: the same, more of it, its correction, another part of the same
//! thing, or another thing. Contradiction is looked for before sameness.
//!
//! Vectors cannot tell "is" from "is not", nor one port from another, so the words decide and meaning only bounds
//! them. Where no rule is sure the two are two things: that loses nothing.

use super::reading::{Class, Reading, Word, opposite, places};

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
pub(crate) enum Rule {
    /// The same words in another form or order.
    SameWords,
    /// Nearly the same words, and the same meaning.
    SameMeaning,
    /// All of its words, and others that add to them.
    Contained,
    /// One denies what the other says.
    Denied,
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
pub struct Nearness {
    /// To be the same in other words,
    pub same: f32,
    /// the same thing with something changed,
    pub changed: f32,
    /// or parts of one thing.
    pub part: f32,
}

/// Compares a text with one that is known. `meaning` is the cosine of their vectors, where there are any.
pub(crate) fn compare(known: &Reading, told: &Reading, meaning: Option<(f32, Nearness)>) -> (Relation, Rule) {
    let near =
        |wanted: fn(&Nearness) -> f32| meaning.is_none_or(|(cosine, nearness)| cosine >= wanted(&nearness));
    let difference = Difference::of(known, told);
    if let Some(rule) = correction(known, told, &difference)
        && near(|nearness| nearness.changed)
    {
        return (Relation::Correction, rule);
    }
    if told.question || known.denied != told.denied || told.changing && !difference.gone.is_empty() {
        return (Relation::Other, Rule::None);
    }
    match (difference.gone.is_empty(), difference.new.is_empty()) {
        (true, true) if known.passive == told.passive && swapped(known, told) => {}
        (true, true) => return (Relation::Same, Rule::SameWords),
        (true, false) if difference.is_light(told) => return (Relation::Same, Rule::SameWords),
        (true, false)
            if in_order(known, told) && same_subject_exactly(known, told) && apart(told, &difference.new) =>
        {
            return (Relation::More, Rule::Contained);
        }
        (false, true) if in_order(told, known) && less(known, &difference.gone) => {
            return (Relation::Same, Rule::SameWords);
        }
        (false, false)
            if same_meaning(known, told, &difference)
                && meaning.is_some_and(|(cosine, nearness)| cosine >= nearness.same) =>
        {
            return (Relation::Same, Rule::SameMeaning);
        }
        (false, false) if one_thing(known, told, &difference) && near(|nearness| nearness.part) => {
            return (Relation::Part, Rule::OneThing);
        }
        _ => {}
    }
    (Relation::Other, Rule::None)
}

/// Where two texts differ, as places of their words.
struct Difference {
    /// In what is known and not in what is told,
    gone: Vec<usize>,
    /// and the other way round.
    new: Vec<usize>,
    /// Words that both have.
    shared: usize,
}

impl Difference {
    fn of(known: &Reading, told: &Reading) -> Self {
        let mut left: Vec<Option<&Word>> = told.words.iter().map(Some).collect();
        let mut gone = Vec::new();
        for (at, word) in known.words.iter().enumerate() {
            match left.iter().position(|other| other.is_some_and(|other| alike(word, other))) {
                Some(place) => left[place] = None,
                None => gone.push(at),
            }
        }
        let new: Vec<usize> = (0..left.len()).filter(|at| left[*at].is_some()).collect();
        let shared = known.words.len() - gone.len();
        Self { gone, new, shared }
    }

    /// Whether nothing is new but a verb, which says what was said without.
    fn is_light(&self, told: &Reading) -> bool {
        let [at] = self.new[..] else { return false };
        told.words[at].class == Class::Verb && !told.words[at].parted
    }
}

/// Whether these words begin parts of the sentence of their own, or are values: "coffee cake" is no more of "coffee".
fn apart(of: &Reading, places: &[usize]) -> bool {
    places.iter().all(|at| {
        let word = &of.words[*at];
        let begins = *at == 0 || !places.contains(&(at - 1));
        let next = of.words.get(at + 1);
        let counts = counts(of, *at) && !places.contains(&(at + 1));
        !counts
            && (!begins
                || word.parted
                || matches!(word.class, Class::Value | Class::Verb)
                || next.is_some_and(|next| next.parted))
    })
}

/// Whether a text that leaves these words of a known one out says nothing else by that.
fn less(known: &Reading, gone: &[usize]) -> bool {
    apart(known, gone) && gone.iter().all(|at| known.words[*at].class != Class::Value)
}

/// Whether this word tells how many of the next: "two weeks".
fn counts(of: &Reading, at: usize) -> bool {
    let unit = of.words.get(at + 1);
    of.words[at].class == Class::Value
        && unit.is_some_and(|unit| {
            unit.class == Class::Value && !unit.parted && !unit.stem.starts_with(|c: char| c.is_ascii_digit())
        })
}

/// The same word: in one form, or in two of one root ("weigh", "weight").
fn alike(a: &Word, b: &Word) -> bool {
    if a.class == Class::Value || b.class == Class::Value {
        return a.stem == b.stem;
    }
    let (short, long) = if a.stem.len() <= b.stem.len() { (&a.stem, &b.stem) } else { (&b.stem, &a.stem) };
    a.stem == b.stem || short.len() >= 5 && long.len() - short.len() <= 2 && long.starts_with(short.as_str())
}

fn correction(known: &Reading, told: &Reading, difference: &Difference) -> Option<Rule> {
    if told.question || difference.shared == 0 {
        return None;
    }
    let gone: Vec<&Word> = difference.gone.iter().map(|at| &known.words[*at]).collect();
    let new: Vec<&Word> = difference.new.iter().map(|at| &told.words[*at]).collect();
    if known.denied != told.denied && gone.iter().all(|word| word.class == Class::Verb) {
        return Some(Rule::Denied);
    }
    let share = difference.shared as f32 / known.words.len().max(1) as f32;
    // "Balu, not Bruno".
    let instead = told.words.iter().any(|word| {
        word.denied
            && word.class != Class::Verb
            && known.words.iter().any(|other| !other.denied && alike(word, other))
    });
    let ended = told.changing && new.is_empty() && told.words.len() <= 2;
    if (told.changing || told.correcting || instead) && (share >= 0.5 || ended) && same_subject(known, told) {
        return Some(Rule::Changed);
    }
    let one = |reading: &Reading, places: &[usize]| matches!(places, [at] if counts(reading, *at));
    let fits = known.holds() && !known.happened && known.verb == told.verb;
    if fits
        && (new.is_empty() && one(known, &difference.gone) || gone.is_empty() && one(told, &difference.new))
    {
        return Some(Rule::OtherValue);
    }
    if known.denied != told.denied || gone.is_empty() || new.is_empty() || !same_subject_exactly(known, told)
    {
        return None;
    }
    if gone.len() == 1 && new.iter().any(|new| opposite(&gone[0].text, &new.text)) {
        return Some(Rule::OtherValue);
    }
    if known.happened || told.happened && !told.changing {
        return None;
    }
    let verbs = known.verb == told.verb || known.verb.is_none() || told.verb.is_none();
    let value = |words: &[&Word]| words.iter().all(|word| word.class == Class::Value);
    if verbs && value(&gone) && value(&new) && !known.gathers() {
        return Some(Rule::OtherValue);
    }
    if known.verb != told.verb || !known.holds() {
        return None;
    }
    other_place(known, &gone, &new).then_some(Rule::OtherValue)
}

/// Whether one part of what is said was exchanged for another of its kind.
fn other_place(known: &Reading, gone: &[&Word], new: &[&Word]) -> bool {
    let (Some(first), Some(instead)) = (gone.first(), new.first()) else { return false };
    let said = known.said().count();
    let kept = said - gone.len().min(said);
    let names = |words: &[&Word]| words.iter().all(|word| matches!(word.class, Class::Name | Class::Value));
    let is = known.verb.as_deref() == Some("be") || known.verb.as_deref() == Some("call");
    // "is in the hall", "is with the neighbours", "runs on the old machine".
    let placed =
        kept == 0 && places(first.behind) && places(instead.behind) && (first.behind == instead.behind || is);
    // "My manager is Karen", "my favourite colour is blue".
    let identity = is
        && kept == 0
        && !known.subject().is_empty()
        && (names(gone) && names(new) || known.own && gone.len() == 1 && new.len() == 1);
    // "I prefer answers in English".
    let of_kind = !is
        && kept > 0
        && first.behind == instead.behind
        && places(first.behind)
        && gone.len() == 1
        && new.len() == 1;
    placed || identity || of_kind
}

/// What both are about has words in common, or both are about their writer.
fn same_subject(known: &Reading, told: &Reading) -> bool {
    let of = known.subject();
    if of.is_empty() {
        return known.own;
    }
    let named: Vec<&Word> = of.iter().filter(|word| word.class != Class::Verb).collect();
    let found = named.iter().filter(|word| told.words.iter().any(|other| alike(word, other))).count();
    found * 2 > named.len() || named.len() == 2 && found == 1
}

/// Both are about the same.
fn same_subject_exactly(known: &Reading, told: &Reading) -> bool {
    let (a, b) = (known.subject(), told.subject());
    let within = |a: &[Word], b: &[Word]| a.iter().all(|word| b.iter().any(|other| alike(word, other)));
    within(a, b) && within(b, a) && (!a.is_empty() || known.own == told.own)
}

/// Whether the words that two texts share come in the same order in both.
fn in_order(known: &Reading, told: &Reading) -> bool {
    let mut rest = told.words.iter();
    known.words.iter().all(|word| rest.any(|other| alike(word, other)))
}

/// Whether two texts of the same words say it of each other: "A calls B", "B calls A".
fn swapped(known: &Reading, told: &Reading) -> bool {
    let acts = known.verb.is_some() && known.verb == told.verb && known.verb.as_deref() != Some("be");
    let (before, now) = (known.subject(), told.subject());
    acts && !before.is_empty()
        && before.len() == now.len()
        && !before.iter().all(|word| now.iter().any(|other| alike(word, other)))
}

/// Whether two texts may be the same in other words: what cannot be said otherwise is the same in both.
fn same_meaning(known: &Reading, told: &Reading, difference: &Difference) -> bool {
    let gone = difference.gone.iter().map(|at| &known.words[*at]);
    let new = difference.new.iter().map(|at| &told.words[*at]);
    let (gone, new): (Vec<&Word>, Vec<&Word>) = (gone.collect(), new.collect());
    if gone.iter().any(|gone| new.iter().any(|new| opposite(&gone.text, &new.text))) {
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
fn one_thing(known: &Reading, told: &Reading, difference: &Difference) -> bool {
    if !same_subject_exactly(known, told) || known.subject().is_empty() || difference.shared < 3 {
        return false;
    }
    let gone: Vec<&Word> = difference.gone.iter().map(|at| &known.words[*at]).collect();
    let new: Vec<&Word> = difference.new.iter().map(|at| &told.words[*at]).collect();
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
    let first = |words: &[&Word]| words.first().and_then(|word| word.behind);
    let exchanged = first(&gone).is_some() && first(&gone) == first(&new);
    let begins = |words: &[&Word]| words.first().is_some_and(|word| word.parted || word.class == Class::Verb);
    anchored && !both && !exchanged && begins(&gone) && begins(&new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relation(known: &str, told: &str) -> Relation {
        compare(&Reading::of(known), &Reading::of(told), None).0
    }

    #[test]
    fn what_words_alone_can_tell() {
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
        for (known, told, expected) in cases {
            assert_eq!(relation(known, told), expected, "{known} | {told}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_compared(known in "\\PC{0,80}", told in "\\PC{0,80}") {
            relation(&known, &told);
        }

        #[test]
        fn words_in_any_case_say_the_same(words in proptest::collection::vec("[a-z]{2,9}", 1..9)) {
            let text = words.join(" ");
            let told = Reading::of(&text);
            prop_assume!(!told.changing && !told.correcting);
            prop_assert_eq!(relation(&text, &text), Relation::Same);
        }
    }
}
