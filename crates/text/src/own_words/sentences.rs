//! Sentences of a message, and its text in lower case with the same byte positions.

use std::ops::Range;

/// Abbreviations, without their last dot, after which a sentence goes on.
const ABBREVIATIONS: &[&str] = &[
    "apt", "approx", "av", "avda", "bzw", "ca", "dept", "dott", "dra", "ggf", "ing", "inkl", "max", "min",
    "mlle", "mme", "nr", "núm", "ok", "p.ej", "prof", "profa", "resp", "sig", "sra", "st", "str", "tel",
    "usw", "vs", "г", "им", "кв", "тел", "ул",
];

/// Starts of the months, which German writes in capitals after a day and a dot.
const GERMAN_MONTHS: &[&str] =
    &["jan", "feb", "mär", "apr", "mai", "jun", "jul", "aug", "sep", "okt", "nov", "dez"];

/// Returns a text in lower case, character by character. A character whose lower case has another length in
/// UTF-8 stays as it is, so positions in both texts are the same.
pub(crate) fn fold(text: &str) -> String {
    text.chars()
        .map(|letter| {
            let mut lower = letter.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(lower), None) if lower.len_utf8() == letter.len_utf8() => lower,
                _ => letter,
            }
        })
        .collect()
}

/// Returns the ranges of the sentences of one line, without blanks around them.
///
/// A sentence ends after a full stop, question mark, exclamation mark or face. The next one may start with a small
/// letter. The dots of titles, dates and abbreviations end nothing.
pub(crate) fn sentences(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut letters = line.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if !is_end(letter) {
            continue;
        }
        let mut end = at + letter.len_utf8();
        while let Some((next_at, next)) = letters.next_if(|(_, next)| is_end(*next) || is_closing(*next)) {
            end = next_at + next.len_utf8();
        }
        let blank_follows = letters.peek().is_none_or(|(_, next)| next.is_whitespace());
        let wide = matches!(letter, '。' | '！' | '？' | '।') || is_face(letter);
        if (blank_follows || wide)
            && !(letter == '.'
                && goes_on(line.get(start..at).unwrap_or_default(), line.get(end..).unwrap_or_default()))
        {
            found.push(trimmed(line, start..end));
            start = end;
        }
    }
    found.push(trimmed(line, start..line.len()));
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// Returns a range without the blanks at both ends of its text.
pub(crate) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    // A range that is not one of whole characters has no text.
    let Some(inner) = text.get(range.clone()) else { return range.start..range.start };
    let start = range.start + (inner.len() - inner.trim_start().len());
    start..start + inner.trim().len()
}

fn is_end(letter: char) -> bool {
    matches!(letter, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।' | '؟') || is_face(letter)
}

/// Returns whether a character is a face or a gesture, with which people end a sentence.
fn is_face(letter: char) -> bool {
    matches!(letter,
        '\u{1f600}'..='\u{1f64f}' | '\u{1f910}'..='\u{1f92f}' | '\u{1f970}'..='\u{1f97f}'
        | '\u{1f389}' | '\u{1f44b}'..='\u{1f44f}' | '\u{1f494}'..='\u{1f49f}' | '\u{2764}'
        | '\u{fe0f}' | '\u{200d}')
}

fn is_closing(letter: char) -> bool {
    matches!(letter, ')' | '"' | '\'' | '”' | '’' | '»' | '」' | '』' | '）')
}

/// Returns whether a sentence goes on after a dot.
fn goes_on(before: &str, after: &str) -> bool {
    let word = before.rsplit([' ', '(', '\u{a0}']).next().unwrap_or_default().to_lowercase();
    let next = after.trim_start().chars().next();
    // "z. B. am Montag", but "in building B. see you".
    let is_pair =
        before.trim_end().rsplit(' ').nth(1).is_some_and(|word| word.len() == 2 && word.ends_with('.'));
    let is_small = next.is_some_and(char::is_lowercase);
    let is_short = word.chars().count() == 1 && word.is_ascii() && word != "i" && (is_pair || !is_small);
    let is_number = word.chars().all(|letter| letter.is_ascii_digit()) && word.len() <= 2 && !word.is_empty();
    let next_word = after.trim_start().split(' ').next().unwrap_or_default().to_lowercase();
    let is_date = is_number
        && (next.is_some_and(char::is_lowercase)
            || GERMAN_MONTHS.iter().any(|month| next_word.starts_with(month)));
    let is_abbreviation = word.contains('.') && !word.contains("..") && !word.contains('@');
    crate::statements::is_title(&word)
        || ABBREVIATIONS.contains(&word.as_str())
        || is_short
        // "no. 8841", but "No. It's Friday."
        || (word == "no"
            && before.trim().len() > word.len()
            && next.is_some_and(|next| next.is_lowercase() || next.is_ascii_digit()))
        || is_date
        || (is_abbreviation && next.is_some_and(|next| next.is_lowercase() || next.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<&str> {
        sentences(line).into_iter().map(|at| &line[at]).collect()
    }

    #[test]
    fn a_sentence_may_start_with_a_small_letter() {
        assert_eq!(texts("i moved. remember that!! ok?"), ["i moved.", "remember that!!", "ok?"]);
    }

    #[test]
    fn titles_dates_and_abbreviations_end_no_sentence() {
        assert_eq!(
            texts("Dr. Okafor comes on 12. Mai, z. B. at 5 p.m. sharp."),
            ["Dr. Okafor comes on 12. Mai, z. B. at 5 p.m. sharp."]
        );
        assert_eq!(texts("see example.com. It works"), ["see example.com.", "It works"]);
    }

    #[test]
    fn wide_marks_end_a_sentence_without_a_blank() {
        assert_eq!(texts("我搬家了。请记住！"), ["我搬家了。", "请记住！"]);
    }

    #[test]
    fn folding_keeps_all_positions() {
        assert_eq!(fold("ÄÖ İ ẞ Ж"), "äö İ ẞ ж");
    }
}
