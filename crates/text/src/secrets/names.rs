//! Names of variables, fields and options: which of them hold secrets.
//!
//! A name is divided into words (`dbPassword`, `DB_PASSWORD`, `db-password`). Its last noun decides:
//! `TOKEN_URL` and `passwordLengthMin` hold no secret.

use std::sync::LazyLock;

use super::lists::Lists;

static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists::read(include_str!("lists/names.toml")));

/// A kind of secret by the name of what holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A word that a person may have chosen.
    Password,
    /// A number: a PIN or the code of a card.
    Pin,
    /// A random text that a service gave out.
    Token,
    /// A name that also holds other things (`key`, `sig`, `session`): only a random text counts.
    Weak,
}

/// A kind of secret, and how to call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NamedSecret {
    pub(super) kind: NameKind,
    pub(super) rule: &'static str,
}

/// Returns what secret a name holds, if any.
pub(super) fn secret_of(name: &str) -> Option<NamedSecret> {
    let words = words_of(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.iter().any(|word| LISTS.has("others", word)) {
        return None;
    }
    let is_tail = |word: &&str| LISTS.has("tails", word) || word.bytes().all(|b| b.is_ascii_digit());
    let (at, kind) = (0..words.len()).rev().find_map(|at| Some((at, kind_of(&words, at)?)))?;
    let tails = &words[at + 1..];
    // An account's SID names it, as a client's id does.
    if words[at] == "sid" && words.len() > 1 && !words.contains(&"connect") && !words.contains(&"session") {
        return None;
    }
    if at.checked_sub(1).is_some_and(|before| words[before] == "page") {
        return None;
    }
    if !tails.iter().all(is_tail) {
        return None;
    }
    Some(NamedSecret { kind, rule: rule_of(&words, words[at], kind) })
}

/// Returns the kind of secret that the word at an index stands for.
fn kind_of(words: &[&str], at: usize) -> Option<NameKind> {
    let word = words[at];
    let before = at.checked_sub(1).map(|before| words[before]);
    if LISTS.has("pins", word) {
        return Some(NameKind::Pin);
    }
    if LISTS.has("passwords", word) {
        return Some(NameKind::Password);
    }
    if LISTS.has("secrets", word) || LISTS.has("tokens", word) || LISTS.has("keys", word) {
        return Some(NameKind::Token);
    }
    if word == "key" && before.is_some_and(|before| LISTS.has("key_qualifiers", before)) {
        return Some(NameKind::Token);
    }
    if word == "auth" && at == 0 && words.len() == 1 || LISTS.has("weak", word) {
        return Some(NameKind::Weak);
    }
    // Compounds without a sign between the words: `dbpassword`, `mysqlpwd`, `githubtoken`.
    let ends = |ends: &[&str]| ends.iter().any(|end| word.len() > end.len() && word.ends_with(end));
    if ends(&["password", "passwd", "passwort", "passphrase", "kennwort"]) {
        return Some(NameKind::Password);
    }
    ends(&["token", "apikey", "secret", "secretkey", "accesskey", "privatekey"]).then_some(NameKind::Token)
}

/// Returns how to call the secret that a name holds.
fn rule_of(words: &[&str], noun: &str, kind: NameKind) -> &'static str {
    let has = |list: &str| words.iter().any(|word| LISTS.has(list, word));
    let names = |ones: &[&str]| words.iter().any(|word| ones.contains(word));
    match kind {
        NameKind::Password if has("databases") => "database password",
        NameKind::Password if has("networks") => "wifi password",
        NameKind::Password if noun == "passphrase" => "passphrase",
        NameKind::Password => "password",
        NameKind::Pin if noun.starts_with("cv") => "card security code",
        NameKind::Pin => "PIN",
        NameKind::Token if names(&["totp", "otp"]) => "one-time password secret",
        NameKind::Token if names(&["private", "privatekey", "privkey"]) => "private key",
        NameKind::Token if noun.contains("token") || noun == "jwt" || noun == "pat" => "access token",
        NameKind::Token if noun.contains("secret") => "secret",
        NameKind::Token => "API key",
        NameKind::Weak if noun.starts_with("sig") || noun == "sas" => "signature of a link",
        NameKind::Weak if noun.contains("sess") || noun == "sid" || noun == "cookie" => "session cookie",
        NameKind::Weak if noun.starts_with("auth") || noun.starts_with("cred") => "credentials",
        NameKind::Weak => "secret key",
    }
}

/// Divides a name into words in lower case: at `_`, `-`, `.`, `/` and spaces, and before a capital letter.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let chars: Vec<char> = name.chars().collect();
    let mut word = String::new();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| chars[before]);
        let is_start = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || before.is_uppercase()
                        && chars.get(at + 1).is_some_and(|next| next.is_lowercase())
                        // "APIs" and "IDs" are one word.
                        && !(chars.get(at + 1) == Some(&'s') && chars.len() == at + 2)
            });
        if !c.is_alphanumeric() || is_start {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    // "API_KEY2" and "PASSWORD1" end in a number.
    for word in &mut words {
        let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
        if !name.is_empty() && !matches!(word.as_str(), "cvv2" | "cvc2" | "base64" | "b64" | "auth0") {
            word.truncate(name.len());
        }
    }
    words
}
