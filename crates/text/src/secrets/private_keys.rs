//! Private keys in blocks of text: PEM, OpenSSH, PGP and PuTTY.
//!
//! A block without key material, such as a mention of its first line, is no secret.

use super::SecretMatch;

/// A longer block is cut off.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// A key has at least so many characters of base64 in one piece.
const KEY_CHARS_MIN: usize = 20;

/// Adds the private keys of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let mut past = 0;
    for (start, begin) in text.match_indices("-----BEGIN ") {
        let Some(label) = label(&text[start + begin.len()..]) else { continue };
        if start < past || !label.contains("PRIVATE KEY") {
            continue;
        }
        let body_at = start + begin.len() + label.len() + 5;
        let limit = text.floor_char_boundary(body_at + BLOCK_BYTES_MAX);
        let body = &text[body_at..limit];
        let body = &body[..body.find("-----BEGIN ").unwrap_or(body.len())];
        let end = body.find("-----END ").map_or_else(|| key_len(body), |end| end + closing_len(&body[end..]));
        if has_key(&body[..end]) {
            past = body_at + end;
            found.push(SecretMatch { rule: "private key".into(), at: start..past });
        }
    }
    for (start, _) in text.match_indices("PuTTY-User-Key-File-") {
        let limit = text.floor_char_boundary(start + BLOCK_BYTES_MAX);
        let block = &text[start..limit];
        if start >= past && block.contains("Private-Lines") && has_key(block) {
            let end = block.find("Private-MAC").unwrap_or(block.len());
            let end = block[end..].find('\n').map_or(block.len(), |line| end + line);
            past = start + end;
            found.push(SecretMatch { rule: "private key".into(), at: start..past });
        }
    }
}

/// Returns the label of a block: `RSA PRIVATE KEY`.
fn label(text: &str) -> Option<&str> {
    let len = text
        .bytes()
        .take(60)
        .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b" ".contains(b))
        .count();
    text[len..].starts_with("-----").then(|| &text[..len])
}

/// Returns the length of the last line of a block.
fn closing_len(text: &str) -> usize {
    let begin = "-----END ".len();
    label(&text[begin..]).map_or(begin, |label| begin + label.len() + 5)
}

/// Returns the length of the base64 at the beginning of a block without an end.
fn key_len(body: &str) -> usize {
    let is_key = |b: &u8| b.is_ascii_alphanumeric() || b"+/=\r\n\\ -:,.".contains(b);
    let len = body.bytes().take_while(is_key).count();
    // Prose after the key belongs to it only up to the last long word.
    let words = body[..len].split_whitespace().take_while(|word| word.len() >= KEY_CHARS_MIN);
    words.last().map_or(0, |word| word.as_ptr() as usize - body.as_ptr() as usize + word.len())
}

/// Returns whether a block has key material.
fn has_key(body: &str) -> bool {
    let mut run = 0;
    body.split("\\n").flat_map(str::bytes).any(|b| {
        run = if b.is_ascii_alphanumeric() || b == b'+' || b == b'/' { run + 1 } else { 0 };
        run >= KEY_CHARS_MIN
    })
}
