//! Prompts become tokens: a template's markup as special tokens, what callers wrote as plain text.
//!
//! llama.cpp's own search for special tokens takes the square of their number, and reads a text of any length in one
//! go. So the special tokens are found here, with an automaton, and llama.cpp is given the text between them in slices
//! of [`SLICE_BYTES`]. Work can stop between slices: for another prompt, for a caller who left, or because the prompt
//! is longer than its model's context. Decisions 0034 and 0035; `service` shares the work out. Of texts for embedding and
//! ranking, only the beginning is read (`beginning`).

mod cuts;
mod queries;
mod service;
mod special;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::Instant;

use super::llama_cpp::{TokenKind, Vocab};
use crate::driver::Prompt;
use crate::template::ChatTemplate;
use crate::template::guard::{GuardedChat, Markup};
pub(crate) use cuts::Cuts;
pub(super) use service::{PromptQueue, RequestKind, TokenizeRequest, Tokenizers};
use special::{Finder, SpecialToken};

/// Text that llama.cpp is given at once, in bytes. One word of this length took it 90 ms and English 55 ms where a
/// dozen processes shared two cores (1 MB in 5.5 s and 3.8 s; SmolLM2, 2026-11-28); alone it takes a fraction of that.
const SLICE_BYTES: usize = 16 << 10;
/// A prompt's turn: then others have theirs.
const TURN: Duration = Duration::from_millis(50);
/// How much of a rendered chat's end is told.
const TAIL_BYTES: usize = super::TAIL_BYTES;

/// What became of a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenizeOutcome {
    /// Its tokens, and the end of the text that was made of a chat.
    Tokens(Vec<u32>, String),
    /// How many there are, where only that was asked for.
    Count(u64),
    /// It has at least so many tokens, which is more than was allowed.
    TooLong(u64),
}

/// Tokenizes prompts with one model's vocabulary.
pub(super) struct Tokenizer<'model> {
    vocab: Vocab<'model>,
    special: Vec<SpecialToken>,
    /// Finds all special tokens' texts, where a caller's prompt may hold them.
    all: Finder,
    /// Bytes that a token stands for at most; `None` where tokens may stand for any number of bytes.
    longest: Option<usize>,
    before: Option<u32>,
    after: Option<u32>,
    /// The tokens of a line break, where a text's first token is made with a blank before it: put before a text that
    /// goes on, they keep the blank away.
    lead: Option<Vec<u32>>,
    cuts: Cuts,
    /// What was found out of no template, which raw prompts have.
    raw: Arc<TemplateMarkup>,
    /// What was found out of the last template.
    written: Mutex<Option<Arc<TemplateMarkup>>>,
}

/// Which tokens one template's markup makes.
struct TemplateMarkup {
    template: String,
    markup: Markup,
    /// Finds what the template writes.
    written: Finder,
    /// Finds the user-defined tokens in plain text.
    plain: Finder,
    /// Of each special token, whether it is markup.
    breaks: Vec<bool>,
    /// Of each token, whether plain text may not make it.
    forbidden: Vec<bool>,
}

impl TemplateMarkup {
    fn of(template: &str, vocab: Vocab<'_>, special: &[SpecialToken]) -> Self {
        let breaks: Vec<bool> = special.iter().map(|special| special.is_markup(template)).collect();
        let texts = || special.iter().map(|special| special.text.as_str()).enumerate();
        let user_defined = |(at, _): &(usize, &str)| special[*at].kind == TokenKind::UserDefined;
        let mut forbidden = vec![false; vocab.len() as usize];
        for (special, breaks) in special.iter().zip(&breaks) {
            let control = special.kind == TokenKind::Control && vocab.is_control(special.token);
            forbidden[special.token as usize] =
                control || (special.kind == TokenKind::UserDefined && *breaks);
        }
        Self {
            template: template.to_owned(),
            markup: Markup::new(texts().filter(|(at, _)| breaks[*at]).map(|(_, text)| text)),
            written: Finder::new(texts().filter(|(at, _)| breaks[*at])),
            plain: Finder::new(texts().filter(user_defined)),
            breaks,
            forbidden,
        }
    }
}

impl<'model> Tokenizer<'model> {
    pub(super) fn new(vocab: Vocab<'model>) -> Self {
        let mut special = Vec::new();
        let (mut longest, mut cuts) = (1, Cuts { at_blanks: true, at_lines: true });
        for token in vocab.tokens() {
            let attributes = vocab.attributes(token);
            let piece = vocab.bytes(token, true);
            longest = longest.max(piece.len());
            if attributes.kind == TokenKind::Text {
                cuts.see(&piece);
                continue;
            }
            let text = vocab.text(token);
            longest = longest.max(text.len());
            special.push(SpecialToken {
                token,
                text,
                kind: attributes.kind,
                strips_left: attributes.strips_left,
                strips_right: attributes.strips_right,
            });
        }
        let strips = special.iter().any(|special| special.strips_left || special.strips_right);
        let marks = vocab.tokenize("", true, false);
        let start = vocab.adds_start().then(|| vocab.start()).flatten();
        let (before, after) = match *marks.as_slice() {
            [] => (None, None),
            [only] if start == Some(only) => (Some(only), None),
            [only] => (None, Some(only)),
            [first, .., last] => (Some(first), Some(last)),
        };
        let all = Finder::new(special.iter().map(|special| special.text.as_str()).enumerate());
        Self {
            lead: leads(vocab),
            longest: (vocab.keeps_bytes() && !strips).then_some(longest),
            raw: Arc::new(TemplateMarkup::of("", vocab, &special)),
            vocab,
            special,
            all,
            before,
            after,
            cuts,
            written: Mutex::default(),
        }
    }

    /// Which tokens a template's markup makes. Raw prompts and chats, which come in turns, do not push each other out.
    fn markup_for(&self, template: &str) -> Arc<TemplateMarkup> {
        if template.is_empty() {
            return self.raw.clone();
        }
        let mut last = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = last.as_ref().filter(|written| written.template == template) {
            return written.clone();
        }
        let written = Arc::new(TemplateMarkup::of(template, self.vocab, &self.special));
        *last = Some(written.clone());
        written
    }

    /// The first tokens of a text in which none are special, and whether some of the text was not looked at. Reads slices of
    /// at most `slice_bytes` until there are `enough` tokens, or `bytes_max` bytes are read.
    pub(super) fn beginning(
        &self,
        text: &str,
        enough: usize,
        slice_bytes: usize,
        bytes_max: usize,
    ) -> (Vec<u32>, bool) {
        let (mut tokens, mut at) = (Vec::new(), 0);
        while at < text.len() && tokens.len() < enough && at < bytes_max {
            let end = at + self.cuts.end(&text[at..], slice_bytes);
            self.plain(&text[at..end], at == 0, &self.raw, &mut tokens);
            at = end;
        }
        (tokens, at < text.len())
    }

    /// The tokens that the vocabulary puts before and behind each text.
    pub(super) fn marks(&self) -> (Option<u32>, Option<u32>) {
        (self.before, self.after)
    }

    /// Begins with a prompt: renders it, if it is a chat. Text in which only a template's special tokens count is
    /// kept apart from text in which all do. `renders` hears when its template begins to work, and when it is done.
    ///
    /// # Errors
    /// Why it cannot be made into tokens.
    pub(super) fn begin(
        &self,
        prompt: Prompt,
        template: Option<&ChatTemplate>,
        limit: Limit,
        renders: impl Fn(Option<usize>),
    ) -> Result<Tokenization, String> {
        let mut work = Tokenization {
            parts: Vec::new(),
            tokens: Vec::new(),
            counted: 0,
            limit,
            tail: String::new(),
            written: self.markup_for(template.map_or("", |template| &template.source)),
            after: None,
            is_question: false,
        };
        match (prompt, template) {
            (Prompt::Tokens(tokens), _) => {
                if let Some(token) = tokens.iter().find(|token| **token >= self.vocab.len()) {
                    return Err(format!("token {token} is not in the vocabulary"));
                }
                work.tokens = tokens;
            }
            (Prompt::Text(text), _) => {
                work.tokens.extend(self.before);
                work.after = self.after;
                work.parts.push(TextPart::Marked { text, at: 0, sentinel: None, all: true });
            }
            (Prompt::Infill { prefix, suffix }, _) => {
                let vocab = self.vocab;
                let (Some(before), Some(behind), Some(middle)) =
                    (vocab.infill_prefix(), vocab.infill_suffix(), vocab.infill_middle())
                else {
                    return Err("the model has no tokens for it".into());
                };
                // Prefix, suffix, middle: the order that most models with such tokens were taught. The last comes first.
                work.tokens.extend(vocab.adds_start().then(|| vocab.start()).flatten());
                work.tokens.push(before);
                work.parts.push(TextPart::Token(middle));
                work.parts.push(TextPart::plain(suffix));
                work.parts.push(TextPart::Token(behind));
                work.parts.push(TextPart::plain(prefix));
            }
            (Prompt::Chat(chat), Some(template)) => {
                let said = |error: crate::Error| match error {
                    crate::Error::Template(reason) => reason,
                    other => other.to_string(),
                };
                let guarded = GuardedChat::new(chat, &template.source, &work.written.markup).map_err(said)?;
                renders(Some(guarded.chat.bytes()));
                let text = template.render(&guarded.chat);
                renders(None);
                let text = text.map_err(said)?;
                let end = text.floor_char_boundary(text.len().saturating_sub(4 * TAIL_BYTES));
                let end = without(&text[end..], guarded.sentinel);
                work.tail = end[end.floor_char_boundary(end.len().saturating_sub(TAIL_BYTES))..].to_owned();
                // Many templates write the start token themselves; two of them make answers worse.
                if template.start.is_empty() || !text.starts_with(&template.start) {
                    work.tokens.extend(self.before);
                    work.after = self.after;
                }
                work.parts.push(TextPart::Marked { text, at: 0, sentinel: guarded.sentinel, all: false });
            }
            (Prompt::Chat(_), None) => return Err("the model has no chat template".into()),
        }
        Ok(work)
    }

    /// Goes on with a prompt for one turn; its tokens once it is done.
    pub(super) fn advance(&self, work: &mut Tokenization) -> Option<TokenizeOutcome> {
        let started = Instant::now();
        if let Some(too_long) = self.too_long(work) {
            return Some(too_long);
        }
        while let Some(part) = work.parts.pop() {
            match part {
                TextPart::Token(token) => work.tokens.push(token),
                TextPart::Marked { text, at, sentinel, all } => self.split(work, text, at, sentinel, all),
                TextPart::Plain { text, at, fresh } => self.slice(work, text, at, fresh),
            }
            if let Some(too_long) = self.too_long(work) {
                return Some(too_long);
            }
            if work.limit == Limit::Count {
                work.counted += work.tokens.len() as u64;
                work.tokens.clear();
            }
            if started.elapsed() >= TURN && !work.parts.is_empty() {
                return None;
            }
        }
        work.tokens.extend(work.after.take());
        Some(match work.limit {
            Limit::Count => TokenizeOutcome::Count(work.counted + work.tokens.len() as u64),
            Limit::Tokens(_) => {
                // A model continues something: its start token, or the end of another text.
                if work.tokens.is_empty() && !work.is_question {
                    work.tokens.extend(self.vocab.start().or(self.vocab.end()));
                }
                TokenizeOutcome::Tokens(std::mem::take(&mut work.tokens), std::mem::take(&mut work.tail))
            }
        })
    }

    /// Whether it has more tokens than may be: those that were made, and at least those that the rest will make.
    fn too_long(&self, work: &Tokenization) -> Option<TokenizeOutcome> {
        let Limit::Tokens(most) = work.limit else { return None };
        let left = self.longest.map_or(0, |longest| work.bytes_left() / longest);
        let least = (work.tokens.len() + left) as u64;
        (least > u64::from(most)).then_some(TokenizeOutcome::TooLong(least))
    }

    /// Splits a text at its next special token.
    fn split(&self, work: &mut Tokenization, text: String, at: usize, sentinel: Option<char>, all: bool) {
        let finder = if all { &self.all } else { &work.written.written };
        let found = finder.find(&text, at..text.len());
        let mut end = found.map_or(text.len(), |found| found.start);
        if let Some(SpecialToken { strips_left: true, .. }) = found.map(|found| &self.special[found.special])
        {
            end = at + trim_end(&text[at..end]).len();
        }
        let plain = without(&text[at..end], sentinel);
        if let Some(found) = found {
            let special = &self.special[found.special];
            let mut next = found.end;
            if special.strips_right {
                next = text.len() - trim_start(&text[next..]).len();
            }
            if next < text.len() {
                work.parts.push(TextPart::Marked { text, at: next, sentinel, all });
            }
            work.parts.push(TextPart::Token(special.token));
        }
        if !plain.is_empty() {
            // All special tokens are found already; what is between may hold no user-defined ones.
            work.parts.push(TextPart::plain(plain));
        }
    }

    /// Makes tokens of the next slice of plain text.
    fn slice(&self, work: &mut Tokenization, text: String, at: usize, fresh: bool) {
        let finder = &work.written.plain;
        let window = text.len().min(at + SLICE_BYTES + finder.longest);
        let found = finder.find(&text, at..window);
        if let Some(found) = found.filter(|found| found.start == at && !work.written.breaks[found.special]) {
            let special = &self.special[found.special];
            work.tokens.push(special.token);
            let next = if special.strips_right {
                text.len() - trim_start(&text[found.end..]).len()
            } else {
                found.end
            };
            if next < text.len() {
                work.parts.push(TextPart::Plain { text, at: next, fresh: true });
            }
            return;
        }
        let mut end = at + self.cuts.end(&text[at..], SLICE_BYTES);
        let mut stripped = end;
        if let Some(found) = found.filter(|found| found.start < end) {
            // A mark that a caller spelled is broken behind its first character.
            end = if work.written.breaks[found.special] {
                found.start + first_length(&text[found.start..])
            } else {
                found.start
            };
            let strips = self.special[found.special].strips_left && end == found.start;
            stripped = if strips { at + trim_end(&text[at..end]).len() } else { end };
        }
        let written = work.written.clone();
        self.plain(&text[at..stripped], fresh, &written, &mut work.tokens);
        if end < text.len() {
            work.parts.push(TextPart::Plain { text, at: end, fresh: false });
        }
    }

    /// Makes tokens of plain text, none of them special; `fresh` where nothing but a special token is before it.
    fn plain(&self, text: &str, fresh: bool, written: &TemplateMarkup, tokens: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let forbidden = |token: &u32| written.forbidden.get(*token as usize).copied().unwrap_or(false);
        let made = self.plain_tokens(text, fresh);
        if !made.iter().any(forbidden) {
            tokens.extend(made);
            return;
        }
        // Some tokenizers join characters to any text in the vocabulary: it is parted within the special tokens'.
        let mut ends: Vec<usize> = Vec::new();
        let mut from = 0;
        while let Some(found) = self.all.find(text, from..text.len()) {
            from = found.start + first_length(&text[found.start..]);
            ends.push(from);
        }
        ends.retain(|end| *end < text.len());
        if ends.is_empty() {
            let middle = text.floor_char_boundary(text.len() / 2).max(first_length(text));
            if middle >= text.len() {
                tokens.extend(made.into_iter().filter(|token| !forbidden(token)));
                return;
            }
            ends.push(middle);
        }
        ends.push(text.len());
        let mut start = 0;
        for end in ends {
            self.plain(&text[start..end], fresh && start == 0, written, tokens);
            start = end;
        }
    }

    /// The tokens of plain text as the vocabulary makes them.
    fn plain_tokens(&self, text: &str, fresh: bool) -> Vec<u32> {
        if let Some(lead) = self.lead.as_ref().filter(|_| !fresh) {
            let mut tokens = self.vocab.tokenize(&format!("\n{text}"), false, false);
            if tokens.starts_with(lead) {
                return tokens.split_off(lead.len());
            }
        }
        self.vocab.tokenize(text, false, false)
    }
}

/// Which tokens are wanted of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// All of them, if there are no more than this.
    Tokens(u32),
    /// Only their number.
    Count,
}

/// A prompt that is being made into tokens.
pub(super) struct Tokenization {
    /// What is left of it, the next part last.
    parts: Vec<TextPart>,
    tokens: Vec<u32>,
    counted: u64,
    limit: Limit,
    tail: String,
    written: Arc<TemplateMarkup>,
    after: Option<u32>,
    /// Whether only a text's tokens are asked for, which no model is given.
    is_question: bool,
}

impl Tokenization {
    /// Bytes of text that are left.
    fn bytes_left(&self) -> usize {
        self.parts.iter().map(TextPart::bytes).sum()
    }
}

enum TextPart {
    Token(u32),
    /// Text from `at` on in which special tokens are found: all of them, or those that a template writes.
    Marked {
        text: String,
        at: usize,
        sentinel: Option<char>,
        all: bool,
    },
    /// Text from `at` on in which none are.
    Plain {
        text: String,
        at: usize,
        fresh: bool,
    },
}

impl TextPart {
    fn plain(text: String) -> Self {
        TextPart::Plain { text, at: 0, fresh: true }
    }

    /// Bytes of text that are left.
    fn bytes(&self) -> usize {
        match self {
            TextPart::Token(_) => 0,
            // Sentinels are no text: as much as there can be of them is left out.
            TextPart::Marked { text, at, sentinel: Some(_), .. } => (text.len() - at) / 5,
            TextPart::Marked { text, at, .. } | TextPart::Plain { text, at, .. } => text.len() - at,
        }
    }
}

/// A text without its sentinels.
fn without(text: &str, sentinel: Option<char>) -> String {
    match sentinel {
        Some(sentinel) => text.replace(sentinel, ""),
        None => text.to_owned(),
    }
}

/// Bytes of a text's first character.
fn first_length(text: &str) -> usize {
    text.chars().next().map_or(1, char::len_utf8)
}

/// As C's `isspace` sees blanks.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}

fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_blank)
}

/// The tokens of a line break, where a blank is put before a text and not behind a line break in it.
fn leads(vocab: Vocab<'_>) -> Option<Vec<u32>> {
    let spaced =
        |tokens: &[u32]| tokens.first().is_some_and(|token| vocab.bytes(*token, false).starts_with(b" "));
    let lead = vocab.tokenize("\n", false, false);
    (spaced(&vocab.tokenize("x", false, false)) && !lead.is_empty()).then_some(lead)
}
