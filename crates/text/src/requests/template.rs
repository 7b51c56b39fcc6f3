//! The notation of the phrases in `languages/*.toml`.
//!
//! | written | means |
//! |---|---|
//! | a blank | blanks, a comma, a colon or a dash; in languages without blanks also nothing |
//! | `[please]` | may be missing |
//! | `(keep\|bear)` | one of these |
//! | `forget,` | a comma, a colon or a dash must follow |
//! | `want*` | any word that begins so |
//! | `…` | the text of the request |
//! | `<my …>` | the text of the request, with the word "my" |
//!
//! Phrases are in lower case. A straight apostrophe also matches a curly one. A hyphen may be missing.

mod matcher;

pub(super) use self::matcher::Matcher;

/// A piece of a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Atom {
    Literal(String),
    /// The rest of a word.
    AnyEnd,
    /// A comma, a colon or a dash.
    Pause,
    /// Some text.
    Text,
    Optional(Vec<Phrase>),
    OneOf(Vec<Phrase>),
    /// The text of the request, with words that belong to it.
    Capture(Phrase),
}

/// A phrase: items that blanks separate. An item is one or more atoms without a blank between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Phrase {
    items: Vec<Vec<Atom>>,
    /// The first letters of all matches. `None` if a match may start with any letter, and within a phrase.
    first_letters: Option<String>,
}

impl Phrase {
    /// Parses a phrase. Returns `None` if a bracket is not closed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim().chars().peekable();
        let mut phrase = parse_phrase(&mut rest, None)?;
        phrase.first_letters = phrase.find_first_letters();
        (rest.next().is_none() && !phrase.items.is_empty()).then_some(phrase)
    }

    /// Returns the first letters of all matches. `None` if a match may start with any letter.
    pub(super) fn first_letters(&self) -> Option<&str> {
        self.first_letters.as_deref()
    }

    /// Returns whether a match may start with a letter.
    fn may_start_with(&self, letter: Option<char>) -> bool {
        let Some(first) = &self.first_letters else { return true };
        letter.is_some_and(|letter| first.contains(letter))
    }

    fn find_first_letters(&self) -> Option<String> {
        let mut letters = String::new();
        for atom in self.items.iter().flatten() {
            match atom {
                Atom::Literal(text) if text.starts_with(['\'', '-']) => return None,
                Atom::Literal(text) => letters.extend(text.chars().next()),
                Atom::Optional(choices) | Atom::OneOf(choices) => {
                    for choice in choices {
                        letters += &choice.find_first_letters()?;
                    }
                }
                Atom::Capture(phrase) => letters += &phrase.find_first_letters()?,
                Atom::AnyEnd | Atom::Pause | Atom::Text => return None,
            }
            if !matches!(atom, Atom::Optional(_)) {
                return Some(letters);
            }
        }
        // A phrase of which everything may be missing.
        None
    }

    /// Returns whether the text of the request ends the phrase.
    pub(super) fn ends_with_text(&self) -> bool {
        match self.items.last().and_then(|item| item.last()) {
            Some(Atom::Text) => true,
            Some(Atom::Capture(phrase)) => phrase.ends_with_text(),
            _ => false,
        }
    }

    /// Returns words of which every match contains at least one. Empty if there are none. An asterisk at the
    /// start or end of a word stands for any letters.
    pub(super) fn keywords(&self) -> Vec<String> {
        let shortest =
            |words: &Vec<String>| words.iter().map(|word| word.trim_matches('*').chars().count()).min();
        let of_atom = |(item, at): (&Vec<Atom>, usize)| {
            let is_open = |word: String| {
                let start = if at > 0 { "*" } else { "" };
                let end = if at + 1 < item.len() { "*" } else { "" };
                format!("{start}{word}{end}")
            };
            item[at].keywords().into_iter().map(is_open).collect::<Vec<_>>()
        };
        let atoms = self.items.iter().flat_map(|item| (0..item.len()).map(move |at| (item, at)));
        let found = atoms.map(of_atom).filter(|words| !words.is_empty());
        found.max_by_key(shortest).unwrap_or_default()
    }

    /// Returns each text that the phrase stands for, with blanks between words. An asterisk stays, at the start
    /// or end of a text.
    pub(super) fn expand(&self) -> Vec<String> {
        let mut texts = vec![String::new()];
        for item in &self.items {
            let nexts = expand_item(item);
            let join = |text: &String, next: &String| {
                let blank = if text.is_empty() || next.is_empty() { "" } else { " " };
                format!("{text}{blank}{next}")
            };
            texts = texts.iter().flat_map(|text| nexts.iter().map(move |next| join(text, next))).collect();
        }
        texts
    }
}

impl Atom {
    fn keywords(&self) -> Vec<String> {
        match self {
            Self::Literal(text) if text.contains(['\'', '-']) => {
                // An apostrophe or a hyphen may be missing.
                let longest = text.split(['\'', '-']).max_by_key(|part| part.chars().count());
                longest.filter(|part| !part.is_empty()).map(|part| format!("*{part}*")).into_iter().collect()
            }
            Self::Literal(text) => vec![text.clone()],
            Self::OneOf(phrases) => {
                let each: Vec<Vec<String>> = phrases.iter().map(Phrase::keywords).collect();
                if each.iter().any(Vec::is_empty) { Vec::new() } else { each.concat() }
            }
            Self::Capture(phrase) => phrase.keywords(),
            Self::AnyEnd | Self::Pause | Self::Text | Self::Optional(_) => Vec::new(),
        }
    }
}

/// Returns whether a choice stands for any word.
fn is_any_word(choices: &[Phrase]) -> bool {
    matches!(choices, [Phrase { items, .. }] if matches!(items.as_slice(), [item] if item.as_slice() == [Atom::AnyEnd]))
}

fn expand_item(item: &[Atom]) -> Vec<String> {
    let mut texts = vec![String::new()];
    for atom in item {
        let nexts: Vec<String> = match atom {
            Atom::Literal(text) => vec![text.clone()],
            Atom::AnyEnd => vec!["*".into()],
            Atom::OneOf(phrases) => phrases.iter().flat_map(Phrase::expand).collect(),
            Atom::Optional(phrases) => {
                phrases.iter().flat_map(Phrase::expand).chain([String::new()]).collect()
            }
            Atom::Capture(phrase) => phrase.expand(),
            Atom::Pause | Atom::Text => Vec::new(),
        };
        texts = texts.iter().flat_map(|text| nexts.iter().map(move |next| format!("{text}{next}"))).collect();
    }
    texts
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn parse_phrase(rest: &mut Letters<'_>, end: Option<char>) -> Option<Phrase> {
    let mut phrase = Phrase::default();
    let mut item: Vec<Atom> = Vec::new();
    loop {
        let next = rest.peek().copied();
        match next {
            None if end.is_some() => return None,
            None => break,
            Some(letter) if Some(letter) == end || (letter == '|' && end.is_some()) => break,
            Some(letter) => {
                rest.next();
                match letter {
                    ' ' => phrase.push(&mut item),
                    '(' => item.push(Atom::OneOf(parse_choices(rest, ')')?)),
                    '[' => item.push(Atom::Optional(parse_choices(rest, ']')?)),
                    '<' => {
                        item.push(Atom::Capture(parse_phrase(rest, Some('>'))?));
                        rest.next();
                    }
                    '…' => item.push(Atom::Text),
                    '*' => item.push(Atom::AnyEnd),
                    ',' => {
                        phrase.push(&mut item);
                        phrase.items.push(vec![Atom::Pause]);
                    }
                    ')' | ']' | '>' => return None,
                    _ => match item.last_mut() {
                        Some(Atom::Literal(text)) => text.push(letter),
                        _ => item.push(Atom::Literal(letter.into())),
                    },
                }
            }
        }
    }
    phrase.push(&mut item);
    Some(phrase)
}

fn parse_choices(rest: &mut Letters<'_>, end: char) -> Option<Vec<Phrase>> {
    let mut choices = Vec::new();
    loop {
        choices.push(parse_phrase(rest, Some(end))?);
        if rest.next()? == end {
            return Some(choices);
        }
    }
}

impl Phrase {
    fn push(&mut self, item: &mut Vec<Atom>) {
        if !item.is_empty() {
            self.items.push(std::mem::take(item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures<'t>(phrase: &str, text: &'t str) -> Option<Vec<&'t str>> {
        let matcher = Matcher::new(text, true);
        let found = matcher.search(&Phrase::parse(phrase).unwrap(), 0, &mut |end| end == text.len());
        found.then(|| matcher.captures().into_iter().map(|at| &text[at]).collect())
    }

    #[test]
    fn a_phrase_captures_the_text_of_a_request() {
        let phrase = "(keep|bear) in mind [for me] [that] …";
        assert_eq!(captures(phrase, "keep in mind, i'm late").unwrap(), ["i'm late"]);
        assert_eq!(captures(phrase, "bear in mind for me that i'm late").unwrap(), ["i'm late"]);
        assert_eq!(captures(phrase, "keep mind i'm late"), None);
    }

    #[test]
    fn a_marked_word_belongs_to_the_captured_text() {
        let phrase = "(change|set) <my …> to <…>";
        assert_eq!(captures(phrase, "change my address to rua 5").unwrap(), ["my address", "rua 5"]);
        assert_eq!(captures(phrase, "change the font to arial"), None);
    }

    #[test]
    fn a_comma_in_a_phrase_needs_a_pause() {
        assert_eq!(captures("don't forget, …", "don't forget, it's late").unwrap(), ["it's late"]);
        assert_eq!(captures("don't forget, …", "don't forget to call"), None);
        assert_eq!(captures("that is old [now], …", "that is old, it's new").unwrap(), ["it's new"]);
        assert_eq!(captures("that is old [now], …", "that is old now: it's new").unwrap(), ["it's new"]);
    }

    #[test]
    fn every_match_contains_a_keyword() {
        let phrase = Phrase::parse("[please] (keep|bear) in mind [that] …").unwrap();
        assert_eq!(phrase.keywords(), ["mind"]);
        assert_eq!(Phrase::parse("(keep|bear) …").unwrap().keywords(), ["keep", "bear"]);
        assert_eq!(Phrase::parse("don't …").unwrap().keywords(), ["*don*"]);
        assert_eq!(Phrase::parse("want* …").unwrap().keywords(), ["want*"]);
    }

    #[test]
    fn a_word_list_expands_to_all_its_texts() {
        let texts = Phrase::parse("(would|i'd) [really] like").unwrap().expand();
        assert_eq!(texts, ["would really like", "would like", "i'd really like", "i'd like"]);
        assert_eq!(Phrase::parse("träum*").unwrap().expand(), ["träum*"]);
    }

    #[test]
    fn an_open_bracket_is_an_error() {
        assert_eq!(Phrase::parse("(keep|bear"), None);
        assert_eq!(Phrase::parse("keep)"), None);
    }
}
