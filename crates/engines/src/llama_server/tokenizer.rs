//! Questions about a `llama-server`'s vocabulary and template, asked of the server itself.

use serde_json::json;

use super::client::Client;
use super::stream;
use crate::Error;
use crate::chat_format::ModelFormat;
use crate::driver::{TokenizerAnswer, TokenizerQuery};
use crate::worker::Cuts;

/// Bytes of a text that are tokenized in one request. llama.cpp takes the square of the special tokens in a text, cannot be
/// stopped at it, and computes on when nobody waits any more: some 0.1 s for this much of nothing else.
const SLICE_BYTES: usize = 64 << 10;
/// Where words end in nearly every vocabulary; the server does not tell its own.
const CUTS: Cuts = Cuts { at_blanks: true, at_lines: true };

/// How a text is read as tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenizeOptions {
    /// Whether the tokens that begin and end every prompt are added.
    pub(super) add_special: bool,
    /// Whether texts of special tokens are read as those.
    pub(super) parse_special: bool,
    /// Stops where there are more tokens than this.
    pub(super) tokens_max: Option<u32>,
}

/// The tokens of a text, asked for in slices of [`SLICE_BYTES`]. Between two of them one token may differ from those of the
/// whole text where no word ends and no special token begins. Dropping the future stops after the slice in progress.
///
/// # Errors
/// [`Error::PromptTooLong`] where there are more than `tokens_max` before the last slice; or when the server fails.
pub(super) async fn tokenize(
    client: &Client,
    text: &str,
    options: TokenizeOptions,
) -> Result<Vec<u32>, Error> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    loop {
        let end = at + slice_end(&text[at..]);
        let is_first = at == 0;
        let body = json!({
            "content": &text[at..end],
            "add_special": options.add_special && is_first,
            "parse_special": options.parse_special,
        });
        let answer = client.post("/tokenize", &body).await?;
        let slice: Vec<u32> = serde_json::from_value(answer["tokens"].clone())
            .map_err(|_| Error::Failed("its /tokenize gave no tokens".into()))?;
        tokens.extend(slice);
        if end == text.len() {
            return Ok(tokens);
        }
        let tokens_at_least = tokens.len() as u64;
        if let Some(context_tokens) = options.tokens_max.filter(|most| tokens_at_least > u64::from(*most)) {
            return Err(Error::PromptTooLong { tokens_at_least, context_tokens });
        }
        at = end;
    }
}

/// Where a slice ends: behind a word, else before what may be a special token, in its second half.
fn slice_end(text: &str) -> usize {
    let most = text.floor_char_boundary(SLICE_BYTES);
    let end = CUTS.end(text, SLICE_BYTES);
    if end < most || most == text.len() {
        return end;
    }
    let opener = text[..most].rfind(['<', '[', '◁']);
    opener.filter(|at| *at > most / 2).unwrap_or(most)
}

/// Answers one question.
///
/// # Errors
/// When the server refuses it, or answers something else.
pub(super) async fn answer(
    client: &Client,
    question: TokenizerQuery,
    model_format: ModelFormat,
) -> Result<TokenizerAnswer, Error> {
    match question {
        TokenizerQuery::Tokenize { text, add_special, parse_special } => {
            let options = TokenizeOptions { add_special, parse_special, tokens_max: None };
            Ok(TokenizerAnswer {
                tokens: tokenize(client, &text, options).await?,
                ..TokenizerAnswer::default()
            })
        }
        // It tells the pieces of tokens that it makes of a text only; one token at a time has its text.
        TokenizerQuery::Detokenize { tokens } => {
            let mut pieces = Vec::with_capacity(tokens.len());
            for token in tokens {
                let answer = client.post("/detokenize", &json!({ "tokens": [token] })).await?;
                pieces.push(answer["content"].as_str().unwrap_or_default().as_bytes().to_vec());
            }
            Ok(TokenizerAnswer { pieces, ..TokenizerAnswer::default() })
        }
        TokenizerQuery::Render(chat) => {
            let body = stream::chat_body(&chat, model_format.supports_tools());
            let answer = client.post("/apply-template", &body).await;
            let answer = answer.map_err(|error| Error::Template(error.to_string()))?;
            let mut text = answer["prompt"].as_str().unwrap_or_default().to_owned();
            model_format.append_prefill(&mut text, &chat);
            Ok(TokenizerAnswer { text, ..TokenizerAnswer::default() })
        }
        TokenizerQuery::EndTokens => Ok(TokenizerAnswer::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_end_after_words_or_before_special_tokens() {
        let lengths = |text: &str| {
            let (mut lengths, mut at) = (Vec::new(), 0);
            while at < text.len() {
                let length = slice_end(&text[at..]);
                lengths.push(length);
                at += length;
            }
            lengths
        };
        assert_eq!(lengths("short <|im_end|>"), [16]);
        assert_eq!(lengths(&"a".repeat(SLICE_BYTES)), [SLICE_BYTES]);
        // The last blank between words, the last mark, and neither of them.
        assert_eq!(lengths(&"word ".repeat(20_000)), [65_534, 34_466]);
        assert_eq!(lengths(&"<|im_end|>".repeat(10_000)), [65_530, 34_470]);
        assert_eq!(lengths(&"-".repeat(100_000)), [SLICE_BYTES, 100_000 - SLICE_BYTES]);
        assert_eq!(lengths(&"\u{e9}".repeat(50_000)), [SLICE_BYTES, 100_000 - SLICE_BYTES]);
    }
}
