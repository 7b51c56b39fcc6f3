//! The words of a language that the rules for stated secrets use, read from `secrets/languages/*.toml`.
//!
//! `languages/en.toml` explains every list.

use std::collections::HashMap;

/// The kind of secret that a noun names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A password.
    Password,
    /// Several words that open something.
    Passphrase,
    /// A number of a card, a phone or an account.
    Pin,
    /// A number that opens something: only with a place, or with signs as on a keypad.
    Code,
    /// The three or four digits on the back of a card.
    CardCode,
    /// Codes for when a second factor is lost.
    Recovery,
    /// The answer to a security question.
    Answer,
    /// A key or token that a service gave out.
    Key,
    /// A user name and password together.
    Login,
    /// A line that is drawn on a screen.
    Pattern,
}

pub(super) const KINDS: &[(&str, Kind)] = &[
    ("password", Kind::Password),
    ("passphrase", Kind::Passphrase),
    ("pin", Kind::Pin),
    ("code", Kind::Code),
    ("card_code", Kind::CardCode),
    ("recovery", Kind::Recovery),
    ("answer", Kind::Answer),
    ("key", Kind::Key),
    ("login", Kind::Login),
    ("pattern", Kind::Pattern),
];

/// The role of a word in a sentence about a secret. A word may be several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Role(u32);

impl Role {
    /// A verb such as "is", after which a value may follow.
    pub(super) const LINK: Self = Self(1);
    /// Words such as "reads" and "as follows": the sentence states a value.
    pub(super) const STRONG_LINK: Self = Self(1 << 1);
    /// Words such as "now" and "it", which stand between a link and the value.
    pub(super) const FILLER: Self = Self(1 << 2);
    /// Words such as "for", which say what the secret opens.
    pub(super) const PREPOSITION: Self = Self(1 << 3);
    /// Words such as "changed", after which a value may follow "to".
    pub(super) const CHANGE: Self = Self(1 << 4);
    /// The word "to" after a change.
    pub(super) const INTO: Self = Self(1 << 5);
    /// The word "as" in "hunter2 as the password".
    pub(super) const AS: Self = Self(1 << 6);
    /// Words for a secret that is not given: "wrong", "needed".
    pub(super) const ORDINARY: Self = Self(1 << 7);
    /// A unit, or a word about rules for passwords: "characters".
    pub(super) const UNIT: Self = Self(1 << 8);
    /// A sentence that compares passwords or gives an example: "most", "typical".
    pub(super) const TALK: Self = Self(1 << 9);
    /// A short word that no passphrase stands for: "the", "in".
    pub(super) const FUNCTION: Self = Self(1 << 10);
    /// Makes "code" another one: "zip", "error".
    pub(super) const OTHER_CODE: Self = Self(1 << 11);
    /// A direction to turn or to draw: "left".
    pub(super) const DIRECTION: Self = Self(1 << 13);
    /// Spells a sign of a password: "exclamation mark", "capital".
    pub(super) const SPELLING: Self = Self(1 << 12);

    /// Makes a PIN code part of an address: "town".
    pub(super) const ADDRESS: Self = Self(1 << 14);
    /// Points back to the sentence before: "that's".
    pub(super) const POINTER: Self = Self(1 << 15);
    /// The name of a user follows: "user".
    pub(super) const USER: Self = Self(1 << 16);
    /// A second.
    pub(super) const SECOND: Self = Self(1 << 17);
    /// A time of day follows: "at".
    pub(super) const TIME: Self = Self(1 << 18);
    /// Makes "pin" a verb: "the".
    pub(super) const VERB_OBJECT: Self = Self(1 << 19);
    /// Makes a key a public one: "public".
    pub(super) const OTHER_KEY: Self = Self(1 << 20);
    /// Makes a word for a password a slogan or a ticket: "motto".
    pub(super) const OTHER_PASSWORD: Self = Self(1 << 21);
    /// Says again what the secret is: "i.e.".
    pub(super) const CLARIFIES: Self = Self(1 << 22);
    /// Stands between a number and the digit that is repeated: "times".
    pub(super) const REPEATS: Self = Self(1 << 23);
    /// Several of one digit: "zeros" in languages whose plurals change more than the ending.
    pub(super) const DIGIT_PLURAL: Self = Self(1 << 24);
    /// The word "and".
    pub(super) const AND: Self = Self(1 << 26);
    /// A phone call: "ring".
    pub(super) const CALL: Self = Self(1 << 27);

    /// Returns whether a word has any of the roles.
    pub(super) const fn is(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the roles of both.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const ROLES: &[(&str, Role)] = &[
    ("links", Role::LINK),
    ("strong_links", Role::STRONG_LINK),
    ("fillers", Role::FILLER),
    ("prepositions", Role::PREPOSITION),
    ("changes", Role::CHANGE),
    ("into", Role::INTO),
    ("as", Role::AS),
    ("ordinary", Role::ORDINARY),
    ("units", Role::UNIT),
    ("talk", Role::TALK),
    ("function_words", Role::FUNCTION),
    ("other_codes", Role::OTHER_CODE),
    ("spelling", Role::SPELLING),
    ("directions", Role::DIRECTION),
    ("addresses", Role::ADDRESS),
    ("pointers", Role::POINTER),
    ("users", Role::USER),
    ("seconds", Role::SECOND),
    ("times", Role::TIME),
    ("verb_objects", Role::VERB_OBJECT),
    ("other_keys", Role::OTHER_KEY),
    ("other_passwords", Role::OTHER_PASSWORD),
    ("clarifies", Role::CLARIFIES),
    ("repeats", Role::REPEATS),
    ("digit_plurals", Role::DIGIT_PLURAL),
    ("ands", Role::AND),
    ("calls", Role::CALL),
];

/// A language's words.
pub(super) struct SecretLanguage {
    /// The roles of words and of phrases of up to three words.
    roles: HashMap<String, Role>,
    /// Endings of predicates: "-ed" in "is required".
    endings: Vec<String>,
    /// The links of a script without spaces, longest first.
    pub(super) suffix_links: Vec<String>,
    /// Text that denies what a value would be, in a script without spaces.
    pub(super) suffix_ordinary: Vec<String>,
    /// Ends of words for how often a digit is repeated: "-mal".
    pub(super) repeat_endings: Vec<String>,
    /// Text that shows that a text in quotes is a rule for passwords, in such a script.
    pub(super) policies: Vec<String>,
    /// Beginnings of words after a value that end a statement: "です".
    pub(super) states: Vec<String>,
}

impl SecretLanguage {
    /// Returns the roles of a word or phrase in lower case.
    pub(super) fn role(&self, word: &str) -> Role {
        self.roles.get(word).copied().unwrap_or_default()
    }

    /// Returns whether a word in lower case is an ordinary predicate.
    pub(super) fn is_ordinary(&self, word: &str) -> bool {
        let roles = Role::ORDINARY
            .or(Role::FUNCTION)
            .or(Role::LINK)
            .or(Role::PREPOSITION)
            .or(Role::TALK)
            .or(Role::UNIT);
        self.role(word).is(roles)
    }

    /// Returns whether a word in lower case has the ending of an ordinary predicate.
    pub(super) fn has_ordinary_ending(&self, word: &str) -> bool {
        self.endings.iter().any(|ending| word.len() > ending.len() + 2 && word.ends_with(ending.as_str()))
    }

    pub(super) fn parse(source: &str) -> Option<(Self, toml::Table)> {
        let table: toml::Table = toml::from_str(source).ok()?;
        let mut roles: HashMap<String, Role> = HashMap::new();
        for (name, role) in ROLES {
            for word in list(&table, name) {
                let roles = roles.entry(word).or_default();
                *roles = roles.or(*role);
            }
        }
        let mut suffix_links = list(&table, "suffix_links");
        suffix_links.sort_by_key(|link| std::cmp::Reverse(link.len()));
        let language = Self {
            roles,
            endings: list(&table, "endings"),
            suffix_links,
            suffix_ordinary: list(&table, "suffix_ordinary"),
            repeat_endings: list(&table, "repeat_endings"),
            policies: list(&table, "policies"),
            states: list(&table, "states"),
        };
        Some((language, table))
    }
}

/// A noun of a language that names a secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noun {
    /// The index of the language.
    pub(super) language: usize,
    pub(super) kind: Kind,
    /// Whether letters may stand before the noun: "-passwort".
    pub(super) open_start: bool,
    /// Whether letters may stand after it: "şifre-".
    pub(super) open_end: bool,
    /// Whether a value counts only after a colon or the like: "pass".
    pub(super) is_strict: bool,
    /// Whether a plain word counts only with a place: "parola d'ordine" also is a slogan.
    pub(super) is_slogan: bool,
}

/// Returns a list of texts of a table.
pub(super) fn list(table: &toml::Table, name: &str) -> Vec<String> {
    let texts = table.get(name).and_then(toml::Value::as_array).into_iter().flatten();
    texts.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}
