//! Words whose shape is that of a password or a key.

use std::ops::Range;

use super::language::{Kind, Role};
use super::links::Link;
use super::numbers::{self, strip_suffix};
use super::secret::StatedSecret;
use super::text::StatedText;
use super::words::SecretWord;
use crate::secrets::values::{Shape, is_random, is_technical, is_words};

/// Returns whether a word looks like a password wherever it stands: letters with a digit or a sign, and no
/// date, unit, address, ticket or technique.
pub(super) fn is_password(stated: &StatedText<'_>, word: &SecretWord) -> bool {
    let value = &stated.text[if word.is_quoted { word.core.clone() } else { word.value.clone() }];
    let shape = Shape::of(value);
    let is_shaped = shape.letters() >= 3
        && (shape.chars >= 6 && shape.is_strong() || shape.chars >= 8 && shape.digits > 0);
    is_shaped
        && !word.is_sign
        && !is_hex(value)
        && !is_ordinary_shape(value, Link::Loose)
        && !is_technical(stated.lower(word))
}

/// Returns the range of a word at the beginning of words whose shape is that of a password or key.
pub(super) fn shaped_value(
    statement: &StatedSecret<'_>,
    words: &[SecretWord],
    link: Link,
) -> Option<Range<usize>> {
    let word = words.first().filter(|word| !word.is_sign && !word.is_quoted)?;
    let value = strip_suffix(&statement.stated.text[word.value.clone()]);
    let at = word.value.start..word.value.start + value.len();
    let kind = statement.noun.kind;
    if kind == Kind::Key && is_wallet_key(value) {
        return Some(at);
    }
    let is_shaped = match kind {
        Kind::Key => is_key(statement, word, &at, link),
        Kind::Code => is_mixed_code(statement, &at, link),
        Kind::Login if link < Link::Loose => {
            let shape = Shape::of(value);
            shape.is_strong() && shape.symbols > 0 && shape.digits > 0
        }
        Kind::Login => {
            is_strong(value) || Shape::of(value).is_mixed() && value.len() >= 6 && statement.spells(words)
        }
        _ => is_password_shape(statement, word, value, link),
    };
    let shape = Shape::of(value);
    let lower = statement.stated.lower(word);
    let is_unit = !word.ends_clause && words.get(1).is_some_and(|next| statement.role(next).is(Role::UNIT));
    let is_number = kind == Kind::Key && shape.digits == shape.chars;
    let is_benign = is_ordinary_shape(value, link) && !is_number
        || is_unit
        || is_technical(lower)
        || statement.is_ordinary(lower) && !shape.is_mixed();
    (is_shaped && !is_benign).then_some(at)
}

/// Returns whether hardly anything but a password looks like a value.
fn is_strong(value: &str) -> bool {
    let shape = Shape::of(value);
    shape.is_strong() || shape.is_mixed() && shape.symbols > 0 && shape.chars >= 6
}

/// Returns whether a value has the shape of a password after a link.
fn is_password_shape(statement: &StatedSecret<'_>, word: &SecretWord, value: &str, link: Link) -> bool {
    let shape = Shape::of(value);
    match statement.noun.kind {
        Kind::Password if is_queue_ticket(value) => false,
        // "The password policy is PP-104" is about the policy.
        Kind::Password if link == Link::Weak && !is_strong(value) && statement.is_compound() => false,
        Kind::Password | Kind::Passphrase | Kind::Answer if link.is_loose() => {
            (is_strong(value) || shape.is_mixed() && shape.letters() >= 3)
                && shape.chars >= 6
                && !is_hex(value)
        }
        Kind::Password => {
            let is_joined =
                link == Link::Strong && word.ends_sentence && value.contains('_') && shape.chars >= 6;
            shape.chars >= 4 && (shape.is_mixed() || is_joined || is_mixed_case(value))
                || shape.chars >= 5 && shape.symbols > 1
        }
        Kind::Passphrase => {
            shape.chars >= 8 && (shape.is_mixed() || value.matches(['-', '.', '_']).count() >= 2)
        }
        _ => false,
    }
}

/// Returns whether a value is a ticket of a queue, which is a "senha" in Portuguese: "B047".
fn is_queue_ticket(value: &str) -> bool {
    let number = value.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let letters = value.len() - number.len();
    let number = number.strip_prefix('-').unwrap_or(number);
    (1..=2).contains(&letters)
        && (1..=3).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// Returns whether a range is a token, or the key of a network.
fn is_key(statement: &StatedSecret<'_>, word: &SecretWord, at: &Range<usize>, link: Link) -> bool {
    let value = &statement.stated.text[at.clone()];
    let shape = Shape::of(value);
    if statement.is_network(at) {
        return shape.chars >= 6 && (shape.is_mixed() || shape.digits >= 8 && shape.digits == shape.chars);
    }
    let is_name = is_words(&statement.stated.text[word.core.clone()]);
    let chars_min = if link >= Link::Weak { 12 } else { 16 };
    !is_name
        && (!statement.noun.is_strict || link == Link::Strong)
        && is_random(value, chars_min)
        && !(is_uuid(value) && link < Link::Strong)
}

/// Returns whether a range is a code of digits and capital letters, or the password of a network.
fn is_mixed_code(statement: &StatedSecret<'_>, at: &Range<usize>, link: Link) -> bool {
    let shape = Shape::of(&statement.stated.text[at.clone()]);
    if statement.is_network(at) {
        return shape.chars >= 6 && shape.is_mixed();
    }
    link >= Link::Weak
        && shape.chars <= 10
        && shape.digits >= 2
        && shape.is_mixed()
        && shape.lower == 0
        && statement.has_place(at)
}

/// Returns whether a word has a capital letter inside after a small one, as in "BlueMoonRiver".
fn is_mixed_case(value: &str) -> bool {
    let lower = value.to_lowercase();
    if ["pass", "secret", "token", "key", "login", "auth"].iter().any(|name| lower.contains(name)) {
        return false;
    }
    let mut changes = 0;
    let mut before = 'A';
    for c in value.chars() {
        changes += usize::from(before.is_lowercase() && c.is_uppercase());
        before = c;
    }
    changes >= 2 || changes == 1 && value.chars().count() >= 10 && value.starts_with(char::is_lowercase)
}

/// Returns whether a value looks like the hash of a commit or a file.
fn is_hex(value: &str) -> bool {
    value.len() >= 7 && value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// Returns whether a value has the form of a wallet's private key: 64 hexadecimal digits, or 51 or 52
/// characters of base58.
fn is_wallet_key(value: &str) -> bool {
    let hex = value.strip_prefix("0x").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        || matches!(value.len(), 51 | 52)
            && value.starts_with(['5', 'K', 'L'])
            && value.bytes().all(|b| b.is_ascii_alphanumeric() && !b"0OIl".contains(&b))
            && is_random(value, 51)
}

/// Returns whether a value has the form of a UUID.
fn is_uuid(value: &str) -> bool {
    let lens: Vec<usize> = value.split('-').map(str::len).collect();
    lens == [8, 4, 4, 4, 12]
}

/// Returns whether a word with digits or signs is an ordinary one: a date, a time, a number with a unit, an
/// address, a file, a ticket.
pub(super) fn is_ordinary_shape(value: &str, link: Link) -> bool {
    let shape = Shape::of(value);
    // "ABC-123" is a ticket, "B-204" a room, unless a link says otherwise.
    let letters = value.chars().take_while(|c| c.is_ascii_uppercase()).count();
    let is_ticket = link < Link::Weak
        && letters > 0
        && shape.lower == 0
        && shape.symbols == 0
        && value[letters..].trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    let is_version =
        value.strip_prefix('v').is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'));
    let is_tag =
        value.starts_with('#') && value.chars().skip(1).all(char::is_alphanumeric) && shape.digits == 0;
    let is_contraction = shape.digits == 0
        && shape.symbols == 0
        && shape.upper <= 1
        && !value.contains(['_', '-', '.'])
        && value.contains(['\'', '’']);
    // `a_new_key_has_256_bits` is a name of a program.
    let is_snake = link < Link::Strong
        && value.matches('_').count() >= 2
        && value.split('_').all(|part| Shape::of(part).changes == 0);
    is_ticket
        || is_version
        || is_tag
        || is_contraction
        || is_snake
        || is_code(value)
        || is_address(value)
        || is_amount(value)
        || numbers::is_calendar(value)
}

/// Returns whether a value is code: a call, an index, a path of names, a tag, a hexadecimal number.
fn is_code(value: &str) -> bool {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b))
    };
    value.find(['(', '=', '[']).is_some_and(|at| is_name(&value[..at]))
        || value.contains("::")
        || value.contains(['<', '>', '{', '}', '\\'])
        || value.starts_with("0x")
}

/// Returns whether a value is the address of a page, a person or a host, or a path.
fn is_address(value: &str) -> bool {
    let is_page = value.contains("://") || ["www.", "/", "@"].iter().any(|start| value.starts_with(start));
    let is_mail = value.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !host.contains(['!', '#', '$', '@']) && !host.ends_with('.')
    });
    let last = value.rsplit('.').next().unwrap_or_default();
    let is_host = Shape::of(value).symbols == 0
        && value.contains('.')
        && (2..=5).contains(&last.len())
        && last.bytes().all(|b| b.is_ascii_lowercase())
        && value.split('.').all(|part| !part.is_empty());
    is_page || is_mail || is_host
}

/// Returns whether a value is a number with a unit, or an amount of money: "24h", "12th", "90-day", "$10/yr".
fn is_amount(value: &str) -> bool {
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit() || ".,:".contains(c));
    let number_len = value.len() - rest.len();
    let is_short = rest.chars().count() <= 2 && !rest.contains(['!', '#', '*', '$']);
    let is_compound = number_len <= 3
        && rest.starts_with('-')
        && rest.chars().count() > 2
        && rest[1..].chars().all(|c| c.is_lowercase() || c == '-');
    let is_money = value.starts_with(['$', '€', '£', '¥'])
        && value.chars().nth(1).is_some_and(|c| c.is_ascii_digit())
        && Shape::of(value).letters() <= 3;
    let is_sum = value.ends_with(['€', '%', '°', '$'])
        && value.chars().rev().skip(1).all(|c| c.is_ascii_digit() || ".,".contains(c));
    number_len > 0 && (is_short || is_compound) || is_money || is_sum
}
