//! Secrets of one-time passwords (TOTP) as an authenticator shows them: base32, often in groups of four
//! letters.

use super::SecretMatch;

/// Words near the secret, in lower case.
const NAMES: &[&str] = &[
    "2fa",
    "totp",
    "otp",
    "authenticator",
    "mfa",
    "two-factor",
    "two factor",
    "zwei-faktor",
    "setup key",
    "double authentification",
    "dos pasos",
    "duas etapas",
    "due fattori",
    "двухфактор",
    "二步",
    "两步",
    "验证器",
    "二段階",
    "認証アプリ",
    "2단계",
    "인증 앱",
    "doğrulama",
];
/// Bytes before the secret in which such a word is looked for.
const CONTEXT_BYTES: usize = 100;
/// Characters of the shortest secret.
const CHARS_MIN: usize = 16;

/// Adds the secrets of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let bytes = text.as_bytes();
    let is_base32 = |b: u8| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b);
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|b| is_base32(*b)) {
        let start = at + offset;
        let (mut end, mut chars, mut digits) = (start, 0, 0);
        while let Some(b) = bytes.get(end) {
            let joins = matches!(b, b' ' | b'-')
                && (end - start) % 5 == 4
                && bytes.get(end + 1).is_some_and(|b| is_base32(*b));
            if !is_base32(*b) && !joins {
                break;
            }
            chars += usize::from(!joins);
            digits += usize::from(b.is_ascii_digit());
            end += 1;
        }
        at = end.max(start + 1);
        let is_free = (start == 0 || !bytes[start - 1].is_ascii_alphanumeric())
            && !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
        if is_free && chars >= CHARS_MIN && digits > 0 && digits < chars && is_named(text, start) {
            found.push(SecretMatch { rule: "one-time password secret".into(), at: start..end });
        }
    }
}

/// Returns whether the words before an index name a second factor.
fn is_named(text: &str, start: usize) -> bool {
    let before = text[text.ceil_char_boundary(start.saturating_sub(CONTEXT_BYTES))..start].to_lowercase();
    NAMES.iter().any(|name| before.contains(name))
}
