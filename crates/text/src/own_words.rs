//! The parts of a chat message that the user states themselves.
//!
//! A message may contain text of others or for others: pasted mails and pages, quotations, program output,
//! code, tables, texts to translate, stories and role play. Such text is recognised by its structure and by
//! the task before it, not by its topic. In doubt, a part is not the user's own.

mod lines;
mod mail;
mod quotes;
mod sentences;

use std::ops::Range;

use self::lines::{Line, LineKind};
pub(crate) use self::sentences::{fold, trimmed};
use crate::requests::languages::{Hit, LanguageSet, List, languages};

/// The most bytes of a message that are read. The rest of a longer one is not the user's own.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// The most bytes of a paragraph of the user's own beside other paragraphs.
const PARAGRAPH_BYTES_MAX: usize = 700;
/// The most bytes of a message of one paragraph.
const SINGLE_PARAGRAPH_BYTES_MAX: usize = 2000;
/// The most bytes of a paragraph after a text with which the user takes the word again.
const RETURN_BYTES_MAX: usize = 400;
/// The most bytes of a question or task before a text, and the least of the text.
const TASK_BYTES_MAX: usize = 300;
const BODY_BYTES_MIN: usize = 300;
/// The most bytes of a list of facts to remember.
const FACTS_BYTES_MAX: usize = 800;
/// Frequent words that a paragraph must have to tell its language apart from another's.
const LANGUAGE_WORDS_MIN: usize = 3;
/// Replaces each byte of a quotation.
const MASK: &str = "\u{1}";

/// A sentence of the user's own.
#[derive(Debug, Clone)]
pub(crate) struct Sentence {
    /// Where it stands in the message, in bytes.
    pub(crate) at: Range<usize>,
    /// The index of its line.
    pub(crate) line: usize,
    /// The index of its paragraph.
    pub(crate) paragraph: usize,
    /// The keywords in it, at their positions in the message.
    pub(crate) hits: Vec<Hit>,
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
        let mut start = sentence.at.start;
        let text = &own.folded[sentence.at.clone()];
        for (at, length) in masks(text) {
            found.push(trimmed(message, start..sentence.at.start + at));
            start = sentence.at.start + at + length;
        }
        found.push(trimmed(message, start..sentence.at.end));
    }
    found.retain(|part| !part.is_empty());
    found
}

/// Returns the positions and lengths of the masked quotations.
fn masks(text: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, _) in text.match_indices(MASK) {
        match found.last_mut() {
            Some((start, length)) if *start + *length == at => *length += 1,
            _ => found.push((at, 1)),
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
        let letter = mail::letter(&folded, &lines, &hits);
        if let Some(letter) = &letter {
            let kind = if letter.is_signed { LineKind::Quoted } else { LineKind::Forwarded };
            lines[letter.lines.clone()].iter_mut().for_each(|line| line.kind = kind);
        }
        Reader { message, folded: &folded, lines: &lines, hits: &hits, sentences: Vec::new(), body: None, facts: 0 }
            .read()
            .into_text(folded)
    }
}

fn fold_and_mask(message: &str, lines: &[Line]) -> String {
    let mut masked = sentences::fold(message);
    for line in lines.iter().filter(|line| matches!(line.kind, LineKind::Prose | LineKind::Dialogue)) {
        for at in quotes::quotations(&message[line.at.clone()]) {
            let at = line.at.start + at.start..line.at.start + at.end;
            let mask = MASK.repeat(at.len());
            masked.replace_range(at, &mask);
        }
    }
    masked
}

/// A text that others wrote, or that is to be worked on, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// A text whose end does not show.
    Open,
    /// A text that a fence, a signature or a similar mark ended.
    Closed,
    /// Role play, fiction or a system prompt, which lasts to the end of the message.
    Whole,
}

/// Reads the paragraphs of a message in order.
struct Reader<'a> {
    message: &'a str,
    folded: &'a str,
    lines: &'a [Line],
    hits: &'a [Hit],
    sentences: Vec<Sentence>,
    body: Option<Body>,
    /// The bytes of a list of facts that may still follow a request to remember them.
    facts: usize,
}

struct Found {
    sentences: Vec<Sentence>,
}

impl Found {
    fn into_text(mut self, folded: String) -> OwnText {
        let hits: Vec<Hit> = self.sentences.iter().flat_map(|sentence| sentence.hits.clone()).collect();
        let texts: Vec<&str> = self.sentences.iter().map(|sentence| &folded[sentence.at.clone()]).collect();
        let likely = languages().guess(&texts.concat(), &hits);
        for sentence in &mut self.sentences {
            let common = sentence.hits.iter().filter(|hit| hit.list == List::Common).count();
            if common < LANGUAGE_WORDS_MIN && likely.count_ones() == 1 {
                sentence.languages |= likely;
            }
        }
        OwnText { folded, sentences: self.sentences }
    }
}

impl Reader<'_> {
    fn read(mut self) -> Found {
        let paragraphs = self.paragraphs();
        if let Some(last) = self.ends_with_task(&paragraphs) {
            self.read_paragraph(last, paragraphs[last].clone());
            return Found { sentences: self.sentences };
        }
        for (index, paragraph) in paragraphs.iter().enumerate() {
            if self.body == Some(Body::Whole) {
                break;
            }
            if self.is_foreign(&paragraphs, index) {
                self.body = Some(Body::Open);
                continue;
            }
            self.read_paragraph(index, paragraph.clone());
        }
        Found { sentences: self.sentences }
    }

    /// Returns the ranges of lines between blank lines.
    fn paragraphs(&self) -> Vec<Range<usize>> {
        let is_end = |line: &Line| matches!(line.kind, LineKind::Blank | LineKind::Separator);
        let mut found = Vec::new();
        let mut start = 0;
        for at in 0..=self.lines.len() {
            if self.lines.get(at).is_none_or(is_end) {
                if at > start {
                    found.push(start..at);
                }
                start = at + 1;
            }
        }
        found
    }

    /// Returns the last paragraph if it is a task on the text before it.
    fn ends_with_task(&self, paragraphs: &[Range<usize>]) -> Option<usize> {
        let last = paragraphs.len().checked_sub(1).filter(|last| *last > 0)?;
        let at = self.range(&paragraphs[last]);
        let before: usize = paragraphs[..last].iter().map(|paragraph| self.range(paragraph).len()).sum();
        let is_task = at.len() <= TASK_BYTES_MAX
            && self.lines[paragraphs[last].start].kind == LineKind::Prose
            && self.starts_with(List::TextTask, &at);
        (is_task && before >= at.len()).then_some(last)
    }

    /// Returns whether a paragraph is another's text by its length or language.
    fn is_foreign(&self, paragraphs: &[Range<usize>], index: usize) -> bool {
        let at = self.range(&paragraphs[index]);
        if paragraphs.len() == 1 {
            return at.len() > SINGLE_PARAGRAPH_BYTES_MAX;
        }
        if at.len() > PARAGRAPH_BYTES_MAX {
            return true;
        }
        let Some(first) = paragraphs[..index].first().filter(|_| self.facts == 0) else { return false };
        let first_at = self.range(first);
        let rest: usize = paragraphs[1..].iter().map(|paragraph| self.range(paragraph).len()).sum();
        let asks = self.message[first_at.clone()].trim_end().ends_with(['?', ':', '？', '：']);
        let is_body = index == 1
            && asks
            && first_at.len() <= TASK_BYTES_MAX
            && rest >= BODY_BYTES_MIN.max(2 * first_at.len());
        let known = |at: &Range<usize>| {
            let hits = self.hits_in(at);
            let common = hits.iter().filter(|hit| hit.list == List::Common).count();
            let languages = languages().guess(&self.folded[at.clone()], &hits);
            (common >= LANGUAGE_WORDS_MIN || languages.count_ones() == 1).then_some(languages)
        };
        let is_other_language = self.body.is_none()
            && known(&at).zip(known(&first_at)).is_some_and(|(here, first)| here & first == 0);
        is_body || is_other_language
    }

    fn read_paragraph(&mut self, index: usize, paragraph: Range<usize>) {
        let returns = self.returns(&paragraph);
        if returns {
            self.body = None;
        }
        let last_line = paragraph.end;
        for line in paragraph {
            let Line { at, kind } = self.lines[line].clone();
            match kind {
                LineKind::Prose => self.read_line(index, line, at, line + 1 == last_line),
                LineKind::Dialogue if self.facts > 0 => self.read_line(index, line, at, line + 1 == last_line),
                LineKind::Quoted => self.body = self.body.map(|_| Body::Closed),
                LineKind::Technical => {
                    // Output of programs ends with its paragraph.
                    self.body = self.body.map(|body| if body == Body::Open { Body::Closed } else { body });
                }
                _ => self.body = Some(Body::Open),
            }
            if self.body == Some(Body::Whole) {
                return;
            }
        }
    }

    fn read_line(&mut self, paragraph: usize, line: usize, at: Range<usize>, is_last: bool) {
        let text = &self.message[at.clone()];
        let sentences: Vec<Range<usize>> = sentences::sentences(text)
            .into_iter()
            .map(|sentence| at.start + sentence.start..at.start + sentence.end)
            .collect();
        let count = sentences.len();
        for (position, sentence) in sentences.into_iter().enumerate() {
            if self.body.is_some_and(|body| body == Body::Whole || !self.is_aside(&sentence)) {
                return;
            }
            let ends_line = position + 1 == count;
            self.read_sentence(paragraph, line, sentence, ends_line, is_last);
        }
    }

    fn read_sentence(
        &mut self,
        paragraph: usize,
        line: usize,
        at: Range<usize>,
        ends_line: bool,
        ends_paragraph: bool,
    ) {
        let text = &self.folded[at.clone()];
        if self.starts_with(List::RolePlay, &at) {
            self.body = Some(Body::Whole);
            return;
        }
        let has_pause = ends_line && text.ends_with([':', '：']);
        let mut at = at;
        let colon = text.find([':', '：']).map_or(at.end, |colon| at.start + colon);
        let is_for_memory =
            self.hits_in(&at).iter().any(|hit| hit.list == List::Memory && hit.at.end <= colon);
        if !is_for_memory && self.starts_with(List::TextTask, &at) {
            // What follows a colon is the text of the task.
            at.end = colon;
            self.body = Some(Body::Open);
        } else if let Some(colon) = self.colon_of_write_task(&at) {
            at = at.start..colon;
            self.body = Some(Body::Open);
        } else if has_pause && self.requests_memory(&at) {
            self.facts = FACTS_BYTES_MAX;
        } else if has_pause {
            self.body = Some(Body::Open);
        } else if self.introduces(&at)
            && (text.ends_with(['?', '？']) || ends_line)
            && !(ends_line && ends_paragraph && line + 1 == self.lines.len())
        {
            self.body = Some(Body::Open);
        }
        self.facts = self.facts.saturating_sub(if has_pause { 0 } else { at.len() });
        let hits = self.hits_in(&at);
        let languages = languages().guess(&self.folded[at.clone()], &hits);
        self.sentences.push(Sentence { at, line, paragraph, hits, languages });
    }

    /// Returns the colon in a task to write a text: what follows is to be written.
    fn colon_of_write_task(&self, at: &Range<usize>) -> Option<usize> {
        if !self.starts_with(List::WriteTask, at) {
            return None;
        }
        self.folded[at.clone()].find([':', '：']).map(|colon| at.start + colon)
    }

    /// Returns whether a sentence that ends a line announces a text: "I got this mail".
    fn introduces(&self, at: &Range<usize>) -> bool {
        self.hits_in(at).iter().any(|hit| hit.list == List::Introduces) && !self.requests_memory(at)
    }

    /// Returns whether a paragraph after a text is the user's own again.
    fn returns(&self, paragraph: &Range<usize>) -> bool {
        let at = self.range(paragraph);
        match self.body {
            None | Some(Body::Whole) => false,
            _ if at.len() > RETURN_BYTES_MAX => false,
            Some(Body::Closed) => true,
            Some(Body::Open) => {
                let is_memory = self.hits_in(&at).iter().any(|hit| hit.list == List::Memory);
                (is_memory || self.is_other_language_than_body(paragraph)) && self.requests_memory(&at)
            }
        }
    }

    /// Returns whether a sentence within a text is an aside to the assistant: "btw, remember that …".
    fn is_aside(&self, at: &Range<usize>) -> bool {
        self.starts_with(List::Aside, at) && self.requests_memory(at)
    }

    /// Returns whether a paragraph is in the language of the user's first sentence, and the text before it is
    /// not.
    fn is_other_language_than_body(&self, paragraph: &Range<usize>) -> bool {
        let Some(first) = self.sentences.first() else { return false };
        let Some(before) = paragraph.start.checked_sub(1) else { return false };
        let body = self.range(&(first.line + 1..before.max(first.line + 1)));
        if self.message[body.clone()].trim().is_empty() {
            return false;
        }
        let guess = |at: &Range<usize>| languages().guess(&self.folded[at.clone()], &self.hits_in(at));
        let (body, here) = (guess(&body), guess(&self.range(paragraph)));
        body & here == 0 && first.languages & here != 0
    }

    fn requests_memory(&self, at: &Range<usize>) -> bool {
        const REQUESTS: [List; 6] = [
            List::Remember,
            List::RememberThis,
            List::Forget,
            List::ForgetAll,
            List::ForgetThis,
            List::CorrectThis,
        ];
        REQUESTS.into_iter().any(|list| self.starts_with(list, at))
    }

    /// Returns whether a text starts with a phrase of a list, or has one at the start of a clause for lists of
    /// requests.
    fn starts_with(&self, list: List, at: &Range<usize>) -> bool {
        let text = self.folded[at.clone()].trim();
        let hits = self.hits_in(at);
        let mut tried: LanguageSet = 0;
        hits.iter().filter(|hit| hit.list == list).any(|hit| {
            let is_new = tried & 1 << hit.language == 0;
            tried |= 1 << hit.language;
            is_new && languages().all[hit.language].is_match(list, text)
        })
    }

    fn hits_in(&self, at: &Range<usize>) -> Vec<Hit> {
        // The hits are in the order of their ends.
        let first = self.hits.partition_point(|hit| hit.at.end <= at.start);
        let inside = self.hits[first..].iter().take_while(|hit| hit.at.end <= at.end);
        inside.filter(|hit| at.start <= hit.at.start).cloned().collect()
    }

    /// Returns the bytes of a range of lines.
    fn range(&self, lines: &Range<usize>) -> Range<usize> {
        let end = lines.end.min(self.lines.len());
        match self.lines.get(lines.start) {
            Some(first) if lines.start < end => first.at.start..self.lines[end - 1].at.end,
            _ => 0..0,
        }
    }
}
