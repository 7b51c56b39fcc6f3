//! Tokenizes prompts: a template's markup as special tokens, callers' texts as plain text.
//!
//! The cost of llama.cpp's own search for special tokens grows with the square of their number, and it reads
//! a text of any length at once. So an automaton finds the special tokens here, and llama.cpp gets the text
//! between them in slices of [`SLICE_BYTES`]. The work can stop between slices: for another prompt, for a
//! cancelled request, or because the prompt exceeds its model's context. See decisions 0034 and 0035.
//! `service` schedules the work. For embeddings and ranking, only the start of a text is read (`beginning`).

mod markup;
mod queries;
mod service;
mod special;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::Instant;

use super::llama_cpp::{TokenKind, Vocab};
use lar_chat_format::template;
use lar_chat_format::template::guard::GuardedChat;
use lar_inference::protocol::TAIL_BYTES;
use lar_inference::{ChatTemplate, Cuts, Prompt};
use markup::TemplateMarkup;
pub(super) use service::{PromptQueue, RequestKind, TokenizeRequest, Tokenizers};
use special::{Finder, SpecialToken};

/// The text that llama.cpp gets at once, in bytes. With a dozen processes on two cores, one word of this
/// length took 90 ms and English 55 ms (1 MB took 5.5 s and 3.8 s; SmolLM2, 2026-11-28). Alone, it takes a
/// fraction of that.
const SLICE_BYTES: usize = 16 << 10;
/// The turn of a prompt, after which others get theirs.
const TURN: Duration = Duration::from_millis(50);

/// The result of a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenizeOutcome {
    /// The tokens, and the end of the rendered text of a chat.
    Tokens(Vec<u32>, String),
    /// The number of tokens, if only that was requested.
    Count(u64),
    /// The prompt has at least this many tokens, which is more than allowed.
    TooLong(u64),
}

/// Tokenizes prompts with one model's vocabulary.
pub(super) struct Tokenizer<'model> {
    vocab: Vocab<'model>,
    special: Vec<SpecialToken>,
    /// Finds the texts of all special tokens, for prompts in which a caller may write them.
    all: Finder,
    /// The most bytes of a token; `None` if there is no limit.
    longest: Option<usize>,
    before: Option<u32>,
    after: Option<u32>,
    /// The tokens of a line break, if the vocabulary inserts a space before the first token of a text. Put
    /// before a continued text, they prevent that space.
    lead: Option<Vec<u32>>,
    cuts: Cuts,
    /// The markup of no template, for raw prompts.
    raw: Arc<TemplateMarkup>,
    /// The markup of the last template.
    written: Mutex<Option<Arc<TemplateMarkup>>>,
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
                cuts.exclude(&piece);
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

    /// Returns the markup of a template. Raw prompts have a fixed one, so that alternating raw prompts and
    /// chats keep the cached one.
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

    /// Returns the first tokens of a text without special tokens, and whether some of the text was not read.
    /// Reads slices of at most `slice_bytes` until it has `enough` tokens or has read `bytes_max` bytes.
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

    /// Returns the tokens that the vocabulary puts before and after each text.
    pub(super) fn marks(&self) -> (Option<u32>, Option<u32>) {
        (self.before, self.after)
    }

    /// Starts a prompt, and renders it if it is a chat. Text with only the template's special tokens is kept
    /// apart from text with any special tokens. `renders` is called with the bytes when rendering starts, and
    /// with `None` when it ends.
    ///
    /// # Errors
    /// The reason why the prompt cannot be tokenized.
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
            is_query: false,
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
                    return Err("the model has no infill tokens".into());
                };
                // Prefix, suffix, middle: the order that most such models were trained with. The list is
                // reversed.
                work.tokens.extend(vocab.adds_start().then(|| vocab.start()).flatten());
                work.tokens.push(before);
                work.parts.push(TextPart::Token(middle));
                work.parts.push(TextPart::plain(suffix));
                work.parts.push(TextPart::Token(behind));
                work.parts.push(TextPart::plain(prefix));
            }
            (Prompt::Chat(chat), Some(template)) => {
                let reason_of = |error: lar_inference::Error| match error {
                    lar_inference::Error::Template(reason) => reason,
                    other => other.to_string(),
                };
                let guarded =
                    GuardedChat::new(chat, &template.source, &work.written.markup).map_err(reason_of)?;
                renders(Some(guarded.chat.bytes()));
                let text = template::render(template, &guarded.chat);
                renders(None);
                let text = text.map_err(reason_of)?;
                let end = text.floor_char_boundary(text.len().saturating_sub(4 * TAIL_BYTES));
                let end = without(&text[end..], guarded.sentinel);
                work.tail = end[end.floor_char_boundary(end.len().saturating_sub(TAIL_BYTES))..].to_owned();
                // Many templates write the start token themselves, and a second one makes answers worse.
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

    /// Continues a prompt for one turn. Returns its result once it is complete.
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
                // A model needs something to continue: its start token, or its end token.
                if work.tokens.is_empty() && !work.is_query {
                    work.tokens.extend(self.vocab.start().or(self.vocab.end()));
                }
                TokenizeOutcome::Tokens(std::mem::take(&mut work.tokens), std::mem::take(&mut work.tail))
            }
        })
    }

    /// Returns whether the prompt has more tokens than allowed: those found, and the fewest that the rest can
    /// have.
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
            // All special tokens of this kind are found; the text between them can contain user-defined ones.
            work.parts.push(TextPart::plain(plain));
        }
    }

    /// Tokenizes the next slice of plain text.
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
            // A mark that a caller wrote is broken after its first character.
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

    /// Tokenizes plain text without special tokens; `fresh` says that only a special token precedes it.
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
        // Some tokenizers join characters to any text in the vocabulary. The text is then split inside the
        // texts of special tokens.
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

    /// Returns the vocabulary's tokens of plain text.
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

/// The result that a prompt's tokenization shall return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// All tokens, if there are no more than this.
    Tokens(u32),
    /// Only their number.
    Count,
}

/// A prompt that is being tokenized.
pub(super) struct Tokenization {
    /// The parts that are left, the next part last.
    parts: Vec<TextPart>,
    tokens: Vec<u32>,
    counted: u64,
    limit: Limit,
    tail: String,
    written: Arc<TemplateMarkup>,
    after: Option<u32>,
    /// Whether this is a query about a text and not a prompt for a model.
    is_query: bool,
}

impl Tokenization {
    /// Returns the bytes of text that are left.
    fn bytes_left(&self) -> usize {
        self.parts.iter().map(TextPart::bytes).sum()
    }
}

enum TextPart {
    Token(u32),
    /// Text from `at` on with special tokens: all of them, or those that a template writes.
    Marked {
        text: String,
        at: usize,
        sentinel: Option<char>,
        all: bool,
    },
    /// Text from `at` on without special tokens.
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

    /// Returns the bytes of text that are left.
    fn bytes(&self) -> usize {
        match self {
            TextPart::Token(_) => 0,
            // Sentinels are not text: the largest possible share of them is subtracted.
            TextPart::Marked { text, at, sentinel: Some(_), .. } => (text.len() - at) / 5,
            TextPart::Marked { text, at, .. } | TextPart::Plain { text, at, .. } => text.len() - at,
        }
    }
}

/// Returns a text without its sentinels.
fn without(text: &str, sentinel: Option<char>) -> String {
    match sentinel {
        Some(sentinel) => text.replace(sentinel, ""),
        None => text.to_owned(),
    }
}

/// Returns the bytes of a text's first character.
fn first_length(text: &str) -> usize {
    text.chars().next().map_or(1, char::len_utf8)
}

/// Returns whether a character is whitespace by C's `isspace`.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}

fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_blank)
}

/// Returns the tokens of a line break, if the vocabulary inserts a space before a text but not after a line
/// break in it.
fn leads(vocab: Vocab<'_>) -> Option<Vec<u32>> {
    let spaced =
        |tokens: &[u32]| tokens.first().is_some_and(|token| vocab.bytes(*token, false).starts_with(b" "));
    let lead = vocab.tokenize("\n", false, false);
    (spaced(&vocab.tokenize("x", false, false)) && !lead.is_empty()).then_some(lead)
}
