//! The shape of a value: whether it is a placeholder, a reference to a secret kept elsewhere, an ordinary
//! number or name, or text that a person or a program would use as a password.

use std::sync::LazyLock;

use secrets_scanner::entropy;

use super::lists::Lists;

static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists::read(include_str!("lists/values.toml")));

/// The number of characters of each class in a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) chars: usize,
    pub(super) lower: usize,
    pub(super) upper: usize,
    pub(super) digits: usize,
    /// Punctuation that does not occur inside ordinary words and numbers.
    pub(super) symbols: usize,
    /// Changes of class between two characters.
    pub(super) changes: usize,
}

impl Shape {
    /// Counts the characters of a value.
    pub(super) fn of(value: &str) -> Self {
        let mut shape = Self::default();
        let mut before = None;
        for c in value.chars() {
            let class = match c {
                _ if c.is_ascii_digit() => 0,
                _ if c.is_uppercase() => 1,
                _ if c.is_alphabetic() || !c.is_ascii() => 2,
                '-' | '_' | '.' | '\'' | '/' | ',' => 3,
                _ => 4,
            };
            let count = [&mut shape.digits, &mut shape.upper, &mut shape.lower, &mut 0, &mut shape.symbols];
            count.into_iter().nth(class).into_iter().for_each(|count| *count += 1);
            shape.chars += 1;
            shape.changes += usize::from(before.is_some_and(|before| before != class));
            before = Some(class);
        }
        shape
    }

    /// Returns the number of letters.
    pub(super) const fn letters(&self) -> usize {
        self.lower + self.upper
    }

    /// Returns whether the value has a letter, and a digit or a symbol.
    pub(super) const fn is_mixed(&self) -> bool {
        self.letters() > 0 && self.digits + self.symbols > 0
    }

    /// Returns whether hardly anything but a password or a token looks like this.
    pub(super) const fn is_strong(&self) -> bool {
        self.chars >= 6
            && self.letters() > 0
            && (self.digits > 0 && self.symbols > 0
                || self.lower > 0 && self.upper > 0 && self.digits > 0 && self.changes >= 3
                || self.symbols > 0 && self.upper > 0 && self.lower > 0 && self.changes >= 3)
    }
}

/// Returns whether a value looks like the random text of a token: at least `chars_min` characters, letters
/// and digits, with a high entropy.
pub(super) fn is_random(value: &str, chars_min: usize) -> bool {
    let shape = Shape::of(value);
    shape.chars >= chars_min
        && shape.letters() > 0
        && shape.digits > 0
        && shape.changes >= 3
        && entropy::shannon_entropy_bytes(value.as_bytes()) >= 2.8
}

/// Returns whether a text is three or more words or numbers joined by signs, as a file or a page is named:
/// `release-notes-2024`, `docs/guides/first_hour.md`.
pub(super) fn is_words(text: &str) -> bool {
    let parts = || text.split(['-', '_', '.', '/', ':', '#']).filter(|part| !part.is_empty());
    parts().count() > 2 && parts().all(|part| Shape::of(part).changes == 0 || is_word(part))
}

/// Returns whether a text has only letters, and at most the first is a capital one.
fn is_word(text: &str) -> bool {
    text.chars().all(char::is_alphabetic) && !text.chars().skip(1).any(char::is_uppercase)
}

/// Returns a value without the quotes around it.
pub(super) fn unquoted(value: &str) -> &str {
    value.trim_matches(['"', '\'', '`', '“', '”', '„', '‘', '’', '«', '»', '「', '」', '\\'])
}

/// Returns whether a value stands for a secret without being one: `$TOKEN`, `<token>`, `***`, `your-key`, a
/// reference to a vault, a hash, or already redacted.
pub(super) fn is_placeholder(value: &str) -> bool {
    let bare = unquoted(value.trim());
    is_reference(bare) || is_path(bare) || is_example(&bare.to_ascii_lowercase())
}

/// Returns whether a value is filled in later, masked, a hash, or kept elsewhere.
pub(super) fn is_reference(bare: &str) -> bool {
    let lower = bare.to_ascii_lowercase();
    bare.is_empty()
        || is_template(bare)
        || is_masked(&lower)
        || LISTS.words("references").any(|start| lower.starts_with(start))
}

/// Returns whether a value is filled in later: `$NAME`, `${NAME}`, `{{ name }}`, `<name>`, `%NAME%`,
/// `[name]`.
fn is_template(value: &str) -> bool {
    let name = |text: &str| {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
        !text.is_empty() && text.bytes().all(is_name)
    };
    let one_case = |text: &str| {
        let shape = Shape::of(text);
        shape.digits <= 1 && (shape.lower == 0 || shape.upper == 0 || text.contains(['.', ':']))
    };
    match value.as_bytes() {
        [b'$', b'{' | b'(', ..] | [b'{', b'{' | b'%', ..] | [b'#', b'{', ..] | [b'<', b'%', ..] => true,
        [b'$', ..] => name(&value[1..]) && one_case(&value[1..]) || value.starts_with("$env:"),
        [b'<', ..] => {
            value.contains('>') || value[1..].bytes().all(|b| b.is_ascii_alphabetic() || b"-_ ".contains(&b))
        }
        [b'{', .., b'}'] | [b'[', .., b']'] => true,
        [b'%', inner @ .., b'%'] | [b'@', inner @ .., b'@'] => {
            !inner.is_empty() && inner.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_')
        }
        [b'_', b'_', .., b'_', b'_'] => true,
        [b'*' | b'&', rest @ ..] => rest.iter().all(|b| b.is_ascii_lowercase() || b"_-".contains(b)),
        _ => false,
    }
}

/// Returns whether part of a value is masked, or all its characters are the same.
fn is_masked(lower: &str) -> bool {
    const MASKS: &[&str] = &[
        "***",
        "•••",
        "...",
        "…",
        "xxxx",
        "####",
        "●●●",
        "____",
        "[redacted",
        "--snip",
        "⋯",
        "###",
        "???",
        "＊＊",
    ];
    let mut chars = lower.chars();
    let first = chars.next();
    MASKS.iter().any(|mask| lower.contains(mask)) || lower.len() > 1 && chars.all(|c| Some(c) == first)
}

/// Returns whether a value is a path: `/run/secrets/db`, `./key.pem`, `~/.ssh/id_ed25519`.
fn is_path(value: &str) -> bool {
    let starts = ["/", "./", "../", "~/", "C:\\", "c:\\"].iter().any(|start| value.starts_with(start));
    let is_part = |part: &str| {
        let shape = Shape::of(part);
        shape.symbols == 0 && (shape.upper == 0 || shape.lower == 0 || shape.digits == 0)
    };
    starts
        && value.split(['/', '\\']).filter(|part| !part.is_empty()).skip(1).count() > 0
        && value.split(['/', '\\']).all(|part| is_part(part) || part == "~" || part == "C:")
}

/// Returns whether words of a value, in lower case, mark it as an example.
fn is_example(lower: &str) -> bool {
    let words = || lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let empty = |word: &str| LISTS.has("empty", word);
    let has_digits = lower.bytes().filter(u8::is_ascii_digit).count() > 2;
    words().any(|word| LISTS.has("examples", word)) && !(has_digits && Shape::of(lower).changes > 8)
        || lower.ends_with("example")
        || ["changeme", "changeit", "change_me"].iter().any(|text| lower.contains(text))
        || lower.contains("yourpass")
        || lower.contains("yourtoken")
        || lower.contains("yoursecret")
        || words().next().is_some() && !has_digits && words().all(empty)
}

/// Returns whether an unquoted value is code that reads or makes a secret: a call, an index, a member of an
/// object.
pub(super) fn is_code(value: &str) -> bool {
    let bytes = value.as_bytes();
    let is_name = |b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'_' | b'.' | b':' | b'$' | b'@' | b'?' | b'!' | b'-' | b'>' | b'&')
    };
    let name_len = bytes.iter().take_while(|b| is_name(b)).count();
    let called = bytes.get(name_len).is_some_and(|b| b"([<".contains(b)) && name_len > 0;
    let member = name_len == bytes.len()
        && (value.contains('.') || value.contains("::") || value.contains("->"))
        && value.split(['.', ':', '-', '>', '?', '!']).filter(|part| !part.is_empty()).count() > 1
        && value.split(['.', ':', '-', '>', '?', '!']).all(is_identifier);
    called || member
}

/// Returns whether a text is empty or looks like an identifier that a person chose: letters, `_`, and at most
/// two digits at the end.
fn is_identifier(text: &str) -> bool {
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
    text.len() - name.len() <= 2
        && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_' || b == b'$' || b == b'@')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Returns whether a word in lower case names a technique or product: "sha-256", "1password".
pub(super) fn is_technical(lower: &str) -> bool {
    LISTS.has("technical", lower) || LISTS.words("technical_families").any(|family| lower.starts_with(family))
}
