//! `POST /tokenize` and `/detokenize`: converts a text to tokens and back.

use lar_base::Problem;
use lar_base::default_models::DEFAULT_CHAT;
use serde_json::Value;

use super::wire::{
    DETOKENIZE_FIELDS, DetokenizeRequest, DetokenizeResponse, Piece, TOKENIZE_FIELDS, TokenPiece,
    TokenizeRequest, Tokens,
};
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::model_name::{model_or, plain_name};

/// The maximum size of a text in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The maximum number of tokens in a request.
const TOKENS_MAX: usize = 1 << 18;

/// A decoded and validated request to tokenize a text.
#[derive(Debug)]
pub struct TokenizeInput {
    /// The name of the model, without the memory suffix.
    pub model: String,
    /// The text, at most 1 MiB.
    pub text: String,
    /// Whether the model's start and end tokens are added.
    pub add_special: bool,
    /// Whether special tokens that are written in the text are recognized.
    pub parse_special: bool,
    /// Whether the response has the text of each token.
    pub with_pieces: bool,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// A decoded and validated request to convert tokens to text.
#[derive(Debug)]
pub struct DetokenizeInput {
    /// The name of the model, without the memory suffix.
    pub model: String,
    /// The token ids, at most 262,144. The model's vocabulary may lack some of them.
    pub tokens: Vec<u32>,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// Decodes the body of a request to tokenize a text.
///
/// # Errors
/// [`Code::InvalidParams`](lar_base::Code::InvalidParams) with the field and the reason.
pub fn decode_text(body: &[u8]) -> Result<TokenizeInput, Problem> {
    let (body, ignored) = read(body, TOKENIZE_FIELDS)?;
    let wire: TokenizeRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    let text = match wire.content {
        Value::Null => String::new(),
        Value::String(text) => text,
        _ => return Err(Problem::invalid("content", "must be a string")),
    };
    if text.len() > TEXT_BYTES_MAX {
        let reason = format!("has {} bytes; the limit is {TEXT_BYTES_MAX}", text.len());
        return Err(Problem::invalid("content", reason));
    }
    Ok(TokenizeInput {
        model: plain_name(&model_or(wire.model, DEFAULT_CHAT)).to_owned(),
        text,
        add_special: wire.add_special == Some(true),
        parse_special: wire.parse_special != Some(false),
        with_pieces: wire.with_pieces == Some(true),
        ignored,
    })
}

/// Decodes the body of a request to convert tokens to text.
///
/// # Errors
/// [`Code::InvalidParams`](lar_base::Code::InvalidParams) with the field and the reason.
pub fn decode_tokens(body: &[u8]) -> Result<DetokenizeInput, Problem> {
    let (body, ignored) = read(body, DETOKENIZE_FIELDS)?;
    let wire: DetokenizeRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    if wire.tokens.len() > TOKENS_MAX {
        let reason = format!("has {} tokens; the limit is {TOKENS_MAX}", wire.tokens.len());
        return Err(Problem::invalid("tokens", reason));
    }
    let model = plain_name(&model_or(wire.model, DEFAULT_CHAT)).to_owned();
    Ok(DetokenizeInput { model, tokens: wire.tokens, ignored })
}

/// Returns the response with the tokens of a text and, if `pieces` is set, with the bytes of each token.
#[must_use]
pub fn tokenized(tokens: Vec<u32>, pieces: Option<Vec<Vec<u8>>>) -> Tokens {
    let Some(pieces) = pieces else { return Tokens::Numbers { tokens } };
    let piece = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => Piece::Text(text),
        Err(error) => Piece::Bytes(error.into_bytes()),
    };
    let pairs = tokens.into_iter().zip(pieces);
    Tokens::Pieces { tokens: pairs.map(|(id, bytes)| TokenPiece { id, piece: piece(bytes) }).collect() }
}

/// Returns the response with the text of tokens that have these bytes.
#[must_use]
pub fn detokenized(pieces: &[Vec<u8>]) -> DetokenizeResponse {
    DetokenizeResponse { content: String::from_utf8_lossy(&pieces.concat()).into_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_have_their_text_or_the_bytes_of_a_partial_character() {
        let pieces = vec![b"a".to_vec(), vec![0xc3], vec![0xa9]];
        assert_eq!(detokenized(&pieces).content, "aé");
        let response = |pieces| serde_json::to_value(tokenized(vec![1, 2, 3], pieces)).unwrap();
        assert_eq!(response(None), json!({ "tokens": [1, 2, 3] }));
        let expected =
            json!([{ "id": 1, "piece": "a" }, { "id": 2, "piece": [195] }, { "id": 3, "piece": [169] }]);
        assert_eq!(response(Some(pieces)), json!({ "tokens": expected }));
    }
}
