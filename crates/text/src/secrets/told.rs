//! Secrets that people tell in their own words: "the wifi password at mum's is …", "bank PIN …", "the code for
//! the front door is …", in the languages of `languages/*.toml`.
//!
//! A noun that names a secret is looked for first, then a value in the words around it. A value with digits
//! or signs counts after a link ("is", ":", "changed to") or right after the noun. A plain word counts only
//! where the sentence states it: in quotes, after a colon, or at the end of "… is …", and only if it is no
//! ordinary predicate. All windows have a limit, so the time is linear.

mod codes;
mod hints;
mod language;
mod logins;
mod numbers;
mod values;
mod words;

use std::ops::Range;

use self::language::{Kind, Language, Languages, Noun, Role};
use self::values::{Link, code_value, plain_value, recovery_code, shaped_value};
use self::words::Word;
use super::SecretMatch;

/// Words between a noun and a link.
const LINK_WORDS_MAX: usize = 18;
/// Words of a sentence in which a password may be spelled.
const SPELLED_WORDS_MAX: usize = 16;
/// Recovery codes in a list.
const CODES_MAX: usize = 40;
/// Words after "pin" as a verb.
const VERB_OBJECTS: &[&str] = &["the", "this", "that", "it", "a", "an", "these", "those", "them"];
/// Bytes around a noun in which a place is looked for.
const PLACE_BYTES: usize = 120;

/// A text with the same text in lower case, byte for byte.
pub(super) struct Told<'a> {
    text: &'a str,
    lower: String,
    languages: &'a Languages,
}

/// Adds the secrets that a text tells.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let Some(languages) = language::languages() else { return };
    let told = Told { text, lower: lower_case(text), languages };
    let mut last_noun = 0;
    let mut windows: Option<(usize, Vec<Word>, Vec<Word>)> = None;
    for (at, nouns) in languages.nouns(&told.lower) {
        if told.is_code(&at) {
            continue;
        }
        for noun in nouns {
            let Some(at) = told.noun_range(&at, noun) else { continue };
            if windows.as_ref().is_none_or(|(end, ..)| *end != at.end) {
                let before = words::before(text, at.start);
                windows = Some((at.end, words::after(text, at.end), before));
            }
            let Some((_, after, before)) = &windows else { continue };
            let statement = Statement { told: &told, noun, nouns, at: at.clone(), after, before };
            last_noun = last_noun.max(at.end);
            for value in statement.values() {
                found.push(SecretMatch { rule: statement.rule(&value), at: value });
            }
        }
    }
    codes::find(&told, found);
    hints::find(&told, found);
    logins::find(&told, found);
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

impl Told<'_> {
    /// Returns the range of a noun with the letters that may follow it, if it is a word of its own.
    fn noun_range(&self, at: &Range<usize>, noun: &Noun) -> Option<Range<usize>> {
        let (before, after) = (self.lower[..at.start].chars().next_back(), self.lower[at.end..].chars().next());
        let is_letter = |c: char| c.is_alphanumeric() || c == '_';
        let is_unspaced = self.lower[at.clone()].chars().any(words::is_unspaced);
        if is_unspaced {
            return Some(at.clone());
        }
        // "DB_PASSWORD" and "&token=" are names of programs.
        let is_name = before.is_some_and(|c| matches!(c, '_' | '$' | '<' | '.' | '/' | '\\' | '?' | '&' | ';'));
        let starts = !is_name && noun.open_start || !is_name && before.is_none_or(|c| !is_letter(c) || words::is_unspaced(c));
        let mut end = at.end;
        if noun.open_end {
            end += self.lower[end..].chars().take(12).take_while(|c| c.is_alphabetic() || is_mark(*c)).map(char::len_utf8).sum::<usize>();
        } else if after.is_some_and(|c| is_letter(c) && !words::is_unspaced(c) && !words::is_hangul(c)) {
            return None;
        }
        // "password_hash" and "password-protected" are other words.
        let rest = &self.lower[end..];
        let joins = rest.starts_with('-') && rest[1..].starts_with(char::is_alphabetic) || rest.starts_with('_');
        (starts && !joins).then_some(at.start..end)
    }

    /// Returns whether the line around a range is code of a program.
    fn is_code(&self, at: &Range<usize>) -> bool {
        const SIGNS: &[&str] = &["()", ");", "=>", "==", "!=", "::", "</", "/>", "&&", "||", "const ", "def ", "});", "self.", "=none", "elif ", "%s", "])", " += ", "*args"];
        let start = self.lower.ceil_char_boundary(at.start.saturating_sub(PLACE_BYTES));
        let end = self.lower.floor_char_boundary(at.end + PLACE_BYTES);
        let start = self.lower[start..at.start].rfind('\n').map_or(start, |line| start + line + 1);
        let end = self.lower[at.end..end].find('\n').map_or(end, |line| at.end + line);
        SIGNS.iter().any(|sign| self.lower[start..end].contains(sign))
    }

    fn lower(&self, word: &Word) -> &str {
        &self.lower[word.core.clone()]
    }
}

/// Returns whether a character is a vowel sign or another mark that continues a word.
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{97f}' | '\u{e31}'..='\u{e4e}')
}

/// A noun that names a secret, with the words around it.
struct Statement<'a> {
    told: &'a Told<'a>,
    noun: &'a Noun,
    /// The same noun in all languages that have it.
    nouns: &'a [Noun],
    at: Range<usize>,
    after: &'a [Word],
    /// The last word first.
    before: &'a [Word],
}

impl Statement<'_> {
    fn language(&self) -> &Language {
        &self.told.languages.all[self.noun.language]
    }

    /// Returns the role of a word.
    fn role(&self, word: &Word) -> Role {
        if word.is_quoted || word.is_sign { Role::default() } else { self.language().role(self.told.lower(word)) }
    }

    /// Returns whether a word has a role in any language that has the noun.
    fn is_in_any(&self, word: &Word, role: Role) -> bool {
        let lower = self.told.lower(word);
        !word.is_quoted && self.languages().any(|language| language.role(lower).is(role))
    }

    /// Iterates over the languages that have the noun.
    fn languages(&self) -> impl Iterator<Item = &Language> {
        self.nouns.iter().map(|noun| &self.told.languages.all[noun.language])
    }

    /// Returns whether a word in lower case is an ordinary predicate in any language that has the noun.
    fn is_ordinary(&self, lower: &str) -> bool {
        // The first language is English, whose endings are unmistakable.
        let english = self.languages().next().filter(|_| self.nouns.first().is_some_and(|noun| noun.language == 0));
        let ends = |language: &Language| language.has_ordinary_ending(lower);
        ends(self.language()) || english.is_some_and(ends) || self.languages().any(|language| language.is_ordinary(lower))
    }

    /// Returns the role of the phrase that starts at an index of the words after the noun, and its number of
    /// words. The longest phrase decides.
    fn phrase(&self, at: usize) -> (Role, usize) {
        for len in [3, 2] {
            let Some(words) = self.after.get(at..at + len) else { continue };
            let within = &words[..len - 1];
            if within.iter().any(|word| word.has_colon || word.ends_clause || word.ends_sentence || word.is_quoted) {
                continue;
            }
            let role = self.language().role(&self.told.lower[words[0].core.start..words[len - 1].core.end]);
            if role != Role::default() {
                return (role, len);
            }
        }
        (self.after.get(at).map(|word| self.role(word)).unwrap_or_default(), 1)
    }

    /// Returns the ranges of the secrets that the statement gives.
    fn values(&self) -> Vec<Range<usize>> {
        let compares = self.before.iter().take(3).any(|word| self.is_in_any(word, Role::TALK));
        // "Pin the poster" is no PIN.
        let is_verb = self.noun.kind == Kind::Pin
            && self.after.first().is_some_and(|word| VERB_OBJECTS.contains(&self.told.lower(word)));
        if compares || is_verb || self.noun.kind == Kind::Code && self.is_other_code() {
            return Vec::new();
        }
        let mut values: Vec<Range<usize>> = self.unspaced_number().into_iter().collect();
        if values.is_empty() {
            values = self.values_after();
        }
        if values.is_empty() && !self.noun.is_strict {
            values.extend(self.value_before());
        }
        values.retain(|value| !value.is_empty() && !super::values::is_placeholder(&self.told.text[value.clone()]));
        values
    }

    /// Returns whether a word before or after "code" makes it another one: "zip code", "code review".
    fn is_other_code(&self) -> bool {
        let mut nearby = self.before.iter().take(2).chain(self.after.first().filter(|word| !word.has_colon));
        nearby.any(|word| self.told.languages.is_any(self.told.lower(word), Role::OTHER_CODE))
    }

    /// Looks for values after the noun.
    fn values_after(&self) -> Vec<Range<usize>> {
        let mut link = self.first_link();
        let changed = self.is_changed();
        let (mut in_context, mut at) = (false, 0);
        // Whether only "for", "of" and what the secret opens stand after the noun, and one word for its owner.
        let mut owners_left = if link == Link::Adjacent { Some(1_u8) } else { None };
        while at < self.after.len().min(LINK_WORDS_MAX) {
            let word = &self.after[at];
            let before = at.checked_sub(1).map(|before| &self.after[before]);
            let (role, len) = self.phrase(at);
            let last = &self.after[at + len - 1];
            let is_link = role.is(Role::LINK.or(Role::STRONG_LINK).or(Role::FILLER)) || word.is_sign;
            let ended = before.is_some_and(|before| before.ends_sentence && !self.is_question(before));
            if ended && !is_link && link < Link::Weak
                || word.starts_line && link < Link::Strong && (at > 0 || self.noun.is_strict || !word.ends_sentence)
            {
                break;
            }
            // A new clause may give the value: "I changed the password, hunter2 now".
            if before.is_some_and(|before| before.ends_clause) && link < Link::Clause && !self.noun.is_strict {
                link = Link::Clause;
                in_context = false;
            }
            // A space ends a clause in a script that is written without spaces.
            let is_unspaced = |at: usize| self.told.text[at..].starts_with(words::is_unspaced);
            if link == Link::None && before.is_some_and(|before| is_unspaced(before.core.start)) && is_unspaced(self.at.start) {
                link = Link::Clause;
            }
            if word.is_sign {
                link = if word.has_colon { Link::Strong } else { link.max(Link::Dash) };
                at += 1;
                continue;
            }
            let after_preposition = before.is_some_and(|before| self.role(before).is(Role::PREPOSITION));
            let is_blocked = link == Link::None || in_context && link < Link::Dash || after_preposition && link <= Link::Loose && link != Link::Adjacent;
            let can_be_value = word.is_quoted || !is_link && !role.is(Role::PREPOSITION);
            if can_be_value && !is_blocked && let Some(value) = self.value_at(at, link) {
                return self.with_list(value);
            }
            in_context |= role.is(Role::PREPOSITION) && link < Link::Weak;
            link = self.next_link(role, at, link, changed);
            owners_left = self.owners_left(owners_left, role, word);
            if owners_left.is_some() && link == Link::None && self.opens_before(at) {
                (link, in_context) = (Link::Adjacent, false);
            }
            in_context &= link < Link::Weak;
            if last.has_colon && !word.is_quoted {
                link = Link::Strong;
                in_context = false;
            }
            at += len;
        }
        Vec::new()
    }

    /// Returns the link right after the noun. A noun with other meanings needs one, unless it is about a network.
    fn first_link(&self) -> Link {
        let is_network = self.noun.is_strict
            && self.noun.kind == Kind::Key
            && self.before.iter().any(|word| self.told.languages.place(self.told.lower(word)) == Some("wifi"));
        if self.noun.is_strict && !is_network { Link::None } else { Link::Adjacent }
    }

    /// Returns how many words for an owner may still stand between the noun and its value, or `None` if another
    /// word stood there.
    fn owners_left(&self, before: Option<u8>, role: Role, word: &Word) -> Option<u8> {
        let is_context = role.is(Role::PREPOSITION.or(Role::FUNCTION).or(Role::FILLER))
            || self.told.languages.place(self.told.lower(word)).is_some();
        let is_owner = !is_context && role == Role::default() && !word.ends_sentence;
        match before {
            Some(left) if is_context => Some(left),
            Some(left) if is_owner => left.checked_sub(1),
            _ => None,
        }
    }

    /// Returns whether the words up to an index name what the secret opens, and the last of them is no
    /// preposition.
    fn opens_before(&self, at: usize) -> bool {
        let is_place = |word: &Word| self.told.languages.place(self.told.lower(word)).is_some();
        self.after[..=at].iter().any(is_place) && !self.role(&self.after[at]).is(Role::PREPOSITION)
    }

    /// Returns whether a question mark follows a word: its answer may follow.
    fn is_question(&self, word: &Word) -> bool {
        self.told.text[word.core.end..].trim_start_matches([' ', '"', ')']).starts_with(['?', '？'])
    }

    /// Returns whether the sentence says that the secret was changed or set.
    fn is_changed(&self) -> bool {
        let end = self.after.iter().take(12).position(|word| word.ends_sentence).map_or(12, |end| end + 1);
        let words = self.before.iter().take(6).chain(self.after.iter().take(end));
        words.into_iter().any(|word| self.role(word).is(Role::CHANGE))
    }

    /// Returns the link after the word or phrase at an index.
    fn next_link(&self, role: Role, at: usize, link: Link, changed: bool) -> Link {
        let word = &self.after[at];
        if role.is(Role::STRONG_LINK) {
            Link::Strong
        } else if role.is(Role::LINK) || self.unspaced_link(word) || changed && role.is(Role::INTO) {
            // "password's" may be a possessive.
            let is_short = at == 0 && matches!(self.told.lower(word), "s") && word.value.start <= self.at.end + 3;
            if is_short { Link::Possessive } else { Link::Weak }
        } else if role.is(Role::FILLER) {
            // "pin the poster" is no PIN.
            if link == Link::Adjacent && role.is(Role::FUNCTION) { Link::None } else { link }
        } else if link >= Link::Loose {
            Link::Loose
        } else if link == Link::Clause {
            Link::Clause
        } else if link == Link::Adjacent && self.told.languages.place(self.told.lower(word)).is_some() {
            Link::Adjacent
        } else {
            Link::None
        }
    }

    /// Returns whether a word after the first spells a sign of a password: "and then an exclamation mark".
    fn spells(&self, words: &[Word]) -> bool {
        let end = words.iter().take(SPELLED_WORDS_MAX).position(|word| word.ends_sentence);
        let words = &words[..end.map_or(SPELLED_WORDS_MAX, |end| end + 1).min(words.len())];
        words.iter().any(|word| self.role(word).is(Role::SPELLING))
    }

    /// Returns the range of a password that is spelled in words: "capital k, x nine, exclamation mark".
    fn spelled(&self, words: &[Word]) -> Option<Range<usize>> {
        let end = words.iter().take(SPELLED_WORDS_MAX).position(|word| word.ends_sentence)? + 1;
        let words = &words[..end];
        let count = words.iter().filter(|word| self.role(word).is(Role::SPELLING)).count();
        let numbers = words.iter().filter(|word| self.told.languages.number(self.told.lower(word)) != 0).count();
        let last = words.iter().rposition(|word| self.role(word).is(Role::SPELLING))?;
        let is_spelled = count >= 2 || count == 1 && numbers >= 2;
        is_spelled.then(|| words[0].value.start..words[last.max(words.len() - 1)].value.end)
    }

    /// Returns whether a word of a script without spaces ends with a link: "的" "是".
    fn unspaced_link(&self, word: &Word) -> bool {
        let lower = self.told.lower(word);
        let denies = |one: &String| one.chars().count() > 1 && lower.contains(one.as_str());
        !word.is_quoted
            && self.language().suffix_links.iter().any(|link| lower.ends_with(link.as_str()))
            && !self.language().suffix_ordinary.iter().any(denies)
    }

    /// Returns the range of a number in characters right after a link, in a script without spaces: "是四八二九".
    fn unspaced_number(&self) -> Option<Range<usize>> {
        let word = self.after.first().filter(|word| !word.is_quoted && word.core.start == self.at.end)?;
        let lower = self.told.lower(word);
        let link = self.language().suffix_links.iter().find(|link| lower.starts_with(link.as_str()))?;
        let rest = &lower[link.len()..];
        let is_number = |c: &char| self.told.languages.number(c.encode_utf8(&mut [0; 4])) != 0;
        let run: Vec<char> = rest.chars().take_while(is_number).collect();
        let start = word.core.start + link.len();
        let len: usize = run.iter().map(|c| c.len_utf8()).sum();
        (run.len() >= 4 && !self.noun.is_strict).then_some(start..start + len)
    }

    /// Returns the value at an index of the words after the noun, if it is one after such a link.
    fn value_at(&self, at: usize, link: Link) -> Option<Range<usize>> {
        let words = &self.after[at..];
        if let Some(value) = code_value(self, words, link) {
            return Some(value);
        }
        let after_article = at > 0 && {
            let role = self.role(&self.after[at - 1]);
            role.is(Role::FILLER) && role.is(Role::FUNCTION) && !role.is(Role::LINK)
        };
        // "The password of the month is the patience" gives none.
        let plain = || if after_article && !words[0].is_quoted { None } else { plain_value(self, words, link) };
        shaped_value(self, words, link).or_else(plain)
    }

    /// Adds the codes that follow in a list: "…, … and …", one a line.
    fn with_list(&self, first: Range<usize>) -> Vec<Range<usize>> {
        if self.noun.kind != Kind::Recovery {
            return vec![first];
        }
        let chars = |at: &Range<usize>| at.len();
        let mut all = vec![first.clone()];
        let mut next = first.end;
        for _ in 0..CODES_MAX {
            let words = words::after(self.told.text, next);
            // "and", a comma or a number of a list may stand between.
            let is_short = |word: &&Word| word.is_sign || word.core.len() <= 4 && word.core.len() * 2 < chars(&first);
            let skip = words.iter().take(2).take_while(is_short).count();
            let code = recovery_code(self.told, words.get(skip..).unwrap_or_default());
            let Some(code) = code.filter(|code| chars(code).abs_diff(chars(&first)) <= 3) else { break };
            next = code.end;
            all.push(code);
        }
        all
    }

    /// Looks for a value before the noun: "hunter2 is my password", "use hunter2 as the password".
    fn value_before(&self) -> Option<Range<usize>> {
        if self.before.iter().take(5).any(|word| self.is_in_any(word, Role::TALK)) {
            return None;
        }
        let prefix_link = self.before.first().is_some_and(|word| {
            let lower = self.told.lower(word);
            word.core.end == self.at.start
                && self.language().suffix_links.iter().any(|link| lower.starts_with(link.as_str()))
        });
        let link_at = (0..self.before.len().min(5)).find(|at| {
            let role = self.role(&self.before[*at]);
            role.is(Role::LINK.or(Role::AS)) || *at == 0 && prefix_link
        })?;
        if self.before[..=link_at].iter().any(|word| word.ends_sentence || word.has_colon) {
            return None;
        }
        let is_as = self.role(&self.before[link_at]).is(Role::AS);
        let reach = if is_as { 3 } else { 1 };
        let mut words = self.before[link_at + 1..].iter().take(reach);
        let word = words.find(|word| self.is_shaped_before(word))?;
        let ends = word.ends_sentence && !self.told.text[word.value.clone()].ends_with(['!', '?']);
        (!ends && !word.has_colon).then(|| word.value.clone())
    }

    /// Returns whether a word before a link has the shape of a secret of the noun's kind.
    fn is_shaped_before(&self, word: &Word) -> bool {
        word.is_quoted && plain_value(self, std::slice::from_ref(word), Link::Weak).is_some()
            || shaped_value(self, std::slice::from_ref(word), Link::Weak).is_some()
            || code_value(self, std::slice::from_ref(word), Link::Weak).is_some()
    }

    /// Returns how to call the secret.
    fn rule(&self, value: &Range<usize>) -> String {
        let place = self.place(value);
        let name = match (self.noun.kind, place) {
            (Kind::Password, Some("wifi")) => "wifi password",
            (Kind::Password, Some("bank")) => "bank password",
            (Kind::Password, _) => "password",
            (Kind::Passphrase, _) => "passphrase",
            (Kind::Pin, Some("bank")) => "bank PIN",
            (Kind::Pin | Kind::Code, Some("alarm")) => "alarm code",
            (Kind::Code, Some("door")) => "door code",
            (Kind::Code, Some("safe")) => "safe combination",
            (Kind::Code, Some("lock")) => "lock code",
            (Kind::Pin, _) | (Kind::Code, Some("phone" | "bank")) => "PIN",
            (Kind::Code, _) => "access code",
            (Kind::CardCode, _) => "card security code",
            (Kind::Recovery, _) => "recovery code",
            (Kind::Answer, _) => "security answer",
            (Kind::Key, _) => "API key",
            (Kind::Login, _) => "password of a login",
            (Kind::Pattern, _) => "unlock pattern",
        };
        name.to_owned()
    }

    /// Returns the place that the words around the noun name, the one nearest before the value.
    fn place(&self, value: &Range<usize>) -> Option<&'static str> {
        let lower = &self.told.lower;
        let start = lower.ceil_char_boundary(self.at.start.min(value.start).saturating_sub(PLACE_BYTES));
        let end = lower.floor_char_boundary(self.at.end.max(value.end) + PLACE_BYTES);
        let line = lower[..value.start].rfind('\n').map_or(start, |line| start.max(line + 1));
        let before = self.told.languages.place(&lower[line..value.start]);
        before.or_else(|| self.told.languages.place(&lower[value.end..end]))
    }

    /// Returns whether the noun only describes the next one: "password manager".
    fn is_compound(&self) -> bool {
        self.after.first().is_some_and(|word| {
            let roles = Role::LINK.or(Role::STRONG_LINK).or(Role::FILLER).or(Role::PREPOSITION).or(Role::CHANGE).or(Role::INTO);
            let is_open = word.is_quoted || word.is_sign || self.phrase(0).0.is(roles) || self.unspaced_link(word);
            !is_open && word.value.start > self.at.end && self.told.languages.place(self.told.lower(word)).is_none()
        })
    }

    /// Returns whether the words around the noun name something that a code opens.
    fn has_place(&self, value: &Range<usize>) -> bool {
        self.place(value).is_some()
    }
}
