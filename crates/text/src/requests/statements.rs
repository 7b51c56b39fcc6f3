//! Statements of the user about themselves and their things, in contrast to questions, wishes, doubts,
//! dreams and what others say.

use std::ops::Range;

use super::clean::Cleaner;
use super::intent::MemoryIntent;
use super::languages::{List, PhraseHit, languages};
use super::matching::has_words;
use crate::own_words::{MASK, OwnText, Sentence};

/// The most bytes in a statement.
const STATEMENT_BYTES_MAX: usize = 300;
/// The least words in a statement, and the least characters in languages without blanks.
const STATEMENT_WORDS_MIN: usize = 3;
const STATEMENT_CHARS_MIN: usize = 5;
/// Marks that end a question.
pub(super) const QUESTION_MARKS: [char; 3] = ['?', '？', '؟'];
/// Words that start a question, or after a comma a clause about what stands before: "the padlock, which is red".
const RELATIVE: [&str; 9] = ["which ", "who ", "whose ", "whom ", "where ", "qui ", "où ", "donde ", "dove "];
/// Words and faces of jokes, in any language.
const JOKE_WORDS: [&str; 5] = ["lol", "haha", "jk", "xd", "/s"];
const JOKE_FACES: [char; 4] = ['😂', '🤣', '😜', '🙃'];
/// The Korean ending after which a question may follow without a comma.
const KOREAN_PAUSE: &str = "는데 ";

/// Returns the statement in a range of a sentence, if it is one.
pub(super) fn statement(
    message: &str,
    sentence: &Sentence,
    folded: &str,
    at: Range<usize>,
) -> Option<MemoryIntent> {
    let at = without_question(sentence, folded, at);
    let part = &folded[at.clone()];
    if part.trim_end().ends_with(QUESTION_MARKS) || part.len() > STATEMENT_BYTES_MAX || part.contains(MASK) {
        return None;
    }
    let start = sentence.at.start;
    let has = |list: List| {
        let is_inside =
            |hit: &PhraseHit| hit.list == list && start + at.start <= hit.start && hit.end <= start + at.end;
        has_words(&sentence.hits, sentence, is_inside)
    };
    let is_task =
        || [List::Question, List::TextTask, List::WriteTask].iter().any(|list| starts(sentence, part, *list));
    if has(List::Unsure) || has(List::Reported) || is_task() {
        return None;
    }
    let text = Cleaner::of_guess(message, sentence)?.statement(at.clone()).filter(|text| is_long(text))?;
    let lasting = !has(List::Passing) && starts(sentence, part, List::Lasting);
    Some(MemoryIntent::Statement { text, lasting, change: None })
}

/// Returns whether a message has signs of a joke.
pub(super) fn is_joke(own: &OwnText) -> bool {
    own.sentences.iter().any(|sentence| {
        let text = &own.folded[sentence.at.clone()];
        let mut words = text.split(|letter: char| letter.is_whitespace() || ".,!?()".contains(letter));
        words.any(|word| JOKE_WORDS.contains(&word)) || text.contains(JOKE_FACES)
    })
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
    let asks = text.trim_end().ends_with(QUESTION_MARKS);
    if asks && sentence.languages.first().is_some_and(|language| languages().all[language].question_at_end) {
        let korean = || text.find(KOREAN_PAUSE).map(|at| at + KOREAN_PAUSE.len());
        let end = text.rfind([',', '，', '、']).or_else(korean);
        return range.start..end.map_or(range.end, |end| range.start + end);
    }
    if !sentence.hits.iter().any(|hit| hit.list == List::Question) {
        return range;
    }
    let is_pause = |letter: char| ",;–—，、；….-)".contains(letter);
    let mut pauses = text.char_indices().filter(|(_, letter)| is_pause(*letter));
    let question = pauses.find(|(at, letter)| {
        let rest = &text[at + letter.len_utf8()..];
        let is_hyphen = matches!(letter, '-' | '.') && !rest.starts_with(' ');
        let is_relative = !asks && RELATIVE.iter().any(|word| rest.trim_start().starts_with(word));
        !is_hyphen && !is_relative && starts(sentence, rest, List::Question)
    });
    range.start..question.map_or(range.end, |(at, _)| range.start + at)
}

/// Returns whether a text in lower case starts with a phrase of a list in a language of the sentence.
pub(super) fn starts(sentence: &Sentence, folded: &str, list: List) -> bool {
    let is_likely = |hit: &&PhraseHit| sentence.languages.contains(hit.language);
    languages().starts_with(sentence.hits.iter().filter(is_likely), list, folded)
}

fn is_long(text: &str) -> bool {
    text.split_whitespace().count() >= STATEMENT_WORDS_MIN
        || (!text.is_ascii() && text.chars().count() >= STATEMENT_CHARS_MIN)
}
