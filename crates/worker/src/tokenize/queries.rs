//! Answers queries about the vocabulary and the chat template. Long texts take turns like prompts.

use super::{Limit, TextPart, Tokenization, Tokenizer, without};
use lar_chat_format::template;
use lar_chat_format::template::guard::GuardedChat;
use lar_inference::ChatTemplate;
use lar_inference::protocol::FRAME_BYTES_MAX;
use lar_inference::{Prompt, TokenizerAnswer, TokenizerQuery};

/// An answer, or the work that leads to it.
pub(super) enum QueryStart {
    Answer(TokenizerAnswer),
    Work(Tokenization),
}

impl Tokenizer<'_> {
    /// Starts a query. `renders` is called as in [`Tokenizer::begin`].
    ///
    /// # Errors
    /// A token is not in the vocabulary, the template cannot render the chat, or the answer is too long.
    pub(super) fn begin_query(
        &self,
        query: TokenizerQuery,
        template: Option<&ChatTemplate>,
        renders: impl Fn(Option<usize>),
    ) -> Result<QueryStart, String> {
        match query {
            TokenizerQuery::Tokenize { text, add_special, parse_special } => {
                let prompt = Prompt::Text(String::new());
                let mut work = self.begin(prompt, None, Limit::Tokens(u32::MAX), renders)?;
                if !add_special {
                    work.tokens.clear();
                    work.after = None;
                }
                work.is_query = true;
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
                let reason_of = |error: lar_inference::Error| match error {
                    lar_inference::Error::Template(reason) => reason,
                    other => other.to_string(),
                };
                let written = self.markup_for(&template.source);
                let guarded = GuardedChat::new(chat, &template.source, &written.markup).map_err(reason_of)?;
                renders(Some(guarded.chat.bytes()));
                let text = template::render(template, &guarded.chat);
                renders(None);
                let text = without(&text.map_err(reason_of)?, guarded.sentinel);
                sendable(TokenizerAnswer { text, ..TokenizerAnswer::default() }).map(QueryStart::Answer)
            }
            TokenizerQuery::EndTokens => {
                let tokens = self.vocab.tokens().filter(|token| self.vocab.ends(*token)).collect();
                sendable(TokenizerAnswer { tokens, ..TokenizerAnswer::default() }).map(QueryStart::Answer)
            }
        }
    }
}

/// Checks that an answer fits in one frame.
pub(super) fn sendable(answer: TokenizerAnswer) -> Result<TokenizerAnswer, String> {
    // A number takes at most 5 bytes, and so does a length.
    let pieces: usize = answer.pieces.iter().map(|piece| piece.len() + 5).sum();
    match answer.tokens.len() * 5 + pieces + answer.text.len() {
        bytes if bytes > FRAME_BYTES_MAX - 1024 => {
            Err(format!("the answer has {bytes} bytes, which is too long"))
        }
        _ => Ok(answer),
    }
}
