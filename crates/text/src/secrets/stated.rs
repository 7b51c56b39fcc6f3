//! Secrets that people tell in their own words: "the wifi password at mum's is …", "bank PIN …", "the code
//! for the front door is …", in the languages of `languages/*.toml`.
//!
//! A noun that names a secret is looked for first, then a value in the words around it. A value with digits
//! or signs counts after a link ("is", ":", "changed to") or right after the noun. A plain word counts only
//! where the sentence states it: in quotes, after a colon, or at the end of "… is …", and only if it is no
//! ordinary predicate. All windows have a limit, so the time is linear.

mod codes;
mod dials;
mod hints;
mod keypads;
mod language;
mod languages;
mod links;
mod logins;
mod numbers;
mod plain;
mod secret;
mod sequences;
mod shapes;
mod statement;
mod text;
mod values;
mod words;

use std::ops::Range;

use self::language::Noun;
use self::secret::StatedSecret;
use self::text::{PLACE_BYTES, StatedText, is_mark};
use self::words::SecretWord;
use super::SecretMatch;

/// The longest ending of a noun.
const ENDING_CHARS_MAX: usize = 12;
/// Adds the secrets that a text tells.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let Some(languages) = languages::languages() else { return };
    let stated = StatedText { text, lower: lower_case(text), languages };
    let mut hits: Vec<NounHit<'_>> =
        languages.nouns(&stated.lower).filter_map(|(at, nouns)| stated.hit(&at, nouns)).collect();
    // "Parola" in "parola d'ordine" is no noun of its own.
    let slogans = hits.iter().filter(|hit| hit.nouns.iter().any(|noun| noun.is_slogan));
    let slogans: Vec<Range<usize>> = slogans.map(|hit| hit.start()..hit.end()).collect();
    if !slogans.is_empty() {
        let is_part = |hit: &NounHit<'_>| {
            let after = slogans.partition_point(|at| at.end < hit.end());
            let whole = slogans.get(after).filter(|at| at.start <= hit.start());
            whole.is_some_and(|at| at.len() > hit.end() - hit.start())
        };
        hits.retain(|hit| !is_part(hit));
    }
    for index in 0..hits.len() {
        stated.add_statement(&hits, index, found);
    }
    codes::find(&stated, found);
    keypads::find(&stated, found);
    dials::find(&stated, found);
    hints::find(&stated, found);
    logins::find(&stated, found);
}

/// A word of a text that is a noun in one or more languages.
struct NounHit<'a> {
    nouns: &'a [Noun],
    /// The languages' nouns with their ranges. There is at least one.
    ranges: Vec<(&'a Noun, Range<usize>)>,
}

impl NounHit<'_> {
    fn start(&self) -> usize {
        self.ranges[0].1.start
    }

    fn end(&self) -> usize {
        self.ranges[0].1.end
    }

    /// Returns whether both may name the same kind of secret.
    fn shares_kind(&self, other: &Self) -> bool {
        self.nouns.iter().any(|one| other.nouns.iter().any(|noun| noun.kind == one.kind))
    }
}

/// Returns a text in lower case whose characters keep their length in bytes.
fn lower_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) if one.len_utf8() == c.len_utf8() => one,
            _ => c,
        }
    };
    text.chars().map(lower).collect()
}

impl<'a> StatedText<'a> {
    /// Returns the noun at a range, if it is a word of its own and not part of a program.
    fn hit(&self, at: &Range<usize>, nouns: &'a [Noun]) -> Option<NounHit<'a>> {
        let ranges = nouns.iter().filter_map(|noun| Some((noun, self.noun_range(at, noun)?)));
        let ranges: Vec<(&Noun, Range<usize>)> = ranges.collect();
        (!ranges.is_empty() && !self.is_code(at)).then_some(NounHit { nouns, ranges })
    }

    /// Returns the range of a noun with the letters that may follow it, if it is a word of its own.
    fn noun_range(&self, at: &Range<usize>, noun: &Noun) -> Option<Range<usize>> {
        let (before, after) =
            (self.lower[..at.start].chars().next_back(), self.lower[at.end..].chars().next());
        let is_letter = |c: char| c.is_alphanumeric() || c == '_';
        let is_unspaced = self.lower[at.clone()].chars().any(words::is_unspaced);
        if is_unspaced {
            return Some(at.clone());
        }
        // "DB_PASSWORD" and "&token=" are names of programs.
        let is_name =
            before.is_some_and(|c| matches!(c, '_' | '$' | '<' | '.' | '/' | '\\' | '?' | '&' | ';'));
        let is_free = before.is_none_or(|c| !is_letter(c) || words::is_unspaced(c));
        let starts = !is_name && (noun.open_start || is_free);
        let mut end = at.end;
        if noun.open_end {
            let letters = self.lower[end..].chars().take(ENDING_CHARS_MAX);
            let letters = letters.take_while(|c| c.is_alphabetic() || is_mark(*c));
            end += letters.map(char::len_utf8).sum::<usize>();
        } else if after.is_some_and(|c| is_letter(c) && !words::is_unspaced(c) && !words::is_hangul(c)) {
            return None;
        }
        // "password_hash" and "password-protected" are other words.
        let rest = &self.lower[end..];
        let joins =
            rest.starts_with('-') && rest[1..].starts_with(char::is_alphabetic) || rest.starts_with('_');
        (starts && !joins).then_some(at.start..end)
    }

    /// Returns whether the line around a range is code of a program.
    fn is_code(&self, at: &Range<usize>) -> bool {
        const SIGNS: &[&str] = &[
            "()", ");", "=>", "==", "!=", "::", "</", "/>", "&&", "||", "const ", "def ", "});", "self.",
            "=none", "elif ", "%s", "])", " += ", "*args",
        ];
        let start = self.lower.ceil_char_boundary(at.start.saturating_sub(PLACE_BYTES));
        let end = self.lower.floor_char_boundary(at.end + PLACE_BYTES);
        let start = self.lower[start..at.start].rfind('\n').map_or(start, |line| start + line + 1);
        let end = self.lower[at.end..end].find('\n').map_or(end, |line| at.end + line);
        SIGNS.iter().any(|sign| self.lower[start..end].contains(sign))
    }

    /// Adds the secrets that the words around a noun give.
    fn add_statement(&self, hits: &[NounHit<'_>], index: usize, found: &mut Vec<SecretMatch>) {
        let hit = &hits[index];
        let (start, end) = (hit.start(), hit.end());
        // What follows the next noun of the kind belongs to it, so that the time is linear.
        let mut others = hits[index + 1..].iter().skip_while(|other| other.start() < end);
        let limit =
            others.next().filter(|other| other.shares_kind(hit)).map_or(self.text.len(), NounHit::start);
        let ended = hits[..index].iter().rev().map(NounHit::end).find(|end| *end <= start);
        let before = words::before(self.text, ended.unwrap_or(0), start);
        let mut after: Option<(usize, Vec<SecretWord>)> = None;
        for (noun, at) in &hit.ranges {
            let words = match after.take() {
                Some((start, words)) if start == at.end => words,
                _ => words::between(self.text, at.end, limit),
            };
            if !words.is_empty() || !before.is_empty() {
                let at = at.clone();
                let (nouns, after, before) = (hit.nouns, words.as_slice(), before.as_slice());
                let statement = StatedSecret { stated: self, noun, nouns, at, after, before };
                let values = statement.values();
                found.extend(values.into_iter().map(|at| SecretMatch { rule: statement.rule(&at), at }));
            }
            after = Some((at.end, words));
        }
    }

    /// Returns a word without signs at its ends, in lower case.
    fn lower(&self, word: &SecretWord) -> &str {
        &self.lower[word.core.clone()]
    }

    /// Returns whether a word names something with a password or code.
    fn is_place(&self, word: &SecretWord) -> bool {
        self.languages.place(self.lower(word)).is_some()
    }
}
