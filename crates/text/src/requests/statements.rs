//! Statements of the user about themselves and their things, in contrast to questions, wishes, doubts,
//! dreams and what others say.

use std::ops::Range;

use super::MemoryIntent;
use super::clean::Cleaner;
use super::languages::{List, languages};
use super::matching::has_words;
use crate::own_words::{OwnText, Sentence};

/// The most bytes in a statement.
const STATEMENT_BYTES_MAX: usize = 300;
/// The least words in a statement, and the least characters in languages without blanks.
const STATEMENT_WORDS_MIN: usize = 3;
const STATEMENT_CHARS_MIN: usize = 5;
/// Marks that end a question.
const QUESTION_MARKS: [char; 3] = ['?', '？', '؟'];
/// Signs of a joke, in any language.
const JOKES: [&str; 9] = ["😂", "🤣", "😜", "🙃", "lol", "haha", "jk", "xd", "/s"];

/// Returns the statement in a range of the message, if it is one.
pub(super) fn statement(
    message: &str,
    own: &OwnText,
    sentence: &Sentence,
    at: Range<usize>,
) -> Option<MemoryIntent> {
    let folded = &own.folded[sentence.at.clone()];
    let inner = at.start - sentence.at.start..at.end - sentence.at.start;
    let inner = without_question(sentence, folded, inner);
    let part = &folded[inner.clone()];
    let clean = Cleaner::of_guess(message, sentence);
    if part.trim_end().ends_with(QUESTION_MARKS) || part.len() > STATEMENT_BYTES_MAX || part.contains('\u{1}') {
        return None;
    }
    let is_inside = |hit: &super::languages::Hit| {
        sentence.at.start + inner.start <= hit.at.start && hit.at.end <= sentence.at.start + inner.end
    };
    let is_unsure =
        has_words(&sentence.hits, sentence, |hit| is_inside(hit) && matches!(hit.list, List::Unsure | List::Reported));
    if is_unsure || starts(sentence, part, List::Question) || starts(sentence, part, List::TextTask) || starts(sentence, part, List::WriteTask) {
        return None;
    }
    let text = clean.statement(inner.clone())?;
    if !is_long(&text) {
        return None;
    }
    let is_passing = has_words(&sentence.hits, sentence, |hit| is_inside(hit) && hit.list == List::Passing);
    let lasting = !is_passing && starts(sentence, part, List::Lasting);
    Some(MemoryIntent::Statement { text, lasting })
}

/// Removes all statements from the intents of a message with signs of a joke.
pub(super) fn withdraw_jokes(own: &OwnText, found: &mut Vec<(usize, MemoryIntent)>) {
    let is_joke = own.sentences.iter().any(|sentence| {
        let text = &own.folded[sentence.at.clone()];
        let mut words = text.split(|letter: char| letter.is_whitespace() || ".,!?()".contains(letter));
        words.any(|word| JOKES.contains(&word)) || JOKES[..4].iter().any(|sign| text.contains(sign))
    });
    if is_joke {
        found.retain(|(_, intent)| !matches!(intent, MemoryIntent::Statement { .. }));
    }
}

/// Returns whether a sentence is a question or a task.
pub(super) fn is_question(sentence: &Sentence, folded: &str) -> bool {
    folded.trim_end().ends_with(QUESTION_MARKS) || starts(sentence, folded, List::Question)
}

/// Returns whether a sentence is no question, and long enough to say something.
pub(super) fn says_something(sentence: &Sentence, folded: &str) -> bool {
    !is_question(sentence, folded) && is_long(folded)
}

/// Returns whether a text in lower case contains a word of a list.
pub(super) fn has_word(folded: &str, list: List, language: usize) -> bool {
    languages().scan(folded).iter().any(|hit| hit.list == list && hit.language == language)
}

/// Returns a range without the question after its statement: "I moved to Leipzig, can you recommend …?".
pub(super) fn without_question(sentence: &Sentence, folded: &str, range: Range<usize>) -> Range<usize> {
    let text = &folded[range.clone()];
    let asks_at_end = text.trim_end().ends_with(QUESTION_MARKS)
        && languages().all[sentence.languages.trailing_zeros() as usize].question_at_end;
    if asks_at_end {
        let end = text.rfind([',', '，', '、']).or_else(|| text.find("는데 ").map(|at| at + "는데".len()));
        return end.map_or(range.clone(), |end| range.start..range.start + end);
    }
    if !sentence.hits.iter().any(|hit| hit.list == List::Question) {
        return range;
    }
    let is_pause = |letter: char| matches!(letter, ',' | ';' | '–' | '—' | '，' | '、' | '；' | '…' | '.' | '-' | ')');
    let mut pauses = text.char_indices().filter(|(_, letter)| is_pause(*letter));
    let question = pauses.find(|(at, letter)| {
        let rest = &text[at + letter.len_utf8()..];
        let is_hyphen = matches!(letter, '-' | '.') && !rest.starts_with(' ');
        !is_hyphen && starts(sentence, rest, List::Question)
    });
    match question {
        Some((at, _)) => range.start..range.start + at,
        None => range,
    }
}

/// Returns whether a text in lower case starts with a phrase of a list in a language of the sentence.
fn starts(sentence: &Sentence, folded: &str, list: List) -> bool {
    let mut tried = 0_u32;
    sentence.hits.iter().filter(|hit| hit.list == list && sentence.languages & 1 << hit.language != 0).any(|hit| {
        let is_new = tried & 1 << hit.language == 0;
        tried |= 1 << hit.language;
        is_new && languages().all[hit.language].is_match(list, folded.trim())
    })
}

fn is_long(text: &str) -> bool {
    text.split_whitespace().count() >= STATEMENT_WORDS_MIN
        || (!text.is_ascii() && text.chars().count() >= STATEMENT_CHARS_MIN)
}
