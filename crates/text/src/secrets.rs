//! The secret scan: finds texts that look like credentials before a memory is stored.
//!
//! The rules of gitleaks and others (`secrets/rules.rs`) find credentials as programs write them. The
//! patterns here add passwords and card numbers as people write them.

mod rules;

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

pub use self::rules::SecretMatch;
use self::rules::SecretRules;

/// The replacement for a secret.
const REDACTED: &str = "[redacted]";

static RULES: LazyLock<Option<SecretRules>> = LazyLock::new(|| {
    let rules = SecretRules::read();
    if rules.is_none() {
        tracing::error!("could not load the secret rules");
    }
    rules
});

/// Matches "my password is hunter2" and "PIN: 4711". A plain word ("is wrong", "is needed") is not a
/// password: the value must contain a digit or a symbol, or be in quotes.
static STATED_PASSWORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r"(?:pass\s?words?|pass\s?phrases?|pass\s?codes?|passwort|kennwort|contraseña|mot de passe|passwd|pwd|pin(?:\s?code)?|cvv|cvc|secret(?:\s?key)?|api[ _-]?key|access[ _-]?token|auth[ _-]?token)";
    let link = r"(?:\s+(?:for|to|of|on|at)\s+[^\n]{1,60}?)?\s*(?:\s(?:is|was|are|ist|es|est)(?:\s+now)?\s*:?|=|:|→|->)\s*";
    let value = r#"(?P<value>"[^"\n]{4,}"|'[^'\n]{4,}'|`[^`\n]{4,}`|[^\s"'`]*[\d!@#$%^&*+=~][^\s"'`]*)"#;
    Regex::new(&format!(r"(?i)\b{name}{link}{value}")).ok()
});

static CARD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b\d(?:[ -]?\d){12,18}\b").ok());

/// Lar's own keys, such as `lar_` and 64 hexadecimal digits.
static OWN_KEY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\blar_[0-9A-Za-z]{32,}").ok());

/// The password in a URL: `postgres://user:password@host`.
static URL_PASSWORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]*:(?P<value>[^\s/@]+)@").ok());

/// An environment variable whose name indicates a secret: `DB_PASSWORD=…`.
static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r"[A-Z0-9_]*(?:PASSWORD|PASSWD|PWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)[A-Z0-9_]*";
    Regex::new(&format!(r#"\b{name}=(?P<value>"[^"\n]+"|'[^'\n]+'|[^\s"']+)"#)).ok()
});

/// Returns whether a text contains a secret.
#[must_use]
pub fn has_secret(text: &str) -> bool {
    !find(text).is_empty()
}

/// Finds the secrets in a text, in order.
///
/// Overlapping matches are merged under the rule of the first. Full-width characters, and invisible
/// characters in between, do not hide a secret.
#[must_use]
pub fn find(text: &str) -> Vec<SecretMatch> {
    if text.is_ascii() {
        return find_plain(text);
    }
    let normal = NormalizedText::of(text);
    let mut found = find_plain(&normal.text);
    found.iter_mut().for_each(|secret| secret.at = normal.original(&secret.at));
    found
}

/// A text in Unicode's compatibility form (NFKC, per character) without invisible characters.
struct NormalizedText {
    text: String,
    /// For each byte of `text`, the byte range of its character in the original.
    origin: Vec<Range<usize>>,
}

impl NormalizedText {
    fn of(original: &str) -> Self {
        let (mut text, mut origin) =
            (String::with_capacity(original.len()), Vec::with_capacity(original.len()));
        for (start, c) in original.char_indices().filter(|(_, c)| !is_invisible(*c)) {
            text.extend(std::iter::once(c).nfkc());
            origin.resize(text.len(), start..start + c.len_utf8());
        }
        Self { text, origin }
    }

    /// Returns the range in the original of a non-empty range of the text.
    fn original(&self, at: &Range<usize>) -> Range<usize> {
        let byte = |at: usize| self.origin.get(at).cloned().unwrap_or_default();
        byte(at.start).start..byte(at.end.saturating_sub(1)).end
    }
}

/// Returns whether a character is invisible and separates nothing: soft hyphens, zero-width characters and
/// direction marks.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

fn find_plain(text: &str) -> Vec<SecretMatch> {
    let mut found: Vec<SecretMatch> = Vec::new();
    let values = [(&OWN_KEY, "lar-key"), (&URL_PASSWORD, "url-password"), (&VARIABLE, "secret-variable")];
    for (pattern, rule) in values.iter().filter_map(|(pattern, rule)| Some((pattern.as_ref()?, *rule))) {
        let values = pattern.captures_iter(text).filter_map(|one| one.name("value").or_else(|| one.get(0)));
        let secrets = values.filter(|value| !is_placeholder(value.as_str()));
        found.extend(secrets.map(|value| SecretMatch { rule: rule.into(), at: value.range() }));
    }
    if let Some(rules) = RULES.as_ref() {
        found.extend(rules.find(text));
    }
    if let Some(stated) = STATED_PASSWORD.as_ref() {
        let values = stated.captures_iter(text).filter_map(|captures| captures.name("value"));
        let secrets = values.filter(|value| is_secret(value.as_str()));
        found.extend(secrets.map(|value| SecretMatch { rule: "stated-password".into(), at: value.range() }));
    }
    if let Some(card) = CARD.as_ref() {
        let numbers = card.find_iter(text).filter(|number| is_card_number(number.as_str()));
        found.extend(numbers.map(|number| SecretMatch { rule: "card-number".into(), at: number.range() }));
    }
    found.retain(|secret| text.get(secret.at.clone()).is_some_and(|text| !text.is_empty()));
    merge_overlaps(found)
}

/// Sorts matches and merges those that overlap.
fn merge_overlaps(mut found: Vec<SecretMatch>) -> Vec<SecretMatch> {
    found.sort_by_key(|secret| (secret.at.start, std::cmp::Reverse(secret.at.end)));
    found.dedup_by(|secret, before| {
        let overlaps = secret.at.start < before.at.end;
        if overlaps {
            before.at.end = before.at.end.max(secret.at.end);
        }
        overlaps
    });
    found
}

/// Replaces the secrets in a text by [`REDACTED`].
#[must_use]
pub fn redact(text: &str, secrets: &[SecretMatch]) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets {
        redacted.push_str(&text[at..secret.at.start]);
        redacted.push_str(REDACTED);
        at = secret.at.end;
    }
    redacted.push_str(&text[at..]);
    redacted
}

/// Returns whether a value is a placeholder: `$TOKEN`, `${TOKEN}`, `<token>`, `...`, `***`, or already
/// redacted.
fn is_placeholder(value: &str) -> bool {
    let bare = value.trim_matches(['"', '\'', '`']);
    bare.starts_with(['$', '<', '{'])
        || bare.starts_with("[redacted")
        || bare.chars().all(|c| matches!(c, '.' | '*' | '…' | 'x' | 'X'))
}

/// Returns whether a stated value can be a password: at least 4 characters, not a long number, and not
/// redacted.
fn is_secret(value: &str) -> bool {
    let bare = value.trim_matches(|c: char| "\"'`.,;:!?)(".contains(c));
    let digits = bare.chars().filter(char::is_ascii_digit).count();
    bare.len() >= 4 && !bare.starts_with("[redacted") && (digits < bare.len() || digits <= 8)
}

/// Returns whether digits form a card number: the check digit (Luhn, ISO/IEC 7812) is valid, and the digits
/// are not all the same.
fn is_card_number(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 0 { *digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_redacted() {
        let key = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
        let cases = [
            (format!("export TOKEN={key} # for CI"), "export TOKEN=[redacted] # for CI"),
            ("My password for the router is hunter2!".into(), "My password for the router is [redacted]"),
            ("The alarm's PIN is 4711 now".into(), "The alarm's PIN is [redacted] now"),
            ("Pay with 4111 1111 1111 1111 please".into(), "Pay with [redacted] please"),
            ("passphrase: \"correct horse battery\"".into(), "passphrase: [redacted]"),
            (format!("Lar's key is lar_{} here", "0a1b2c3d".repeat(8)), "Lar's key is [redacted] here"),
            ("postgres://anna:hunter2@db/x and more".into(), "postgres://anna:[redacted]@db/x and more"),
            ("https://anna:p%40ss@example.org".into(), "https://anna:[redacted]@example.org"),
            ("DB_PASSWORD=hunter\nPORT=80".into(), "DB_PASSWORD=[redacted]\nPORT=80"),
            ("export OPENAI_API_KEY='abc def'".into(), "export OPENAI_API_KEY=[redacted]"),
            ("The pass\u{200b}word is hun\u{200b}ter2!".into(), "The pass\u{200b}word is [redacted]"),
            (
                "Ｔｈｅ ｐａｓｓｗｏｒｄ ｉｓ ｈｕｎｔｅｒ２！ ok".into(),
                "Ｔｈｅ ｐａｓｓｗｏｒｄ ｉｓ [redacted] ok",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(&text, &find(&text)), expected);
        }
    }

    #[test]
    fn overlapping_secrets_are_redacted_whole() {
        let secret = |rule: &str, at| SecretMatch { rule: rule.into(), at };
        let found = vec![secret("b", 14..30), secret("a", 11..20), secret("c", 12..13), secret("d", 30..32)];
        assert_eq!(merge_overlaps(found), [secret("a", 11..30), secret("d", 30..32)]);
    }

    #[test]
    fn texts_without_secrets_stay_unchanged() {
        let texts = [
            "My password manager is Bitwarden.",
            "Set TOKEN=$TOKEN or API_KEY=<your key> in the file.",
            "See https://example.org:8080/a@b and mailto:anna@example.org, née Müller 🎉.",
            "The password is needed at every start.",
            "We rotate API keys every 90 days.",
            "Order 1234 5678 9012 3456 was late",
            "commit 3f786850e387550fdab836ed7e6dc881de23001b broke the build",
            "The meeting is at 14:30 in room B-204, pin it to the board.",
        ];
        for text in texts {
            assert_eq!(find(text), [], "{text}");
        }
    }
}
