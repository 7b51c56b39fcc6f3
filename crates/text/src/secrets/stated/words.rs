//! The words around a noun, with the signs before and after each.

use std::ops::Range;

/// Words of a sentence after a noun that are looked at.
const WORDS_AFTER_MAX: usize = 24;
/// Words before it.
const WORDS_BEFORE_MAX: usize = 10;
/// A quoted value is not longer.
const QUOTED_BYTES_MAX: usize = 160;
/// A single word is not longer.
const WORD_BYTES_MAX: usize = 300;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretWord {
    /// The range with everything that may belong to a password: all but the signs that end a sentence.
    pub(super) value: Range<usize>,
    /// The range of its letters and digits, without signs at its ends.
    pub(super) core: Range<usize>,
    /// Whether it is a text in quotes.
    pub(super) is_quoted: bool,
    /// Whether a colon, an equals sign or an arrow follows.
    pub(super) has_colon: bool,
    /// Whether a comma, a bracket or a dash follows.
    pub(super) ends_clause: bool,
    /// Whether the sentence ends.
    pub(super) ends_sentence: bool,
    /// Whether a line starts with it.
    pub(super) starts_line: bool,
    /// Whether it consists of signs only.
    pub(super) is_sign: bool,
}

/// Returns whether a script is written without spaces: Chinese, Japanese, Thai.
pub(super) const fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0e7f}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

/// Returns whether a character is of Korean's alphabet, whose particles follow a word without a space.
pub(super) const fn is_hangul(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}')
}

/// Returns the words from an index on.
pub(super) fn after(text: &str, start: usize) -> Vec<SecretWord> {
    between(text, start, text.len())
}

/// Returns the words from an index on that start before another.
pub(super) fn between(text: &str, start: usize, end: usize) -> Vec<SecretWord> {
    let mut words = Vec::new();
    let mut at = start;
    while words.len() < WORDS_AFTER_MAX && at < end {
        let Some((word, next)) = read(text, at).filter(|(word, _)| word.value.start < end) else { break };
        words.push(word);
        at = next;
    }
    words
}

/// Returns the words of the same line that end at or before an index, the last one first, but none before a
/// floor.
pub(super) fn before(text: &str, floor: usize, end: usize) -> Vec<SecretWord> {
    let floor = text.ceil_char_boundary(end.saturating_sub(QUOTED_BYTES_MAX)).max(floor).min(end);
    let floor = text[floor..end].rfind('\n').map_or(floor, |line| floor + line + 1);
    let mut words = Vec::new();
    let mut at = floor;
    while let Some((mut word, next)) = read(&text[..end], at) {
        // The sentence goes on after the end.
        word.ends_sentence &= next < end && !text[next..end].trim().is_empty();
        words.push(word);
        at = next;
    }
    words.reverse();
    words.truncate(WORDS_BEFORE_MAX);
    words
}

/// Reads one word from an index on. Returns it with the index after it.
fn read(text: &str, from: usize) -> Option<(SecretWord, usize)> {
    let rest = &text[from..];
    let start = from + rest.find(|c: char| !c.is_whitespace())?;
    let starts_line = text[from..start].contains('\n') || start == 0 || text[..start].ends_with('\n');
    let first = text[start..].chars().next()?;
    if let Some(end) = quote_end(text, start, first) {
        let inner = start + first.len_utf8();
        let (tail, next) = tail(text, end);
        let last = text[..end].char_indices().next_back().map_or(end, |(at, _)| at);
        return Some((SecretWord::of(start..end, inner..last, true, tail, starts_line), next));
    }
    let end = word_end(text, start);
    let raw = &text[start..end];
    let core_start = start + (raw.len() - raw.trim_start_matches(is_edge).len());
    let core_end = (start + raw.trim_end_matches(is_edge).len()).max(core_start);
    if core_start >= core_end {
        let (tail, next) = tail(text, start);
        let (end, next) = if next > start { (next, next) } else { (end, end) };
        let mut word = SecretWord::of(start..end, start..start, false, tail, starts_line);
        word.is_sign = true;
        return Some((word, next.max(start + first.len_utf8())));
    }
    let value = value_range(text, start..end, core_start..core_end);
    let (tail, next) = tail(text, value.end);
    Some((SecretWord::of(value, core_start..core_end, false, tail, starts_line), next))
}

impl SecretWord {
    fn of(value: Range<usize>, core: Range<usize>, is_quoted: bool, tail: Tail, starts_line: bool) -> Self {
        let Tail { has_colon, ends_clause, ends_sentence } = tail;
        Self { value, core, is_quoted, has_colon, ends_clause, ends_sentence, starts_line, is_sign: false }
    }
}

/// The signs after a word.
#[derive(Debug, Clone, Copy, Default)]
struct Tail {
    has_colon: bool,
    ends_clause: bool,
    ends_sentence: bool,
}

/// Reads the signs after a word.
fn tail(text: &str, end: usize) -> (Tail, usize) {
    let mut tail = Tail::default();
    let mut at = end;
    for c in text[end..].chars().take(12) {
        let next = text[at + c.len_utf8()..].chars().next();
        let before_space = next.is_none_or(|c| c.is_whitespace() || !c.is_ascii());
        match c {
            ':' | '：' | '=' | '→' | '＝' => tail.has_colon = true,
            '>' if text[..at].ends_with(['-', '=']) => tail.has_colon = true,
            ',' | ';' | '，' | '、' | '；' | ')' | ']' | '）' | '—' | '–' | '-' | '(' | '（' | '…' | '|' =>
            {
                tail.ends_clause = true;
            }
            '。' | '！' | '？' | '．' | '।' => tail.ends_sentence = true,
            '.' | '!' | '?' if before_space => tail.ends_sentence = true,
            '"' | '\'' | '`' | '*' | '_' | '~' | '<' | '{'
                if next.is_some_and(|c| !before_space || c.is_alphanumeric()) =>
            {
                break;
            }
            '.' | '!' | '?' | '"' | '\'' | '`' | '*' | '”' | '’' | '»' | '」' | '』' | '_' | '~' | '>'
            | '}' => {}
            _ => break,
        }
        at += c.len_utf8();
        if c.is_ascii_punctuation() && "-(".contains(c) && !before_space {
            break;
        }
    }
    let rest = &text[at..];
    tail.ends_clause |=
        rest.trim_start_matches(' ').starts_with(['(', '（', '—', '–']) || rest.starts_with(" - ");
    tail.ends_sentence |= rest.trim_start_matches([' ', '\t', '\r']).is_empty()
        || rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n');
    // An opening quote or bracket belongs to the next word.
    (tail, at)
}

/// Returns whether a sign at the end of a word is no part of it.
fn is_edge(c: char) -> bool {
    !c.is_alphanumeric()
        && !is_unspaced(c)
        && !matches!(c, '\u{900}'..='\u{97f}' | '\u{0e31}'..='\u{0e4e}' | '#' | '@' | '$' | '%' | '€' | '£' | '+' | '&')
}

/// Returns the end of the quoted text that starts at an index, with its quotes.
fn quote_end(text: &str, start: usize, first: char) -> Option<usize> {
    let close: &[char] = match first {
        '"' => &['"'],
        '\'' => &['\''],
        '`' => &['`'],
        '“' => &['”', '"'],
        '„' => &['“', '”', '"'],
        '”' => &['”'],
        '‘' => &['’'],
        '‚' => &['‘', '’'],
        '«' => &['»'],
        '»' => &['«'],
        '「' => &['」'],
        '『' => &['』'],
        '《' => &['》'],
        '【' => &['】'],
        _ => return None,
    };
    let before = text[..start].chars().next_back();
    if "'’".contains(first) && before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let inner = start + first.len_utf8();
    let limit = text.floor_char_boundary(inner + QUOTED_BYTES_MAX);
    let body = &text[inner..limit];
    let mut ends = body.match_indices(|c| close.contains(&c));
    let (len, sign) = ends.find(|(at, sign)| {
        let next = body[at + sign.len()..].chars().next();
        // The apostrophe of "it's" ends no quote.
        *at > 0 && (*sign != "'" && *sign != "’" || next.is_none_or(|c| !c.is_alphanumeric()))
    })?;
    let is_text = !body[..len].contains('\n') && !body[..len].trim().is_empty();
    is_text.then_some(inner + len + sign.len())
}

/// Returns the end of the word that starts at an index: a space, a full-width sign, or another script.
fn word_end(text: &str, start: usize) -> usize {
    let mut before: Option<char> = None;
    for (at, c) in text[start..].char_indices() {
        let ends = c.is_whitespace()
            || matches!(
                c,
                '。' | '！'
                    | '？'
                    | '，'
                    | '、'
                    | '：'
                    | '；'
                    | '「'
                    | '」'
                    | '『'
                    | '』'
                    | '（'
                    | '）'
                    | '“'
                    | '”'
                    | '《'
                    | '》'
                    | '【'
                    | '】'
                    | '।'
                    | '＝'
                    | '→'
            )
            || before.is_some_and(|before| {
                is_unspaced(before) != is_unspaced(c) || is_hangul(c) && before.is_ascii()
            })
            || at >= WORD_BYTES_MAX;
        if ends && at > 0 {
            return start + at;
        }
        if ends {
            return start + c.len_utf8();
        }
        before = Some(c);
    }
    text.len()
}

/// Returns the range that is redacted if a word is a secret.
fn value_range(text: &str, raw: Range<usize>, core: Range<usize>) -> Range<usize> {
    let lead = &text[raw.start..core.start];
    let mut start = raw.start;
    // Brackets, quotes and the signs of Markdown before a word are no part of it.
    start += lead.len()
        - lead
            .trim_start_matches([
                '(', '[', '"', '\'', '`', '*', '_', '>', '=', ':', '“', '„', '-', '–', '—', '~', '{', '|',
            ])
            .len();
    if lead.starts_with('*') && !text[core.end..raw.end].contains('*') && !lead.starts_with("**") {
        start = raw.start;
    }
    let tail = &text[core.end..raw.end];
    // "2580#" and "hunter2!" keep their last sign.
    let kept = tail.len() - tail.trim_start_matches(['!', '#', '*', '$', '%', '&', '+', '@', '^', '?']).len();
    let kept = match &tail[..kept] {
        "?" | "**" | "*" if tail.starts_with('?') || lead.contains('*') => 0,
        signs if signs.ends_with('?') => kept - 1,
        _ => kept,
    };
    start.min(core.start)..core.end + kept
}
