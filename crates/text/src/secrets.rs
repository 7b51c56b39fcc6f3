//! The secret scan: finds texts that look like credentials before a memory is stored.
//!
//! | module | finds |
//! |---|---|
//! | `rules` | credentials of about a thousand services, by the rules of gitleaks and others |
//! | `tokens` | tokens by the text they start with |
//! | `assignments`, `names` | values of variables, fields and options whose name says that they are secret |
//! | `urls`, `commands` | passwords in URLs, on command lines, in SQL statements and in HTTP headers |
//! | `private_keys`, `numbers`, `seed_phrases` | key blocks; cards and IBANs by their check digits; seed phrases |
//! | `stated` | passwords, PINs and codes that people tell in their own words, in 16 languages |
//!
//! `values` knows placeholders, references to vaults and hashes, which are no secrets. Except for `rules`,
//! the modules read the text themselves instead of with regular expressions: they keep no caches, and the
//! time is linear in the length of the text.

mod assignments;
mod commands;
mod headers;
mod lists;
mod merge;
mod names;
mod numbers;
mod one_time;
mod private_keys;
mod rules;
mod seed_phrases;
mod stated;
#[cfg(test)]
mod tests;
mod tokens;
mod urls;
mod values;

use std::ops::Range;
use std::sync::LazyLock;

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
    // Two matches may end and start within one character of the original.
    merge::merge_overlaps(found)
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
    private_keys::find(text, &mut found);
    tokens::find(text, &mut found);
    urls::find(text, &mut found);
    commands::find(text, &mut found);
    headers::find(text, &mut found);
    assignments::find(text, &mut found);
    numbers::find(text, &mut found);
    one_time::find(text, &mut found);
    seed_phrases::find(text, &mut found);
    stated::find(text, &mut found);
    if let Some(rules) = RULES.as_ref() {
        merge::add_library(text, &mut found, rules.find(text));
    }
    found.retain(|secret| text.get(secret.at.clone()).is_some_and(|text| !text.is_empty()));
    merge::merge_overlaps(found)
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
