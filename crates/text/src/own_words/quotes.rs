//! Quotations within a line.

use std::ops::Range;

/// The opening mark and the closing marks of quotations.
const PAIRS: &[(char, &[char])] = &[
    ('"', &['"']),
    ('“', &['”']),
    ('„', &['“', '”', '"']),
    ('”', &['”']),
    ('«', &['»']),
    ('»', &['«']),
    ('‹', &['›']),
    ('‘', &['’']),
    ('‚', &['‘', '’']),
    ('\'', &['\'']),
    ('`', &['`']),
    ('「', &['」']),
    ('『', &['』']),
    ('《', &['》']),
    ('＂', &['＂']),
];
/// The most words in a quotation that is a name or a term, such as the name of a network.
const NAME_WORDS_MAX: usize = 3;
/// The most ideographs, kana or Thai letters in such a quotation.
const NAME_LETTERS_MAX: usize = 10;

/// Returns the ranges between quotation marks in a line that are more than a name, in order.
pub(super) fn quotations(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, letter)) =
        line[at..].char_indices().map(|(i, c)| (at + i, c)).find(|(_, c)| opens(*c))
    {
        let inner = start + letter.len_utf8();
        let before = line[..start].chars().next_back();
        let is_apostrophe = matches!(letter, '\'' | '‘' | '”') && before.is_some_and(char::is_alphanumeric);
        let end = if is_apostrophe { None } else { end_of(line, inner, letter) };
        match end {
            Some(end) => {
                if !is_name(&line[inner..end]) {
                    found.push(inner..end);
                }
                at = end + line[end..].chars().next().map_or(0, char::len_utf8);
            }
            None => at = inner,
        }
    }
    found
}

fn opens(letter: char) -> bool {
    PAIRS.iter().any(|(opening, _)| *opening == letter)
}

/// Returns the position of the closing mark.
fn end_of(line: &str, from: usize, opening: char) -> Option<usize> {
    let (_, closing) = PAIRS.iter().find(|(other, _)| *other == opening)?;
    let is_single = matches!(opening, '\'' | '‘' | '‚');
    let mut ends = line[from..].char_indices().map(|(i, letter)| (from + i, letter));
    ends.find(|(at, letter)| {
        // An apostrophe within a word closes nothing.
        let next = line[at + letter.len_utf8()..].chars().next();
        closing.contains(letter) && !(is_single && next.is_some_and(char::is_alphanumeric))
    })
    .map(|(at, _)| at)
}

/// Returns whether a quotation is short and no sentence.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    let wide =
        text.chars().filter(|letter| matches!(letter, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{9fff}'));
    !text.ends_with(['.', '!', '?', '。', '！', '？'])
        && text.split_whitespace().count() <= NAME_WORDS_MAX
        && wide.count() <= NAME_LETTERS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<&str> {
        quotations(line).into_iter().map(|at| &line[at]).collect()
    }

    #[test]
    fn quotation_marks_of_many_scripts_are_found() {
        assert_eq!(texts("He said \"we close at five\" and left"), ["we close at five"]);
        assert_eq!(texts("Er sagte: „Wir schließen um fünf.“"), ["Wir schließen um fünf."]);
        assert_eq!(texts("Il a dit « on ferme à cinq heures »"), [" on ferme à cinq heures "]);
        assert_eq!(texts("他说「我们五点关门所以快一点来吧」"), ["我们五点关门所以快一点来吧"]);
        assert_eq!(texts("she said 'we don't close at five', ok"), ["we don't close at five"]);
    }

    #[test]
    fn names_and_apostrophes_are_no_quotations() {
        assert_eq!(texts("my network is called \"Polar Stern\""), [""; 0]);
        assert_eq!(texts("I don't like Tom's car and it's Ben's fault"), [""; 0]);
        assert_eq!(texts("a 5\" screen"), [""; 0]);
    }
}
