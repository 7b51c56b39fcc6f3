//! A noun that names a secret, with the words around it, and the values that they give.

use std::ops::Range;

use super::keypads::is_maker;
use super::language::{Kind, Role, SecretLanguage};
use super::links::{Link, Walk};
use super::plain::plain_value;
use super::secret::StatedSecret;
use super::shapes::shaped_value;
use super::text::PLACE_BYTES;
use super::values::{code_value, recovery_code};
use super::words::{self, SecretWord};
use crate::secrets::numbers::has_test_card;
use crate::secrets::values::{Shape, is_placeholder};

/// Words between a noun and a link.
const LINK_WORDS_MAX: usize = 18;
/// The same for a noun with other meanings.
const STRICT_WORDS_MAX: usize = 6;
/// Words before a noun between which a link is looked for.
const LINK_WORDS_BEFORE: usize = 5;
/// Recovery codes in a list.
const CODES_MAX: usize = 40;

impl StatedSecret<'_> {
    /// Returns the ranges of the secrets that the statement gives.
    pub(super) fn values(&self) -> Vec<Range<usize>> {
        if self.is_about_another() {
            return Vec::new();
        }
        let mut values: Vec<Range<usize>> = self.unspaced_number().into_iter().collect();
        if values.is_empty() {
            values = self.values_after();
        }
        if values.is_empty() && !self.noun.is_strict {
            values.extend(self.value_before());
        }
        values.retain(|value| !value.is_empty() && !is_placeholder(&self.stated.text[value.clone()]));
        values
    }

    /// Returns whether the words around the noun show that it names no secret of this person: "the most
    /// common password", "pin the poster", "the PIN code of my town", "zip code".
    fn is_about_another(&self) -> bool {
        // Dutch "als" is "as" and "if".
        let is_as = |at: usize| at == 0 && self.before.get(1).is_some_and(|word| self.is_value_alone(word));
        let mut near = self.before.iter().take(3).enumerate();
        let compares = near.any(|(at, word)| {
            self.is_in_any(word, Role::TALK) && !(is_as(at) && self.role(word).is(Role::AS))
        });
        let is_verb = || self.after.first().is_some_and(|word| self.is_in_any(word, Role::VERB_OBJECT));
        let is_address = || self.after.iter().take(8).any(|word| self.is_in_any(word, Role::ADDRESS));
        let near = || self.before.iter().take(4).chain(self.after.iter().take(4));
        let is_slogan = || near().any(|word| self.is_in_any(word, Role::OTHER_PASSWORD));
        let is_public = || self.before.first().is_some_and(|word| self.is_in_any(word, Role::OTHER_KEY));
        compares
            || self.noun.kind == Kind::Password && is_slogan()
            || self.noun.kind == Kind::Key && is_public()
            || self.noun.kind == Kind::Answer && self.noun.is_strict && !self.is_call_word()
            || self.noun.kind == Kind::CardCode && self.is_test()
            || self.noun.kind == Kind::Pin && (is_verb() || is_address())
            || self.noun.kind == Kind::Code && self.is_other_code()
    }

    /// Returns whether the sentence is about an alarm, whose company asks for a word on the phone.
    fn is_call_word(&self) -> bool {
        let end = self.stated.lower.floor_char_boundary(self.at.end + PLACE_BYTES);
        let start = self.stated.lower.ceil_char_boundary(self.at.start.saturating_sub(PLACE_BYTES));
        self.stated.languages.places(&self.stated.lower[start..end], "alarm").next().is_some()
    }

    /// Returns whether a card for tests is near.
    fn is_test(&self) -> bool {
        let end = self.stated.text.floor_char_boundary(self.at.end + PLACE_BYTES);
        let start = self.stated.text.ceil_char_boundary(self.at.start.saturating_sub(PLACE_BYTES));
        has_test_card(&self.stated.text[start..end])
    }

    /// Returns whether a word before or after "code" makes it another one: "zip code", "code review".
    fn is_other_code(&self) -> bool {
        let mut nearby = self.before.iter().take(2).chain(self.after.first().filter(|word| !word.has_colon));
        self.after.iter().take(4).any(|word| is_maker(self.stated.lower(word)))
            || nearby.any(|word| self.stated.languages.is_any(self.stated.lower(word), Role::OTHER_CODE))
    }

    /// Looks for values after the noun.
    fn values_after(&self) -> Vec<Range<usize>> {
        let words_max = if self.noun.is_strict { STRICT_WORDS_MAX } else { LINK_WORDS_MAX };
        let mut walk = Walk::start(self);
        while walk.at < self.after.len().min(words_max) {
            let (role, len) = self.phrase(walk.at);
            if walk.is_over(role) {
                break;
            }
            walk.enter_clause();
            if self.after[walk.at].is_sign {
                walk.step_over_sign();
                continue;
            }
            if walk.may_be_value(role)
                && walk.is_near()
                && let Some(value) = self.value_at(walk.at, walk.link)
            {
                return self.with_list(value);
            }
            walk.step_over(role, len);
        }
        Vec::new()
    }

    /// Returns the value at an index of the words after the noun, if it is one after such a link.
    fn value_at(&self, at: usize, link: Link) -> Option<Range<usize>> {
        let words = &self.after[at..];
        let is_code = matches!(self.noun.kind, Kind::Code | Kind::Pin);
        let before = at.checked_sub(1).map(|before| &self.after[before]).filter(|word| !word.has_colon);
        let is_other = is_code
            && before
                .is_some_and(|word| self.stated.languages.is_any(self.stated.lower(word), Role::OTHER_CODE));
        if is_other || self.continues_number(at) {
            return None;
        }
        let is_article =
            |role: Role| role.is(Role::FILLER) && role.is(Role::FUNCTION) && !role.is(Role::LINK);
        let words_before = self.after[..at].iter().rev().map(|word| self.role(word));
        let mut since_link = words_before.take_while(|role| !role.is(Role::LINK.or(Role::STRONG_LINK)));
        // "The password of the month is the patience" gives none.
        let is_phrase = link < Link::Strong && !words[0].is_quoted && since_link.any(is_article);
        code_value(self, words, link)
            .or_else(|| shaped_value(self, words, link))
            .or_else(|| if is_phrase { None } else { plain_value(self, words, link) })
            .filter(|at| !self.noun.is_slogan || self.is_no_slogan(at))
    }

    /// Returns whether a number goes on at an index of the words after the noun: "0171 4471829" is a phone's.
    fn continues_number(&self, at: usize) -> bool {
        let starts =
            |word: &SecretWord| self.stated.text[word.core.clone()].starts_with(|c: char| c.is_ascii_digit());
        let before = at.checked_sub(1).map(|before| &self.after[before]);
        let is_number = before.is_some_and(|word| {
            let ends = word.ends_sentence || word.ends_clause || word.has_colon;
            !ends
                && word.core.len() > 1
                && self.stated.text[word.core.clone()].bytes().all(|b| b.is_ascii_digit())
        });
        is_number && starts(&self.after[at])
    }

    /// Returns whether a value is no secret, because its noun may also mean a slogan.
    fn is_no_slogan(&self, at: &Range<usize>) -> bool {
        let value = &self.stated.text[at.clone()];
        let sentence = self.stated.sentence(&self.at);
        let place = |at: Range<usize>| self.stated.languages.place(&self.stated.lower[at]);
        let place = place(self.at.end..sentence.end).or_else(|| place(sentence.start..self.at.start));
        Shape::of(value).digits > 0 && !value.contains(' ') || place.is_some_and(|place| place != "door")
    }

    /// Adds the codes that follow in a list: "…, … and …", one a line.
    fn with_list(&self, first: Range<usize>) -> Vec<Range<usize>> {
        let mut all = vec![first.clone()];
        if self.noun.kind != Kind::Recovery {
            return all;
        }
        let mut next = first.end;
        for _ in 0..CODES_MAX {
            let words = words::after(self.stated.text, next);
            // "and", a comma or a number of a list may stand between.
            let is_short = |word: &&SecretWord| {
                word.is_sign || word.core.len() <= 4 && word.core.len() * 2 < first.len()
            };
            let skip = words.iter().take(2).take_while(is_short).count();
            let code = recovery_code(self.stated, words.get(skip..).unwrap_or_default());
            let Some(code) = code.filter(|code| code.len().abs_diff(first.len()) <= 3) else { break };
            next = code.end;
            all.push(code);
        }
        all
    }

    /// Looks for a value before the noun: "hunter2 is my password", "use hunter2 as the password".
    fn value_before(&self) -> Option<Range<usize>> {
        let is_talk = |word: &SecretWord| self.is_in_any(word, Role::TALK) && !self.role(word).is(Role::AS);
        if self.before.iter().take(LINK_WORDS_BEFORE).any(is_talk) {
            return None;
        }
        let link_at = (0..self.before.len().min(LINK_WORDS_BEFORE)).find(|at| {
            let role = self.role(&self.before[*at]);
            role.is(Role::LINK.or(Role::AS)) || *at == 0 && self.has_link_before()
        })?;
        if self.before[..=link_at].iter().any(|word| word.ends_sentence || word.has_colon) {
            return None;
        }
        let is_as = self.role(&self.before[link_at]).is(Role::AS);
        // "That's the passphrase" points back to the sentence before.
        let points = self.before.iter().take(link_at + 2).any(|word| self.is_in_any(word, Role::POINTER));
        let reach = if is_as || points { 3 } else { 1 };
        let mut words = self.before[link_at + 1..].iter().take(reach);
        let word = words.find(|word| self.is_value_alone(word))?;
        let ends =
            word.ends_sentence && !points && !self.stated.text[word.value.clone()].ends_with(['!', '?']);
        (!ends && !word.has_colon).then(|| word.value.clone())
    }

    /// Returns whether a link of a script without spaces starts the run right before the noun: "…是我的密码".
    fn has_link_before(&self) -> bool {
        self.before.first().is_some_and(|word| {
            let lower = self.stated.lower(word);
            word.core.end == self.at.start
                && self.language().suffix_links.iter().any(|link| lower.starts_with(link.as_str()))
        })
    }

    /// Returns whether a word is a secret of the noun's kind wherever it stands.
    fn is_value_alone(&self, word: &SecretWord) -> bool {
        let words = std::slice::from_ref(word);
        word.is_quoted && plain_value(self, words, Link::Weak).is_some()
            || shaped_value(self, words, Link::Weak).is_some()
            || code_value(self, words, Link::Weak).is_some()
    }

    /// Returns how to call the secret.
    pub(super) fn rule(&self, value: &Range<usize>) -> String {
        let name = match (self.noun.kind, self.place(value)) {
            (Kind::Password | Kind::Code | Kind::Key, Some("wifi")) => "wifi password",
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
}

/// The kind of the words around a noun.
impl StatedSecret<'_> {
    pub(super) fn language(&self) -> &SecretLanguage {
        &self.stated.languages.all[self.noun.language]
    }

    /// Iterates over the languages that have the noun.
    fn languages(&self) -> impl Iterator<Item = &SecretLanguage> {
        self.nouns.iter().map(|noun| &self.stated.languages.all[noun.language])
    }

    /// Returns the role of a word in the noun's language.
    pub(super) fn role(&self, word: &SecretWord) -> Role {
        let is_word = !word.is_quoted && !word.is_sign;
        if is_word { self.language().role(self.stated.lower(word)) } else { Role::default() }
    }

    /// Returns whether a word has a role in any language that has the noun.
    fn is_in_any(&self, word: &SecretWord, role: Role) -> bool {
        let lower = self.stated.lower(word);
        !word.is_quoted && self.languages().any(|language| language.role(lower).is(role))
    }

    /// Returns whether a word in lower case is an ordinary predicate in any language that has the noun.
    pub(super) fn is_ordinary(&self, lower: &str) -> bool {
        // The first language is English, whose endings are unmistakable.
        let english = self.languages().next().filter(|_| self.nouns.iter().any(|noun| noun.language == 0));
        let ends = |language: &SecretLanguage| language.has_ordinary_ending(lower);
        ends(self.language()) || english.is_some_and(ends) || self.is_listed(lower)
    }

    /// Returns whether a word in lower case is on a list of ordinary words of any language that has the noun.
    pub(super) fn is_listed(&self, lower: &str) -> bool {
        self.languages().any(|language| language.is_ordinary(lower))
    }

    /// Returns the role of the phrase that starts at an index of the words after the noun, and its number of
    /// words. The longest phrase decides.
    fn phrase(&self, at: usize) -> (Role, usize) {
        let is_joined =
            |word: &SecretWord| !(word.has_colon || word.ends_clause || word.ends_sentence || word.is_quoted);
        for len in [3, 2] {
            let Some(words) = self.after.get(at..at + len) else { continue };
            if !words[..len - 1].iter().all(is_joined) {
                continue;
            }
            let role = self.language().role(&self.stated.lower[words[0].core.start..words[len - 1].core.end]);
            if role != Role::default() {
                return (role, len);
            }
        }
        (self.after.get(at).map(|word| self.role(word)).unwrap_or_default(), 1)
    }

    /// Returns whether a word of a script without spaces ends with a link: "的" "是".
    pub(super) fn unspaced_link(&self, word: &SecretWord) -> bool {
        let lower = self.stated.lower(word);
        let denies = |one: &String| one.chars().count() > 1 && lower.contains(one.as_str());
        !word.is_quoted
            && self.language().suffix_links.iter().any(|link| lower.ends_with(link.as_str()))
            && !self.language().suffix_ordinary.iter().any(denies)
    }

    /// Returns the range of a number in characters right after a link, in a script without spaces: "是四八二九".
    fn unspaced_number(&self) -> Option<Range<usize>> {
        let word = self.after.first().filter(|word| !word.is_quoted && word.core.start == self.at.end)?;
        let lower = self.stated.lower(word);
        let link = self.language().suffix_links.iter().find(|link| lower.starts_with(link.as_str()))?;
        let rest = &lower[link.len()..];
        let is_number = |c: &char| self.stated.languages.number(c.encode_utf8(&mut [0; 4])) != 0;
        let run: Vec<char> = rest.chars().take_while(is_number).collect();
        let start = word.core.start + link.len();
        let len: usize = run.iter().map(|c| c.len_utf8()).sum();
        (run.len() >= 4 && !self.noun.is_strict).then_some(start..start + len)
    }

    /// Returns whether the words right before the noun name a user.
    pub(super) fn follows_user(&self) -> bool {
        self.before.iter().take(4).any(|word| {
            let lower = self.stated.lower(word);
            lower.contains('@') || self.stated.languages.is_any(lower, Role::USER)
        })
    }

    /// Returns whether the noun only describes the next one: "password manager".
    pub(super) fn is_compound(&self) -> bool {
        let roles =
            [Role::LINK, Role::STRONG_LINK, Role::FILLER, Role::PREPOSITION, Role::CHANGE, Role::INTO];
        let roles = roles.into_iter().fold(Role::default(), Role::or);
        self.after.first().is_some_and(|word| {
            let is_apart =
                self.stated.text[self.at.end..word.value.start].contains([',', ';', '(', '—', '–']);
            let is_open = is_apart
                || word.is_quoted
                || word.is_sign
                || self.phrase(0).0.is(roles)
                || self.unspaced_link(word);
            !is_open && word.value.start > self.at.end && !self.stated.is_place(word)
        })
    }

    /// Returns the place that the words around the noun name, the one nearest before the value.
    pub(super) fn place(&self, value: &Range<usize>) -> Option<&'static str> {
        let lower = &self.stated.lower;
        let start = lower.ceil_char_boundary(self.at.start.min(value.start).saturating_sub(PLACE_BYTES));
        let end = lower.floor_char_boundary(self.at.end.max(value.end) + PLACE_BYTES);
        let line = lower[start..value.start].rfind('\n').map_or(start, |line| start + line + 1);
        let before = self.stated.languages.place(&lower[line..value.start]);
        before.or_else(|| self.stated.languages.place(&lower[value.end..end]))
    }

    /// Returns whether the words around the noun name something that a code opens.
    pub(super) fn has_place(&self, value: &Range<usize>) -> bool {
        self.place(value).is_some()
    }

    /// Returns whether the words before a value name a network.
    pub(super) fn is_network(&self, value: &Range<usize>) -> bool {
        let lower = &self.stated.lower;
        let start = lower.ceil_char_boundary(self.at.start.min(value.start).saturating_sub(PLACE_BYTES));
        self.stated.languages.places(&lower[start..value.start], "wifi").next().is_some()
    }
}
