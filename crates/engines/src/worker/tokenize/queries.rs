//! Answers questions about the vocabulary and the chat template. Long texts take turns as prompts do.

use super::{Limit, TextPart, Tokenization, Tokenizer, without};
use crate::driver::{Prompt, TokenizerAnswer, TokenizerQuery};
use crate::protocol::FRAME_BYTES_MAX;
use crate::template::ChatTemplate;
use crate::template::guard::GuardedChat;

/// An answer, or the work that leads to one.
pub(super) enum QueryStart {
    Answer(TokenizerAnswer),
    Work(Tokenization),
}

impl Tokenizer<'_> {
    /// Begins with a question. `renders` hears when its template begins to work, and when it is done.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, the template cannot render the chat, or the answer is too long.
    pub(super) fn begin_query(
        &self,
        question: TokenizerQuery,
        template: Option<&ChatTemplate>,
        renders: impl Fn(Option<usize>),
    ) -> Result<QueryStart, String> {
        match question {
            TokenizerQuery::Tokenize { text, add_special, parse_special } => {
                let prompt = Prompt::Text(String::new());
                let mut work = self.begin(prompt, None, Limit::Tokens(u32::MAX), renders)?;
                if !add_special {
                    work.tokens.clear();
                    work.after = None;
                }
                work.is_question = true;
                work.parts = vec![if parse_special {
                    TextPart::Marked { text, at: 0, sentinel: None, all: true }
                } else {
                    TextPart::plain(text)
                }];
                Ok(QueryStart::Work(work))
            }
            TokenizerQuery::Detokenize { tokens } => {
                if let Some(token) = tokens.iter().find(|token| **token >= self.vocab.len()) {
                    return Err(format!("token {token} is not in the vocabulary"));
                }
                let pieces = tokens.into_iter().map(|token| self.vocab.bytes(token, true)).collect();
                sendable(TokenizerAnswer { pieces, ..TokenizerAnswer::default() }).map(QueryStart::Answer)
            }
            TokenizerQuery::Render(chat) => {
                let template = template.ok_or("the model has no chat template")?;
                let said = |error: crate::Error| match error {
                    crate::Error::Template(reason) => reason,
                    other => other.to_string(),
                };
                let written = self.markup_for(&template.source);
                let guarded = GuardedChat::new(chat, &template.source, &written.markup).map_err(said)?;
                renders(Some(guarded.chat.bytes()));
                let text = template.render(&guarded.chat);
                renders(None);
                let text = without(&text.map_err(said)?, guarded.sentinel);
                sendable(TokenizerAnswer { text, ..TokenizerAnswer::default() }).map(QueryStart::Answer)
            }
            TokenizerQuery::EndTokens => {
                let tokens = self.vocab.tokens().filter(|token| self.vocab.ends(*token)).collect();
                sendable(TokenizerAnswer { tokens, ..TokenizerAnswer::default() }).map(QueryStart::Answer)
            }
        }
    }
}

/// An answer that one frame is long enough for.
pub(super) fn sendable(answer: TokenizerAnswer) -> Result<TokenizerAnswer, String> {
    // A number takes 5 bytes at most, and so does a length.
    let pieces: usize = answer.pieces.iter().map(|piece| piece.len() + 5).sum();
    match answer.tokens.len() * 5 + pieces + answer.text.len() {
        bytes if bytes > FRAME_BYTES_MAX - 1024 => {
            Err(format!("the answer has {bytes} bytes, which is too long"))
        }
        _ => Ok(answer),
    }
}
