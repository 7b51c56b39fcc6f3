//! Reads the paragraphs of a message in order, and tells the user's own sentences from other texts.

use std::ops::Range;

use super::Sentence;
use super::lines::{Line, LineKind};
use super::sentences;
use super::view::{Part, View};
use crate::requests::languages::List;

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
/// The most bytes of praise: "You are a genius!"
const PRAISE_BYTES_MAX: usize = 60;

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
pub(super) struct Reader<'a> {
    view: View<'a>,
    sentences: Vec<Sentence>,
    body: Option<Body>,
    /// The bytes of a list of facts that may still follow a request to remember them.
    facts: usize,
}

/// The position of a sentence in its paragraph.
#[derive(Clone, Copy)]
struct Place {
    paragraph: usize,
    line: usize,
    ends_line: bool,
    ends_paragraph: bool,
    ends_message: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(view: View<'a>) -> Self {
        Self { view, sentences: Vec::new(), body: None, facts: 0 }
    }

    /// Returns the user's own sentences.
    pub(super) fn read(mut self) -> Vec<Sentence> {
        let paragraphs = self.view.paragraphs();
        let first = if self.ends_with_task(&paragraphs) { paragraphs.len() - 1 } else { 0 };
        for (index, paragraph) in paragraphs.iter().enumerate().skip(first) {
            if first == 0 && self.is_foreign(&paragraphs, index) {
                self.body = Some(Body::Open);
            } else {
                self.read_paragraph(index, paragraph.clone());
            }
            if self.body == Some(Body::Whole) {
                break;
            }
        }
        self.sentences
    }

    /// Returns whether the last paragraph is a task on the text before it.
    fn ends_with_task(&self, paragraphs: &[Range<usize>]) -> bool {
        let [before @ .., last] = paragraphs else { return false };
        let at = self.view.bytes(last);
        let size: usize = before.iter().map(|paragraph| self.view.bytes(paragraph).len()).sum();
        at.len() <= TASK_BYTES_MAX
            && at.len() <= size
            && self.view.lines[last.start].kind == LineKind::Prose
            && self.view.part(at).starts_with(List::TextTask)
    }

    /// Returns whether a paragraph is another's text by its length or language.
    fn is_foreign(&self, paragraphs: &[Range<usize>], index: usize) -> bool {
        let at = self.view.bytes(&paragraphs[index]);
        if paragraphs.len() == 1 {
            return at.len() > SINGLE_PARAGRAPH_BYTES_MAX;
        }
        if at.len() > PARAGRAPH_BYTES_MAX {
            return true;
        }
        if index == 0 || self.facts > 0 {
            return false;
        }
        let first = self.view.part(self.view.bytes(&paragraphs[0]));
        let rest: usize = paragraphs[1..].iter().map(|paragraph| self.view.bytes(paragraph).len()).sum();
        let is_body = index == 1
            && first.folded.trim_end().ends_with(['?', ':', '？', '：'])
            && first.at.len() <= TASK_BYTES_MAX
            && rest >= BODY_BYTES_MIN.max(2 * first.at.len());
        let (here, there) = (self.view.part(at).guess(), first.guess());
        let is_other_language = here.is_sure && there.is_sure && !here.languages.intersects(there.languages);
        is_body || (self.body.is_none() && is_other_language)
    }

    fn read_paragraph(&mut self, index: usize, paragraph: Range<usize>) {
        if self.returns(&paragraph) {
            self.body = None;
        }
        for line in paragraph.clone() {
            match self.view.lines[line].kind {
                LineKind::Prose => self.read_own_line(index, line, paragraph.end),
                LineKind::Dialogue if self.facts > 0 => self.read_own_line(index, line, paragraph.end),
                LineKind::Quoted | LineKind::Technical => self.body = self.body.map(|_| Body::Closed),
                _ => self.body = Some(Body::Open),
            }
            if self.body == Some(Body::Whole) {
                return;
            }
        }
    }

    fn read_own_line(&mut self, paragraph: usize, line: usize, paragraph_end: usize) {
        let Line { at, .. } = &self.view.lines[line];
        let found = sentences::sentences(&self.view.message[at.clone()]);
        let last = found.len().saturating_sub(1);
        for (index, sentence) in found.into_iter().enumerate() {
            let part = self.view.part(at.start + sentence.start..at.start + sentence.end);
            let is_aside = || part.starts_with(List::Aside) && part.requests_memory();
            if self.body.is_some_and(|body| body == Body::Whole || !is_aside()) {
                return;
            }
            let ends_line = index == last;
            let ends_paragraph = ends_line && line + 1 == paragraph_end;
            let ends_message = ends_paragraph && line + 1 == self.view.lines.len();
            self.read_sentence(part, Place { paragraph, line, ends_line, ends_paragraph, ends_message });
        }
    }

    fn read_sentence(&mut self, mut part: Part<'a>, place: Place) {
        let is_praise = part.at.len() <= PRAISE_BYTES_MAX && part.contains(List::Praise);
        if !is_praise && part.starts_with(List::RolePlay) {
            self.body = Some(Body::Whole);
            return;
        }
        if part.starts_with(List::Hypothetical) {
            return;
        }
        let has_pause = place.ends_line && part.folded.ends_with([':', '：']);
        let colon = part.folded.find([':', '：']);
        if is_text_task(&part, colon) {
            // What follows a colon is the text of the task.
            part = self.view.part(part.at.start..colon.map_or(part.at.end, |colon| part.at.start + colon));
            self.body = Some(Body::Open);
        } else if let Some(colon) = colon.filter(|_| part.starts_with(List::WriteTask)) {
            part = self.view.part(part.at.start..part.at.start + colon);
            self.body = Some(Body::Open);
        } else if has_pause && part.requests_memory() {
            self.facts = FACTS_BYTES_MAX;
        } else if has_pause || introduces(&part, place) {
            self.body = Some(Body::Open);
        }
        if !has_pause {
            self.facts = self.facts.saturating_sub(part.at.len());
        }
        let languages = part.guess().languages;
        let Place { paragraph, line, .. } = place;
        self.sentences.push(Sentence { at: part.at, line, paragraph, hits: part.hits, languages });
    }

    /// Returns whether a paragraph after a text is the user's own again.
    fn returns(&self, paragraph: &Range<usize>) -> bool {
        let part = self.view.part(self.view.bytes(paragraph));
        match self.body {
            None | Some(Body::Whole) => false,
            _ if part.at.len() > RETURN_BYTES_MAX => false,
            Some(Body::Closed) => true,
            Some(Body::Open) => {
                let is_for_memory =
                    part.contains(List::Memory) || self.is_other_language_than_body(&part, paragraph.start);
                is_for_memory && part.requests_memory()
            }
        }
    }

    /// Returns whether a paragraph is in the language of the user's first sentence, and the text before it is
    /// not.
    fn is_other_language_than_body(&self, part: &Part<'_>, start: usize) -> bool {
        let Some(first) = self.sentences.first() else { return false };
        let body = self.view.part(self.view.bytes(&(first.line + 1..start.saturating_sub(1))));
        let (here, body) = (part.guess(), body.guess());
        body.is_sure
            && !body.languages.intersects(here.languages)
            && first.languages.intersects(here.languages)
    }
}

/// Returns whether a sentence is a task on a text. "Correct this in your memory: …" is not.
fn is_text_task(part: &Part<'_>, colon: Option<usize>) -> bool {
    let end = colon.map_or(part.at.end, |colon| part.at.start + colon);
    let is_for_memory = part.hits.iter().any(|hit| hit.list == List::Memory && hit.end <= end);
    !is_for_memory && part.starts_with(List::TextTask)
}

/// Returns whether a sentence announces a text, or asks about one that follows: "I got this mail".
fn introduces(part: &Part<'_>, place: Place) -> bool {
    let asks = part.folded.ends_with(['?', '？']);
    let is_open = !part.folded.ends_with(['.', '!', '。', '！']);
    let announces = asks || place.ends_paragraph || (place.ends_line && is_open);
    announces && !place.ends_message && part.contains(List::Introduces) && !part.requests_memory()
}
