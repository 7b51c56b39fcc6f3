//! Answers questions about the vocabulary and the chat template. Long texts take turns as prompts do.

use super::{Limit, Part, Tokenization, Tokenizer, without};
use crate::driver::{Prompt, TextAnswer, TextQuestion};
use crate::protocol::FRAME_BYTES_MAX;
use crate::template::ChatTemplate;
use crate::template::guard::Guarded;

/// An answer, or the work that leads to one.
pub(super) enum Begun {
    Answer(TextAnswer),
    Work(Tokenization),
}

impl Tokenizer<'_> {
    /// Begins with a question. `renders` hears when its template begins to work, and when it is done.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, the template cannot render the chat, or the answer is too long.
    pub(super) fn begin_text(
        &self,
        question: TextQuestion,
        template: Option<&ChatTemplate>,
        renders: impl Fn(Option<usize>),
    ) -> Result<Begun, String> {
        match question {
            TextQuestion::Tokenize { text, add_special, parse_special } => {
                let prompt = Prompt::Text(String::new());
                let mut work = self.begin(prompt, None, Limit::Tokens(u32::MAX), renders)?;
                if !add_special {
                    work.tokens.clear();
                    work.after = None;
                }
                work.is_question = true;
                work.parts = vec![if parse_special {
                    Part::Marked { text, at: 0, sentinel: None, all: true }
                } else {
                    Part::plain(text)
                }];
                Ok(Begun::Work(work))
            }
            TextQuestion::Detokenize { tokens } => {
                if let Some(token) = tokens.iter().find(|token| **token >= self.vocab.len()) {
                    return Err(format!("token {token} is not in the vocabulary"));
                }
                let pieces = tokens.into_iter().map(|token| self.vocab.bytes(token, true)).collect();
                sendable(TextAnswer { pieces, ..TextAnswer::default() }).map(Begun::Answer)
            }
            TextQuestion::Render(chat) => {
                let template = template.ok_or("the model has no chat template")?;
                let said = |error: crate::Error| match error {
                    crate::Error::Template(reason) => reason,
                    other => other.to_string(),
                };
                let written = self.written(&template.source);
                let guarded = Guarded::new(chat, &template.source, &written.markup).map_err(said)?;
                renders(Some(guarded.chat.bytes()));
                let text = template.render(&guarded.chat);
                renders(None);
                let text = without(&text.map_err(said)?, guarded.sentinel);
                sendable(TextAnswer { text, ..TextAnswer::default() }).map(Begun::Answer)
            }
            TextQuestion::EndTokens => {
                let tokens = self.vocab.tokens().filter(|token| self.vocab.ends(*token)).collect();
                sendable(TextAnswer { tokens, ..TextAnswer::default() }).map(Begun::Answer)
            }
        }
    }
}

/// An answer that one frame is long enough for.
pub(super) fn sendable(answer: TextAnswer) -> Result<TextAnswer, String> {
    // A number takes 5 bytes at most, and so does a length.
    let pieces: usize = answer.pieces.iter().map(|piece| piece.len() + 5).sum();
    match answer.tokens.len() * 5 + pieces + answer.text.len() {
        bytes if bytes > FRAME_BYTES_MAX - 1024 => {
            Err(format!("the answer has {bytes} bytes, which is too long"))
        }
        _ => Ok(answer),
    }
}
