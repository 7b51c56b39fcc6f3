//! Queries about a llama-server's vocabulary and template, sent to the server.

use serde_json::json;

use super::client::Client;
use super::stream;
use lar_chat_format::ModelFormat;
use lar_inference::Cuts;
use lar_inference::Error;
use lar_inference::{TokenizerAnswer, TokenizerQuery};

/// The bytes of text that are tokenized in one request. llama.cpp's cost grows with the square of the special
/// tokens in a text, and it cannot be stopped, even when nobody waits any more. A text of this size with
/// nothing but special tokens takes about 0.1 s.
const SLICE_BYTES: usize = 64 << 10;
/// The word boundaries of nearly every vocabulary; the server does not report its own.
const CUTS: Cuts = Cuts { at_blanks: true, at_lines: true };

/// Options for tokenizing a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenizeOptions {
    /// Whether to add the tokens that start and end every prompt.
    pub(super) add_special: bool,
    /// Whether to parse the texts of special tokens as special tokens.
    pub(super) parse_special: bool,
    /// Stop at more tokens than this.
    pub(super) tokens_max: Option<u32>,
}

/// Tokenizes a text in slices of [`SLICE_BYTES`]. If a slice ends neither at a word boundary nor before a
/// special token, the tokens at that point may differ from those of the whole text. Dropping the future stops
/// after the current slice.
///
/// # Errors
/// [`Error::PromptTooLong`] if there are more than `tokens_max` tokens before the last slice; another error
/// if the server fails.
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
            .map_err(|error| Error::Failed(format!("its /tokenize returned no tokens: {error}")))?;
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

/// Returns the end of the first slice: in its second half, after a word or else before a possible special
/// token.
fn slice_end(text: &str) -> usize {
    let most = text.floor_char_boundary(SLICE_BYTES);
    let end = CUTS.end(text, SLICE_BYTES);
    if end < most || most == text.len() {
        return end;
    }
    let opener = text[..most].rfind(['<', '[', '◁']);
    opener.filter(|at| *at > most / 2).unwrap_or(most)
}

/// Answers one query.
///
/// # Errors
/// The server refuses the query or returns something else.
pub(super) async fn answer(
    client: &Client,
    query: TokenizerQuery,
    model_format: ModelFormat,
) -> Result<TokenizerAnswer, Error> {
    match query {
        TokenizerQuery::Tokenize { text, add_special, parse_special } => {
            let options = TokenizeOptions { add_special, parse_special, tokens_max: None };
            Ok(TokenizerAnswer {
                tokens: tokenize(client, &text, options).await?,
                ..TokenizerAnswer::default()
            })
        }
        // `/tokenize` returns the pieces of a text, not of given tokens, so the tokens are detokenized one by
        // one.
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
        // The last space between words, the last mark, and neither of them.
        assert_eq!(lengths(&"word ".repeat(20_000)), [65_534, 34_466]);
        assert_eq!(lengths(&"<|im_end|>".repeat(10_000)), [65_530, 34_470]);
        assert_eq!(lengths(&"-".repeat(100_000)), [SLICE_BYTES, 100_000 - SLICE_BYTES]);
        assert_eq!(lengths(&"\u{e9}".repeat(50_000)), [SLICE_BYTES, 100_000 - SLICE_BYTES]);
    }
}
