//! The words that can be a secret of a kind after a link.

use std::ops::Range;

use super::{Statement, Told};
use super::language::{Kind, Role};
use super::numbers::{self, strip_suffix};
use super::words::Word;
use crate::secrets::values::{Shape, is_random, is_words};

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
    /// "password's", which may be a possessive.
    Possessive,
    /// A dash.
    Dash,
    /// "is".
    Weak,
    /// A colon, or "as follows".
    Strong,
}

/// Names of techniques and products with a digit, which are no passwords.
const TECHNICAL: &[&str] = &[
    "1password", "2fa", "mfa", "oauth2", "oauth1", "sha1", "sha2", "sha3", "sha-1", "sha-2", "sha-256", "sha256", "sha-512",
    "sha512", "md5", "wpa2", "wpa3", "wpa2-psk", "wpa3-sae", "aes-256", "aes256", "aes-128", "base64", "base32", "utf-8", "ipv4", "ipv6",
    "argon2", "argon2id", "pbkdf2", "ntlmv2", "x509", "rsa-2048", "rsa2048", "ed25519", "fido2", "u2f", "s3", "ec2", "k8s", "h2", "web3",
    "keepass2", "pkcs12", "pkcs8", "bip39", "bip-39", "id3", "mp3", "mp4", "ps4", "ps5", "b2b", "b2c", "office365", "microsoft365",
    "auth0", "log4j", "win10", "win11", "windows10", "t2", "m1", "m2", "2-step", "two-factor", "q1", "q2", "q3", "q4", "wi-fi", "wifi",
    "wlan", "e-mail", "email", "i18n", "a11y", "c++", "c#", "f5", "365", "24/7", "http/2", "tls1.2", "tls1.3", "covid-19", "r2d2", "i/o", "and/or",
    "n/a", "w/o", "a/b", "tcp/ip", "7zip", "7-zip", "1pass", "bcrypt", "scrypt", "s/mime", "pos/neg", "e2e", "e2ee", "p2p", "l2tp", "wep64",
];

/// Returns whether a word looks like a password wherever it stands: letters with a digit or a sign, and no date,
/// unit, address, ticket or technique.
pub(super) fn is_password(told: &Told<'_>, word: &Word) -> bool {
    let value = &told.text[word.value.clone()];
    let shape = Shape::of(value);
    let is_shaped = shape.letters() >= 3 && (shape.chars >= 6 && shape.is_strong() || shape.chars >= 8 && shape.digits > 0);
    is_shaped && !word.is_sign && !is_hex(value) && !is_ordinary_shape(value, Link::Loose) && !is_technical(told.lower(word))
}

/// Returns the range of a PIN, code or number at the beginning of words.
pub(super) fn code_value(statement: &Statement<'_>, words: &[Word], link: Link) -> Option<Range<usize>> {
    let kind = statement.noun.kind;
    let (least, most) = match kind {
        Kind::Pin => (4, 10),
        Kind::CardCode => (3, 4),
        Kind::Code => (3, 8),
        Kind::Password => (4, 16),
        Kind::Recovery => (6, 64),
        _ => return None,
    };
    let told = statement.told;
    if kind == Kind::Recovery {
        return recovery_code(told, words);
    }
    let run = numbers::digit_groups(told, words).or_else(|| numbers::spoken(told, words));
    let Some(run) = run.filter(|run| run.digits >= least) else {
        let is_dial = kind == Kind::Code && link >= Link::Loose;
        let dial = is_dial.then(|| numbers::dial(told, words, 3)).flatten()?;
        return matches!(statement.place(&dial), Some("safe" | "lock")).then_some(dial);
    };
    let value = &told.text[run.at.clone()];
    if !(least..=most).contains(&run.digits) || numbers::is_calendar(value) {
        return None;
    }
    let is_year = numbers::is_year(value)
        && (kind != Kind::Pin || link == Link::Clause || statement.is_compound());
    if matches!(link, Link::Loose | Link::Clause) && !run.has_signs && (run.digits < 4 || is_year) {
        return None;
    }
    let is_code = match kind {
        // A number after "password" needs a link, and is no year.
        Kind::Password => link >= Link::Dash || link == Link::Adjacent && !numbers::is_year(value),
        // "code 404" is an answer of a server.
        Kind::Code if run.digits == 3 && !run.has_signs && !matches!(statement.place(&run.at), Some("lock" | "safe" | "alarm")) => false,
        Kind::Code if link == Link::Adjacent && numbers::is_year(value) => false,
        Kind::Code => run.has_signs && link > Link::Adjacent || statement.has_place(&run.at),
        _ => true,
    };
    is_code.then_some(run.at)
}

/// Returns whether a word in lower case names a technique or product.
fn is_technical(lower: &str) -> bool {
    const FAMILIES: &[&str] = &["hmac", "sha-", "sha2", "sha3", "sha5", "aes-", "aes1", "aes2", "rsa-", "chacha20", "tls", "p-256", "x25519", "pbkdf2", "argon2", "oauth2", "fritz!"];
    TECHNICAL.contains(&lower) || FAMILIES.iter().any(|family| lower.starts_with(family))
}

/// Returns the range of a word at the beginning of words whose shape is that of a password or key.
pub(super) fn shaped_value(statement: &Statement<'_>, words: &[Word], link: Link) -> Option<Range<usize>> {
    let word = words.first()?;
    if word.is_sign || word.is_quoted {
        return None;
    }
    let text = statement.told.text;
    let value = strip_suffix(&text[word.value.clone()]);
    let at = word.value.start..word.value.start + value.len();
    let shape = Shape::of(value);
    let lower = statement.told.lower(word);
    let is_strong = shape.is_strong() || shape.is_mixed() && shape.symbols > 0 && shape.chars >= 6;
    let joined = link == Link::Strong && word.ends_sentence && value.contains('_') && shape.chars >= 6;
    let is_shaped = match statement.noun.kind {
        Kind::Password | Kind::Passphrase | Kind::Answer if matches!(link, Link::Loose | Link::Clause) => {
            (is_strong || shape.is_mixed() && shape.letters() >= 3) && shape.chars >= 6 && !is_hex(value)
        }
        Kind::Password => shape.chars >= 4 && (shape.is_mixed() || joined || is_mixed_case(value)) || shape.chars >= 5 && shape.symbols > 1,
        Kind::Passphrase => shape.chars >= 8 && (shape.is_mixed() || hyphens(value) >= 2),
        Kind::Key if statement.place(&at) == Some("wifi") => {
            shape.chars >= 6 && (shape.is_mixed() || shape.digits >= 8 && shape.digits == shape.chars)
        }
        Kind::Key if statement.noun.is_strict && link < Link::Strong || is_words(value) => false,
        Kind::Key => is_random(value, if link >= Link::Weak { 12 } else { 16 }) && !is_uuid_talk(link, value),
        Kind::Recovery => shape.chars >= 6 && shape.digits > 0,
        Kind::Code => link >= Link::Weak && shape.chars <= 10 && shape.digits >= 2 && shape.is_mixed() && shape.lower == 0 && statement.has_place(&at),
        Kind::Login => (is_strong || shape.is_mixed() && shape.chars >= 6 && statement.spells(words)) && link >= Link::Loose,
        Kind::Pin | Kind::CardCode | Kind::Answer | Kind::Pattern => false,
    };
    let next_is_unit = !word.ends_clause && words.get(1).is_some_and(|next| statement.role(next).is(Role::UNIT));
    let is_benign = is_ordinary_shape(value, link) || next_is_unit || is_technical(lower) || statement.is_ordinary(lower) && !shape.is_mixed();
    (is_shaped && !is_benign).then_some(at)
}

/// Returns the range of a recovery code: groups of letters and digits up to the end of the clause.
pub(super) fn recovery_code(told: &Told<'_>, words: &[Word]) -> Option<Range<usize>> {
    let is_group = |word: &&Word| {
        let value = &told.text[word.core.clone()];
        !word.is_sign && value.contains(|c: char| c.is_ascii_digit()) && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let groups = words.iter().take(12).take_while(is_group).count();
    let end = words[..groups].iter().position(|word| word.ends_clause || word.ends_sentence).map_or(groups, |end| end + 1);
    let at = words.first()?.core.start..words[..end].last()?.core.end;
    (Shape::of(&told.text[at.clone()]).chars >= 6).then_some(at)
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

fn hyphens(value: &str) -> usize {
    value.matches(['-', '.', '_']).count()
}

/// Returns whether a UUID follows so loosely that it is an identifier.
fn is_uuid_talk(link: Link, value: &str) -> bool {
    let lens: Vec<usize> = value.split('-').map(str::len).collect();
    lens == [8, 4, 4, 4, 12] && link < Link::Strong
}

/// Returns whether a word with digits or signs is an ordinary one: a date, a time, a number with a unit, an
/// address, a file, a ticket.
pub(super) fn is_ordinary_shape(value: &str, link: Link) -> bool {
    let shape = Shape::of(value);
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b));
    let is_call = value.find(['(', '=', '[']).is_some_and(|at| is_name(&value[..at]));
    let is_code = is_call || value.contains("::") || value.contains(['<', '>', '{', '}', '\\']) || value.starts_with("0x");
    let is_web = is_code || value.contains("://") || value.starts_with("www.") || value.starts_with('/') || value.starts_with('@');
    let is_mail = value.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains(['!', '#', '$', '@']) && !host.ends_with('.'));
    let is_host = shape.symbols == 0 && value.split_once('.').is_some_and(|_| {
        let parts: Vec<&str> = value.split('.').collect();
        let last = parts.last().copied().unwrap_or_default();
        (2..=5).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_lowercase()) && parts.iter().all(|part| !part.is_empty())
    });
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit() || ".,:".contains(c));
    let number_len = value.len() - rest.len();
    // "24h", "12th", "50%", "8-stellig", "90-day".
    let is_quantity = number_len > 0
        && (rest.chars().count() <= 2 && !rest.contains(['!', '#', '*', '$'])
            || rest.starts_with('-') && rest.chars().count() > 2 && rest[1..].chars().all(|c| c.is_lowercase() || c == '-') && number_len <= 3);
    let is_money = value.starts_with(['$', '€', '£', '¥']) && value.chars().skip(1).all(|c| c.is_ascii_digit() || ".,kKmM".contains(c))
        || value.ends_with(['€', '%', '°', '$']) && value.chars().rev().skip(1).all(|c| c.is_ascii_digit() || ".,".contains(c));
    // "ABC-123" is a ticket, "B-204" a room, "v1.2" a version, unless a colon says otherwise.
    let letters = value.chars().take_while(|c| c.is_ascii_uppercase()).count();
    let is_ticket = link < Link::Weak
        && letters > 0
        && shape.lower == 0
        && shape.symbols == 0
        && value[letters..].trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    let is_version = value.strip_prefix('v').is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'));
    let is_tag = value.starts_with('#') && value.chars().skip(1).all(char::is_alphanumeric) && shape.digits == 0;
    let is_contraction = shape.digits == 0 && shape.symbols == 0 && !value.contains('_') && shape.upper <= 1;
    // `a_new_key_has_256_bits` is a name of a program.
    let is_snake = link < Link::Strong
        && value.matches('_').count() >= 2
        && value.split('_').all(|part| Shape::of(part).changes == 0);
    is_snake || is_web || is_mail || is_host || is_quantity || is_money || is_ticket || is_version || is_tag
        || is_contraction && !value.contains(['-', '.']) && value.contains(['\'', '’'])
        || numbers::is_calendar(value)
}

/// Returns the range of plain words at the beginning of words that the sentence states as the value.
pub(super) fn plain_value(statement: &Statement<'_>, words: &[Word], link: Link) -> Option<Range<usize>> {
    let word = words.first()?;
    let kind = statement.noun.kind;
    let text = statement.told.text;
    if word.is_quoted {
        return quoted_value(statement, word, words, link);
    }
    if kind == Kind::Key && link >= Link::Weak {
        let is_group = |word: &&Word| word.core.len() == 4 && text[word.core.clone()].bytes().all(|b| b.is_ascii_lowercase());
        let groups = words.iter().take(4).take_while(is_group).count();
        return (groups == 4).then(|| word.value.start..words[3].value.end);
    }
    if kind == Kind::Pattern && link >= Link::Weak {
        return drawn(statement, words);
    }
    if link < Link::Weak || !matches!(kind, Kind::Password | Kind::Passphrase | Kind::Answer) {
        return None;
    }
    if link < Link::Strong && (statement.is_compound() || statement.noun.is_strict && !statement.has_place(&word.value)) {
        return None;
    }
    if let Some(spelled) = statement.spelled(words) {
        return Some(spelled);
    }
    let clause = words.iter().position(|word| word.ends_sentence || word.ends_clause || word.has_colon)? + 1;
    let clause = &words[..clause];
    let is_plain = |word: &&Word| !word.is_sign && !word.is_quoted && is_plain_word(&text[word.core.clone()]);
    let last = clause.last()?;
    let ordinary = |word: &&Word| statement.is_ordinary(statement.told.lower(word));
    let denied = statement.language().suffix_ordinary.iter().any(|one| statement.told.lower(word).contains(one.as_str()));
    if denied || !clause.iter().all(|word| is_plain(&word)) || last.has_colon {
        return None;
    }
    let at = word.value.start..last.value.end;
    let chars = text[at.clone()].chars().count();
    match clause.len() {
        1 => {
            let least = if super::words::is_unspaced(text[word.core.clone()].chars().next()?) { 2 } else { 4 };
            let states = link == Link::Strong || last.ends_sentence || last.ends_clause && (kind == Kind::Answer || !is_capital(text, word));
            (states && chars >= least && chars <= 32 && !ordinary(&word)).then_some(at)
        }
        2 | 3 if kind == Kind::Answer => (!clause.iter().any(|word| ordinary(&word))).then_some(at),
        count @ 3..=12 if kind == Kind::Passphrase || count >= 4 && kind == Kind::Password => {
            let allowed = if kind == Kind::Passphrase && link == Link::Strong { count / 3 } else { 0 };
            let ordinary = clause.iter().filter(ordinary).count();
            (ordinary <= allowed && last.ends_sentence).then_some(at)
        }
        _ => None,
    }
}

/// Returns the range of a line that is drawn on a screen: "a big L, top left straight down".
fn drawn(statement: &Statement<'_>, words: &[Word]) -> Option<Range<usize>> {
    let end = words.iter().position(|word| word.ends_sentence)? + 1;
    let words = &words[..end];
    let is_letter = |word: &Word| word.core.len() == 1 && is_capital(statement.told.text, word);
    let draws = |word: &&Word| is_letter(word) || statement.role(word).is(Role::DIRECTION);
    (words.iter().filter(draws).count() >= 1).then(|| words[0].value.start..words[end - 1].value.end)
}

/// Returns whether a word starts with a capital letter, as a name in the middle of a sentence.
fn is_capital(text: &str, word: &Word) -> bool {
    text[word.core.clone()].starts_with(char::is_uppercase)
}

/// Returns whether a word has only letters and the signs inside words.
fn is_plain_word(word: &str) -> bool {
    word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '_' | '·') || super::is_mark(c))
}

/// Returns the range of a text in quotes, if it is a secret of the noun's kind.
fn quoted_value(statement: &Statement<'_>, word: &Word, words: &[Word], link: Link) -> Option<Range<usize>> {
    let text = &statement.told.text[word.core.clone()];
    let lower = &statement.told.lower[word.core.clone()];
    let shape = Shape::of(text);
    let has_spaces = text.contains(' ');
    let ordinary = lower.split(' ').any(|word| statement.is_ordinary(word.trim_matches(['.', ',', '!'])));
    let is_value = match statement.noun.kind {
        Kind::Login => !has_spaces && shape.is_mixed() && shape.chars >= 5,
        Kind::Password => (3..=64).contains(&shape.chars) && (!has_spaces || link >= Link::Loose && !ordinary),
        Kind::Passphrase => (4..=120).contains(&shape.chars),
        Kind::Answer => (2..=40).contains(&shape.chars) && link >= Link::Weak,
        Kind::Key => !has_spaces && !is_words(text) && is_random(text, if link >= Link::Weak { 12 } else { 16 }),
        Kind::Recovery => shape.digits > 0 && shape.chars >= 6,
        Kind::Code => shape.digits >= 3 && shape.chars <= 12 && statement.has_place(&word.value),
        Kind::Pattern => false,
        Kind::Pin | Kind::CardCode => shape.digits >= 3 && shape.digits == shape.chars && shape.chars <= 10,
    };
    let talks = !word.ends_sentence && words.get(1).is_some_and(|next| statement.role(next).is(Role::UNIT.or(Role::TALK)));
    let is_ordinary = !has_spaces && (ordinary && !shape.is_mixed() || is_ordinary_shape(text, link) && shape.symbols == 0);
    let enough = link >= Link::Loose || matches!(link, Link::Adjacent | Link::Dash | Link::Possessive);
    // "Forgot password?" is the text of a link.
    let names_secret = statement.told.languages.nouns(lower).any(|(_, nouns)| nouns.iter().any(|noun| noun.kind == Kind::Password && !noun.is_strict));
    (is_value && enough && !names_secret && !is_ordinary && !talks && !has_mask(text)).then(|| word.value.clone())
}

fn has_mask(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '*' | '•' | '.' | '_' | '-' | '●' | 'x' | 'X' | '?'))
}
