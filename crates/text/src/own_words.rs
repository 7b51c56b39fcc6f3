//! The parts of a chat message that the user states themselves.
//!
//! A message may contain text of others or for others: pasted mails and pages, quotations, program output,
//! code, tables, texts to translate, stories and role play. Such text is recognised by its structure and by
//! the task before it, not by its topic. In doubt, a part is not the user's own.

mod lines;
mod mail;
mod quotes;
mod reader;
mod sentences;
mod view;

use std::ops::Range;

use self::lines::{Line, LineKind};
use self::reader::Reader;
pub(crate) use self::sentences::fold;
use self::view::View;
use crate::requests::languages::{LanguageSet, PhraseHit, languages};

/// The most bytes of a message that are read. The rest of a longer one is not the user's own.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Replaces each byte of a quotation.
pub(crate) const MASK: char = '\u{1}';

/// A sentence of the user's own.
#[derive(Debug, Clone)]
pub(crate) struct Sentence {
    /// The place in the message, in bytes.
    pub(crate) at: Range<usize>,
    /// The index of its line.
    pub(crate) line: usize,
    /// The index of its paragraph.
    pub(crate) paragraph: usize,
    /// The keywords in it, at their positions in the message.
    pub(crate) hits: Vec<PhraseHit>,
    /// The languages that it may be written in.
    pub(crate) languages: LanguageSet,
}

/// A message and the user's own sentences in it.
#[derive(Debug, Default)]
pub(crate) struct OwnText {
    /// The message in lower case with the same byte positions. Quotations are masked.
    pub(crate) folded: String,
    /// The user's own sentences, in order.
    pub(crate) sentences: Vec<Sentence>,
}

/// Returns the ranges of bytes of the parts that the user states themselves, in order.
#[must_use]
pub fn own_words(message: &str) -> Vec<Range<usize>> {
    let own = OwnText::read(message);
    let mut found: Vec<Range<usize>> = Vec::new();
    for sentence in &own.sentences {
        let text = &own.folded[sentence.at.clone()];
        let mut start = 0;
        for (at, _) in text.match_indices(MASK).chain([(text.len(), "")]) {
            // Between the masks of one quotation, positions may be within a character.
            if at > start {
                let part = sentences::trimmed(message, sentence.at.start + start..sentence.at.start + at);
                found.extend((!part.is_empty()).then_some(part));
            }
            start = at + MASK.len_utf8();
        }
    }
    found
}

impl OwnText {
    /// Finds the user's own sentences in a message.
    pub(crate) fn read(message: &str) -> Self {
        let mut end = message.len().min(MESSAGE_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let message = &message[..end];
        let mut lines = lines::lines(message);
        let folded = fold_and_mask(message, &lines);
        let hits = languages().scan(&folded);
        if let Some(letter) = mail::letter(View { message, folded: &folded, lines: &lines, hits: &hits }) {
            let kind = if letter.is_signed { LineKind::Quoted } else { LineKind::Forwarded };
            lines[letter.lines].iter_mut().for_each(|line| line.kind = kind);
        }
        let view = View { message, folded: &folded, lines: &lines, hits: &hits };
        let mut sentences = Reader::new(view).read();
        add_likely_languages(&folded, &mut sentences);
        Self { folded, sentences }
    }
}

fn fold_and_mask(message: &str, lines: &[Line]) -> String {
    let mut masked = sentences::fold(message);
    for line in lines.iter().filter(|line| matches!(line.kind, LineKind::Prose | LineKind::Dialogue)) {
        for at in quotes::quotations(&message[line.at.clone()]) {
            let mask = MASK.to_string().repeat(at.len());
            masked.replace_range(line.at.start + at.start..line.at.start + at.end, &mask);
        }
    }
    masked
}

/// Adds the language of all own sentences to those whose own words do not tell it.
fn add_likely_languages(folded: &str, sentences: &mut [Sentence]) {
    let hits: Vec<PhraseHit> = sentences.iter().flat_map(|sentence| sentence.hits.iter().copied()).collect();
    let text: String = sentences.iter().map(|sentence| &folded[sentence.at.clone()]).collect();
    let likely = languages().guess(&text, &hits).languages;
    if likely.single().is_none() {
        return;
    }
    for sentence in sentences {
        if !languages().guess(&folded[sentence.at.clone()], &sentence.hits).is_sure {
            sentence.languages = sentence.languages.union(likely);
        }
    }
}

#[cfg(test)]
mod tests;
