//! How surely a value follows the words after a noun.

use super::language::{Kind, Role};
use super::secret::StatedSecret;
use super::words::{self, SecretWord};

/// How surely a value follows, in increasing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Link {
    /// Nothing says that a value follows.
    None,
    /// The noun is right before.
    Adjacent,
    /// A new clause starts after the noun.
    Clause,
    /// A link was earlier in the sentence.
    Loose,
    /// A form such as "password's", which may be a possessive.
    Possessive,
    /// A dash.
    Dash,
    /// A word such as "is".
    Weak,
    /// A colon, or "as follows".
    Strong,
}

impl Link {
    /// Returns whether the value need not be right here.
    pub(super) const fn is_loose(self) -> bool {
        matches!(self, Self::Clause | Self::Loose)
    }
}

/// A walk through the words after a noun.
pub(super) struct Walk<'a> {
    statement: &'a StatedSecret<'a>,
    /// The index of the word.
    pub(super) at: usize,
    pub(super) link: Link,
    /// Whether the words tell what the secret opens: "for the bank".
    in_context: bool,
    /// Whether the sentence says that the secret was changed: "to" gives a value then.
    is_changed: bool,
    /// The words for an owner that may still stand before a value without a link, if only such words and what
    /// the secret opens were there: "PIN of grandma's phone 4829".
    owners_left: Option<u8>,
    /// Whether the sentence says again what the secret is: "…, i.e. …".
    is_clarified: bool,
    /// The clauses that ended between the noun and the word.
    clauses: usize,
}

impl<'a> Walk<'a> {
    /// Starts right after the noun of a statement.
    pub(super) fn start(statement: &'a StatedSecret<'a>) -> Self {
        let link = statement.first_link();
        let owners_left = (link == Link::Adjacent).then_some(1);
        let is_changed = statement.is_changed();
        Self {
            statement,
            at: 0,
            link,
            in_context: false,
            is_changed,
            owners_left,
            is_clarified: false,
            clauses: 0,
        }
    }

    fn word(&self) -> &'a SecretWord {
        &self.statement.after[self.at]
    }

    fn before(&self) -> Option<&'a SecretWord> {
        self.at.checked_sub(1).map(|before| &self.statement.after[before])
    }

    fn follows_preposition(&self) -> bool {
        self.before().is_some_and(|before| self.statement.role(before).is(Role::PREPOSITION))
    }

    /// Returns whether the sentence ended before the word, and no answer or link follows.
    pub(super) fn is_over(&self, role: Role) -> bool {
        let word = self.word();
        let is_link = word.is_sign || role.is(Role::LINK.or(Role::STRONG_LINK).or(Role::FILLER));
        let ended = |before: &SecretWord| before.ends_sentence && !self.statement.is_question(before);
        let is_heading = self.at == 0 && !self.statement.noun.is_strict && word.ends_sentence;
        if self.is_field() {
            return true;
        }
        self.before().is_some_and(ended) && !is_link && self.link < Link::Weak
            || word.starts_line && self.link < Link::Strong && !is_heading
    }

    /// Returns whether an indented line starts with the word, as the name of a field in a file: "valueFrom:".
    fn is_field(&self) -> bool {
        let word = self.word();
        let before = &self.statement.stated.text[..word.value.start];
        let is_name = word.value.len() > 1 && self.statement.stated.text[word.value.end..].starts_with(": ");
        word.starts_line && word.has_colon && is_name && before.ends_with("  ")
    }

    /// Notes that a clause ended before the word: "I changed the password, hunter2 now".
    pub(super) fn enter_clause(&mut self) {
        let Some(before) = self.before() else { return };
        self.clauses += usize::from(before.ends_clause);
        if before.ends_clause && self.link <= Link::Clause && !self.statement.noun.is_strict {
            self.link = Link::Clause;
            self.in_context = false;
        }
        // A space ends a clause in a script that is written without spaces.
        let is_unspaced = |at: usize| self.statement.stated.text[at..].starts_with(words::is_unspaced);
        if self.link == Link::None && is_unspaced(before.core.start) && is_unspaced(self.statement.at.start) {
            self.link = Link::Clause;
        }
    }

    /// Returns whether the word is near enough to the noun to be its value. Without a link, a list such as "hash
    /// code, searching, tables 3.74" leads away from it.
    pub(super) fn is_near(&self) -> bool {
        match self.clauses {
            _ if self.link > Link::Clause => true,
            0 | 1 => true,
            2 => self.before().is_some_and(|before| before.ends_clause),
            _ => false,
        }
    }

    /// Steps over a word of signs.
    pub(super) fn step_over_sign(&mut self) {
        let word = self.word();
        let signs = &self.statement.stated.text[word.value.clone()];
        if word.has_colon {
            self.link = Link::Strong;
        } else if signs.contains(['-', '–', '—', '/', '|', '(', '>']) && self.link > Link::None {
            self.link = self.link.max(Link::Dash);
        } else if word.ends_clause && !self.statement.noun.is_strict {
            self.link = self.link.max(Link::Clause);
        }
        self.at += 1;
    }

    /// Returns whether a value may stand at the word.
    pub(super) fn may_be_value(&self, role: Role) -> bool {
        let noun = self.statement.noun;
        let roles = Role::LINK.or(Role::STRONG_LINK).or(Role::FILLER).or(Role::PREPOSITION);
        if !self.word().is_quoted && role.is(roles) {
            return false;
        }
        let follows_preposition = self.follows_preposition();
        // "Log in" with an unmistakable password needs no link.
        if noun.kind == Kind::Login && !follows_preposition {
            return true;
        }
        let is_compound = self.link.is_loose()
            && matches!(noun.kind, Kind::Password | Kind::Pin)
            && self.statement.is_compound();
        let is_context = self.in_context && self.link < Link::Dash
            || follows_preposition && self.link <= Link::Loose && self.link != Link::Adjacent;
        self.link != Link::None && (self.is_clarified && !follows_preposition || !is_compound && !is_context)
    }

    /// Steps over a word or phrase of so many words.
    pub(super) fn step_over(&mut self, role: Role, len: usize) {
        let word = self.word();
        self.in_context |= role.is(Role::PREPOSITION) && self.link < Link::Weak;
        self.link = self.next_link(role);
        self.is_clarified |= role.is(Role::CLARIFIES);
        self.owners_left = self.next_owners(role);
        if self.owners_left.is_some() && self.link == Link::None && self.opens_before() {
            (self.link, self.in_context) = (Link::Adjacent, false);
        }
        let last = &self.statement.after[self.at + len - 1];
        if last.has_colon && !word.is_quoted {
            self.link = Link::Strong;
        }
        self.in_context &= self.link < Link::Weak;
        self.at += len;
    }

    /// Returns the link after the word.
    fn next_link(&self, role: Role) -> Link {
        let (word, stated) = (self.word(), self.statement.stated);
        let is_into = self.is_changed && role.is(Role::INTO);
        if role.is(Role::STRONG_LINK) {
            Link::Strong
        } else if role.is(Role::CLARIFIES) {
            self.link.max(Link::Loose)
        } else if role.is(Role::LINK) || self.statement.unspaced_link(word) || is_into {
            // "password's" may be a possessive.
            let is_short =
                self.at == 0 && stated.lower(word) == "s" && word.value.start <= self.statement.at.end + 3;
            if is_short { Link::Possessive } else { Link::Weak }
        } else if role.is(Role::FILLER) {
            // "pin the poster" is no PIN.
            if self.link == Link::Adjacent && role.is(Role::FUNCTION) { Link::None } else { self.link }
        } else {
            match self.link {
                Link::None | Link::Clause => self.link,
                Link::Adjacent if stated.is_place(word) => Link::Adjacent,
                Link::Adjacent => Link::None,
                _ => Link::Loose,
            }
        }
    }

    /// Returns how many words for an owner may still stand before a value, or `None` if another word stood
    /// there.
    fn next_owners(&self, role: Role) -> Option<u8> {
        let word = self.word();
        let is_context = role.is(Role::PREPOSITION.or(Role::FUNCTION).or(Role::FILLER))
            || self.statement.stated.is_place(word);
        let is_owner = !is_context && role == Role::default() && !word.ends_sentence;
        match self.owners_left {
            Some(left) if is_context => Some(left),
            Some(left) if is_owner => left.checked_sub(1),
            _ => None,
        }
    }

    /// Returns whether the words up to this one name what the secret opens, and it is no preposition.
    fn opens_before(&self) -> bool {
        let stated = self.statement.stated;
        // The noun may be the place: "the intercom at Paul's is 45B12".
        let noun = &stated.lower[self.statement.at.clone()];
        let mut words = self.statement.after[..=self.at].iter();
        (words.any(|word| stated.is_place(word)) || stated.languages.place(noun).is_some())
            && !self.statement.role(self.word()).is(Role::PREPOSITION)
    }
}

impl StatedSecret<'_> {
    /// Returns the link right after the noun. A noun with other meanings needs one, unless the words around
    /// are about a network or a user.
    fn first_link(&self) -> Link {
        let kind = self.noun.kind;
        let is_network = || {
            matches!(kind, Kind::Key | Kind::Password)
                && self
                    .before
                    .iter()
                    .any(|word| self.stated.languages.place(self.stated.lower(word)) == Some("wifi"))
        };
        let is_login = || {
            let opens = self.after.iter().take(4).any(|word| self.stated.is_place(word));
            kind == Kind::Password && (opens || self.follows_user())
        };
        if !self.noun.is_strict || is_network() || is_login() { Link::Adjacent } else { Link::None }
    }

    /// Returns whether the sentence says that the secret was changed or set.
    fn is_changed(&self) -> bool {
        let end = self.after.iter().take(12).position(|word| word.ends_sentence).map_or(12, |end| end + 1);
        let words = self.before.iter().take(6).chain(self.after.iter().take(end));
        words.into_iter().any(|word| self.role(word).is(Role::CHANGE))
    }

    /// Returns whether a question mark follows a word: its answer may follow.
    fn is_question(&self, word: &SecretWord) -> bool {
        self.stated.text[word.core.end..].trim_start_matches([' ', '"', ')']).starts_with(['?', '？'])
    }
}
