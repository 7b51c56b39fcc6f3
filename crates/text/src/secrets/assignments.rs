//! Values assigned to a name that holds a secret: `DB_PASSWORD=…`, `"apiKey": "…"`, `Password=…;`,
//! `--token …`, `<password>…</password>`, `name: DB_PASSWORD` with `value: …` below.
//!
//! Each `=`, `:` and `>` is looked at once; the name before it and the value after it have a limit, so the
//! time is linear.

use std::ops::Range;

use super::SecretMatch;
use super::names::{self, NameKind, NamedSecret};
use super::values::{self, Shape};

/// Longer names are not read.
const NAME_BYTES_MAX: usize = 80;
/// Longer values are cut off.
const VALUE_BYTES_MAX: usize = 4096;

/// Names in a longer value are not looked for if it is no secret.
const REREAD_BYTES_MAX: usize = 200;

/// A value of a name that says that it is secret.
struct Value {
    rule: &'static str,
    at: Range<usize>,
    is_secret: bool,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// In quotes.
    Quoted,
    /// After `=` without a space, as in `.env` files and on command lines.
    Attached,
    /// After a colon or a spaced `=`.
    Spaced,
}

/// Adds the assigned secrets of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(offset) =
        bytes[at..].iter().position(|b| matches!(b, b'=' | b':' | b'>' | b'-' | b'_' | b','))
    {
        let here = at + offset;
        at = here + 1;
        let value = match bytes[here] {
            b'-' => option(text, here),
            b'_' => variable_with_space(text, here),
            _ => assigned(text, here),
        };
        let Some(Value { rule, at: value, is_secret }) = value else { continue };
        // A long value is not read again from its middle, so that the time is linear.
        if is_secret || value.len() > REREAD_BYTES_MAX {
            at = at.max(value.end);
        }
        if is_secret {
            found.push(SecretMatch { rule: rule.into(), at: value });
        }
    }
}

/// Reads the name before and the value after a sign of assignment.
fn assigned(text: &str, sign: usize) -> Option<Value> {
    let bytes = text.as_bytes();
    // `define('AUTH_KEY', '…')` has both in quotes.
    let is_comma = bytes[sign] == b',';
    if is_comma && !(sign > 0 && b"\"'".contains(&bytes[sign - 1])) {
        return None;
    }
    let sign_len = match &bytes[sign..] {
        [b'=', b'>', ..] | [b':', b'=', ..] => 2,
        [b'=', b'=' | b'~', ..] | [b':', b':' | b'/', ..] => return None,
        _ => 1,
    };
    if sign > 0 && matches!(bytes[sign - 1], b'=' | b'!' | b'<' | b'>' | b'~') && bytes[sign] != b':' {
        return None;
    }
    let name_at = name_before(text, sign)?;
    let name = &text[name_at.clone()];
    if bytes[sign] == b'>' {
        return element(text, &name_at, sign);
    }
    // The shell shows the text after `${NAME:?` if the variable is unset.
    if text[..name_at.start].ends_with("${") && matches!(bytes.get(sign + 1), Some(b'?' | b'+')) {
        return None;
    }
    let mut value_at = sign + sign_len;
    let mut named = names::secret_of(name);
    if named.is_none() && matches!(name, "value" | "Value" | "VALUE") {
        named = names::secret_of(&text[sibling_name(text, name_at.start)?]);
    }
    let named = named?;
    let spaces = bytes[value_at..].iter().take_while(|b| **b == b' ' || **b == b'\t').count();
    value_at += spaces;
    // A name in the middle of a sentence before a colon ("The token: see below") is no assignment.
    let attached = bytes[sign] == b'=' && spaces == 0;
    let (value, style) = value(text, value_at, attached)?;
    if is_comma
        && (style != Style::Quoted
            || !text[..name_at.start].trim_end_matches([' ', '"', '\'']).ends_with('('))
    {
        return None;
    }
    let is_code_name =
        name.contains(['_', '-', '.']) || bytes.get(name_at.end).is_some_and(|b| b"\"'".contains(b));
    let line_start = text[..name_at.start].trim_end_matches([' ', '\t', '-', '"', '\'', '{', ',']);
    let alone =
        line_start.is_empty() || line_start.ends_with(['\n', '{', ',']) || line_start.ends_with("export");
    let ends_line = text[value.end..].trim_start_matches([' ', '\t', '\r', ',', ';']).is_empty()
        || text[value.end..].trim_start_matches([' ', '\t', '\r', ',', ';']).starts_with(['\n', '}', '#']);
    // "password: ask Tom" is left to the rules for sentences.
    let is_field = is_code_name || alone && (bytes[sign] == b'=' || style == Style::Quoted);
    let is_whole = style != Style::Spaced || ends_line || Shape::of(&text[value.clone()]).is_mixed();
    let is_secret = is_whole && is_secret(&text[value.clone()], named, name, style, is_field);
    Some(Value { rule: named.rule, at: value, is_secret })
}

/// Returns the range of the name that ends before an index, past quotes and spaces.
fn name_before(text: &str, end: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let floor = end.saturating_sub(NAME_BYTES_MAX);
    let mut stop = end;
    while stop > floor
        && matches!(bytes[stop - 1], b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\' | b']' | b'?' | b'*')
    {
        stop -= 1;
    }
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.') || !b.is_ascii();
    let mut start = stop;
    while start > floor && is_name(bytes[start - 1]) {
        start -= 1;
    }
    let start = text.ceil_char_boundary(start);
    (start < stop && text.is_char_boundary(stop)).then_some(start..stop)
}

/// Returns the name in `name: DB_PASSWORD` or `"name": "DB_PASSWORD",` before a field `value`.
fn sibling_name(text: &str, before: usize) -> Option<Range<usize>> {
    let head = text[..before].trim_end_matches([' ', '\t', '\n', '\r', '"', '\'', ',', ';', '-']);
    let at = name_before(text, head.len())?;
    let key = text[..at.start].trim_end_matches([' ', '"', '\'']).strip_suffix([':', '='])?;
    let key = key.trim_end_matches([' ', '"', '\'']).to_ascii_lowercase();
    ["name", "key", "variable"].iter().any(|name| key.ends_with(name)).then_some(at)
}

/// Reads `<password>value</`.
fn element(text: &str, name_at: &Range<usize>, sign: usize) -> Option<Value> {
    if !text[..name_at.start].ends_with('<') {
        return None;
    }
    let named = names::secret_of(&text[name_at.clone()])?;
    let limit = text.floor_char_boundary(sign + 1 + VALUE_BYTES_MAX);
    let value = &text[sign + 1..limit];
    let value = &value[..value.find(['<', '\n']).filter(|end| value[*end..].starts_with("</"))?];
    let is_value = !value.trim().is_empty() && is_secret(value, named, "", Style::Quoted, true);
    Some(Value { rule: named.rule, at: sign + 1..sign + 1 + value.len(), is_secret: is_value })
}

/// Reads `--token value` and `-Password value` at the first sign of an option.
fn option(text: &str, dash: usize) -> Option<Value> {
    let bytes = text.as_bytes();
    let before = dash.checked_sub(1).map(|before| bytes[before]);
    if before.is_some_and(|b| !b.is_ascii_whitespace() && !b"(\"'`[".contains(&b)) {
        return None;
    }
    let name_at = dash + 1 + usize::from(bytes.get(dash + 1) == Some(&b'-'));
    let is_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let len = bytes[name_at..].iter().take(NAME_BYTES_MAX).take_while(is_name).count();
    let spaces = bytes[name_at + len..].iter().take_while(|b| **b == b' ').count();
    let name = &text[name_at..name_at + len];
    if len < 2 || spaces == 0 {
        return None;
    }
    let named = names::secret_of(name).filter(|named| named.kind != NameKind::Weak)?;
    let (value, style) = value(text, name_at + len + spaces, true)?;
    let value_text = &text[value.clone()];
    // "--password option" is talk about the option.
    let is_word = style != Style::Quoted && !Shape::of(value_text).is_mixed();
    let rest = text[value.end..].trim_start_matches([' ', '`', '"']);
    let ends_line = rest.is_empty() || rest.starts_with(['\n', '-', '|', '&', '\\']);
    let is_secret = !value_text.starts_with('-')
        && (!is_word || ends_line)
        && is_secret(value_text, named, name, style, true);
    Some(Value { rule: named.rule, at: value, is_secret })
}

/// Reads `ENV DB_PASSWORD value`, `setx API_KEY value`, `aws configure set aws_secret_access_key value`: a
/// name with `_`, one space, and a value that looks like a secret.
fn variable_with_space(text: &str, underscore: usize) -> Option<Value> {
    let bytes = text.as_bytes();
    let is_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
    let before = bytes[..underscore].iter().rev().take(NAME_BYTES_MAX).take_while(is_name).count();
    // The first underscore of a name reads it.
    if bytes[underscore - before..underscore].contains(&b'_') {
        return None;
    }
    let start = underscore - before;
    let len = bytes[start..].iter().take(NAME_BYTES_MAX).take_while(is_name).count();
    if bytes.get(start + len) != Some(&b' ') {
        return None;
    }
    let named = names::secret_of(&text[start..start + len]).filter(|named| named.kind != NameKind::Weak)?;
    let (value, style) = value(text, start + len + 1, true)?;
    let shape = Shape::of(&text[value.clone()]);
    let value_text = &text[value.clone()];
    let is_secret = shape.chars >= 8
        && (shape.is_strong() || values::is_random(value_text, 12))
        && is_secret(value_text, named, "_", style, true);
    Some(Value { rule: named.rule, at: value, is_secret })
}

/// Returns the range and style of the value at an index. An attached value may have any sign but spaces and
/// quotes.
fn value(text: &str, at: usize, attached: bool) -> Option<(Range<usize>, Style)> {
    let bytes = text.as_bytes();
    let limit = text.floor_char_boundary(at + VALUE_BYTES_MAX);
    // A letter before a string, as in Python's `b"…"`, and the backslash of a quote inside a string.
    let prefix = match &bytes[at.min(bytes.len())..] {
        [b'b' | b'r' | b'f' | b'u' | b'@' | b'\\' | b'L', b'"' | b'\'', ..] => 1,
        _ => 0,
    };
    let start = at + prefix;
    let quote = *bytes.get(start)?;
    if matches!(quote, b'"' | b'\'' | b'`') {
        let inner = &text[start + 1..limit.max(start + 1)];
        let end = closing_quote(inner.as_bytes(), quote)?;
        return (end > 0).then_some((start..start + end + 2, Style::Quoted));
    }
    let ends = |b: u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`' | b'<');
    // `<your key>` is read whole, as a placeholder.
    let skip = usize::from(quote == b'<');
    let mut end = start + skip;
    while end < limit
        && !ends(bytes[end])
        && !(matches!(bytes[end], b';' | b'&' | b',' | b'|') && ends_value(&text[end + 1..limit]))
    {
        end += 1;
    }
    if attached && bytes.get(end).is_some_and(|b| b"\"'`".contains(b)) && end - start < 2 {
        return None;
    }
    end += app_password_len(&text[start..end], &text[end..limit]);
    let trimmed = text[start..end].trim_end_matches([',', ';', ')', ']', '}', '.', ':', '\\']);
    (!trimmed.is_empty())
        .then(|| (start..start + trimmed.len(), if attached { Style::Attached } else { Style::Spaced }))
}

/// Returns the length of the rest of an app password, which services show in four groups of four letters.
fn app_password_len(first: &str, rest: &str) -> usize {
    let is_group = |group: &str| group.len() == 4 && group.bytes().all(|b| b.is_ascii_lowercase());
    let groups = rest.get(..15).unwrap_or_default();
    let followed = rest[groups.len()..].starts_with(|c: char| c.is_alphanumeric());
    let is_rest =
        groups.starts_with(' ') && groups[1..].split(' ').filter(|group| is_group(group)).count() == 3;
    if is_group(first) && is_rest && !followed { groups.len() } else { 0 }
}

/// Returns the index of the quote that ends a string on the same line.
fn closing_quote(inner: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    while at < inner.len() {
        match inner[at] {
            b'\n' => return None,
            b'\\' if inner.get(at + 1) == Some(&quote) => return Some(at),
            b'\\' => at += 1,
            b if b == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns whether a text after `;`, `&` or `,` starts another field or nothing.
fn ends_value(rest: &str) -> bool {
    let bytes = rest.as_bytes();
    let name = bytes.iter().take(40).take_while(|b| b.is_ascii_alphanumeric() || b"_- .".contains(b)).count();
    bytes.first().is_none_or(|b| b.is_ascii_whitespace() || b"\"'`&|".contains(b))
        || name > 1 && bytes.get(name).is_some_and(|b| matches!(b, b'=' | b':'))
}

/// Returns whether a value is a secret for the name that holds it.
fn is_secret(value: &str, named: NamedSecret, name: &str, style: Style, is_field: bool) -> bool {
    let bare = values::unquoted(value);
    let shape = Shape::of(bare);
    // The pairs of a cookie are read one by one.
    let is_cookie = named.rule == "session cookie" && bare.trim_end_matches('=').contains('=');
    if is_cookie || shape.chars < 3 || values::is_placeholder(bare) || bare.eq_ignore_ascii_case(name) {
        return false;
    }
    let has_spaces = bare.contains(char::is_whitespace);
    let may_be_code = style != Style::Quoted || value.starts_with('`');
    if may_be_code && values::is_code(bare) || bare.starts_with(['(', '|', '>']) {
        return false;
    }
    let digits_only = shape.digits == shape.chars;
    match named.kind {
        NameKind::Pin => {
            digits_only
                && (3..=10).contains(&shape.chars)
                && is_field
                && (shape.chars > 3 || named.rule != "PIN")
        }
        NameKind::Weak => !has_spaces && values::is_random(bare, 16) && (style != Style::Spaced || is_field),
        NameKind::Token if has_spaces => {
            style == Style::Quoted
                && shape.chars >= 6
                && !name.contains(char::is_lowercase)
                && !is_sentence(bare)
        }
        NameKind::Token => {
            shape.chars >= 8
                && !digits_only
                && !values::is_words(bare)
                && (shape.is_mixed() && (shape.digits > 0 || style == Style::Quoted && shape.symbols > 0)
                    || shape.letters() >= 12 && style != Style::Spaced && is_field && !is_word_list(bare))
        }
        // An unquoted value has spaces only in the groups of an app password.
        NameKind::Password if has_spaces && style != Style::Quoted => true,
        NameKind::Password if has_spaces => {
            style == Style::Quoted && shape.chars >= 6 && is_field && !is_sentence(bare)
        }
        NameKind::Password if digits_only => shape.chars >= 4,
        NameKind::Password if shape.is_mixed() => !is_quantity(bare),
        NameKind::Password => match style {
            Style::Quoted => shape.chars >= 4 && is_field,
            Style::Attached => shape.chars >= 4,
            // A plain word after a colon is left to the rules for sentences, unless it is a field of a file.
            Style::Spaced => shape.chars >= 4 && is_field && !bare.contains('_'),
        },
    }
}

/// Returns whether a text in quotes is a sentence for people ("Enter your password") and not a passphrase.
fn is_sentence(text: &str) -> bool {
    let lower = text.to_lowercase();
    let talk = [
        "password", "must", "please", "the ", "is ", "enter", "required", "invalid", "your", "should",
        "cannot", "not ",
    ];
    text.ends_with(['.', ':', '?']) || talk.iter().any(|word| lower.contains(word))
}

/// Returns whether a value is a number with a unit, or a type: `12chars`, `8-64`, `varchar(255)`.
fn is_quantity(value: &str) -> bool {
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = value.len() - rest.len();
    digits > 0
        && digits <= 3
        && (rest.len() <= 2
            || ["chars", "characters", "days", "hours", "min", "bytes", "bits"]
                .contains(&rest.trim_start_matches('-')))
}

/// Returns whether a value is words joined by signs, as a person writes a name: `github-actions-deploy`.
fn is_word_list(value: &str) -> bool {
    value.contains(['-', '_', '.', '/', ':'])
        && value.split(['-', '_', '.', '/', ':']).all(|part| part.chars().all(char::is_alphabetic))
}
