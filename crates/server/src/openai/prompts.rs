//! The prompts of a plain completion, as OpenAI's and llama.cpp's clients write them: a text, tokens, tokens with texts
//! between them, or a list of those.

use lar_base::{Code, Problem};
use lar_engines::driver::{Prompt, TextQuestion};
use serde_json::Value;

use crate::App;

/// Prompts of one request at most.
const PROMPTS_MAX: usize = 128;

/// One prompt, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A text.
    Text(String),
    /// Tokens of the model.
    Tokens(Vec<u32>),
    /// Tokens with texts between them.
    Mixed(Vec<Piece>),
}

/// A part of a mixed prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Token(u32),
}

/// Reads the field `prompt`.
pub(crate) fn read(value: &Value) -> Result<Vec<Sent>, Problem> {
    match value {
        Value::Array(items) if items.is_empty() => Err(wrong("prompt", "must not be empty")),
        // Numbers among the items make one prompt of them all.
        Value::Array(items) if items.iter().any(Value::is_number) => Ok(vec![tokens("prompt", items)?]),
        Value::Array(items) if items.len() > PROMPTS_MAX => {
            Err(wrong("prompt", format!("has {} prompts; {PROMPTS_MAX} at most", items.len())))
        }
        Value::Array(items) => {
            let read = |(index, item)| single(&format!("prompt[{index}]"), item);
            items.iter().enumerate().map(read).collect()
        }
        Value::Null => Err(wrong("prompt", "is missing")),
        value => Ok(vec![single("prompt", value)?]),
    }
}

fn single(field: &str, value: &Value) -> Result<Sent, Problem> {
    match value {
        Value::String(text) => Ok(Sent::Text(text.clone())),
        Value::Array(items) => tokens(field, items),
        Value::Object(members) if members.get("multimodal_data").is_some_and(is_there) => {
            let reason = "has `multimodal_data`: this model reads text only";
            Err(Problem::about(Code::UnsupportedParam, field, reason))
        }
        Value::Object(members) => match members.get("prompt_string") {
            Some(Value::String(text)) => Ok(Sent::Text(text.clone())),
            _ => Err(wrong(field, "must have a `prompt_string`")),
        },
        _ => Err(wrong(field, "must be a text, a list of tokens, or a list of these")),
    }
}

fn is_there(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
}

fn tokens(field: &str, items: &[Value]) -> Result<Sent, Problem> {
    if items.is_empty() {
        return Err(wrong(field, "must not be empty"));
    }
    let mut pieces = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let whole = item.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=4e9).contains(number));
        pieces.push(match (item, whole) {
            (Value::String(text), _) => Piece::Text(text.clone()),
            (_, Some(token)) => Piece::Token(token as u32),
            _ => return Err(wrong(format!("{field}[{index}]"), "must be a token's number or a text")),
        });
    }
    let token = |piece: &Piece| match piece {
        Piece::Token(token) => Some(*token),
        Piece::Text(_) => None,
    };
    Ok(match pieces.iter().map(token).collect() {
        Some(tokens) => Sent::Tokens(tokens),
        None => Sent::Mixed(pieces),
    })
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Problem {
    Problem::invalid(field, reason)
}

impl Sent {
    /// The prompt as an engine takes it: texts among tokens become tokens.
    pub(crate) async fn resolve(self, app: &App, model: &str) -> Result<Prompt, Problem> {
        let pieces = match self {
            Sent::Text(text) => return Ok(Prompt::Text(text)),
            Sent::Tokens(tokens) => return Ok(Prompt::Tokens(tokens)),
            Sent::Mixed(pieces) => pieces,
        };
        let mut tokens = Vec::new();
        for (index, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Token(token) => tokens.push(token),
                // As llama.cpp: the start token is added before a text that begins the prompt.
                Piece::Text(text) => {
                    let question =
                        TextQuestion::Tokenize { text, add_special: index == 0, parse_special: true };
                    tokens.extend(app.gateway.text(model, question).await?.tokens);
                }
            }
        }
        Ok(Prompt::Tokens(tokens))
    }

    /// The prompt as a text.
    pub(crate) async fn text(&self, app: &App, model: &str) -> Result<String, Problem> {
        let mut text = Vec::new();
        let pieces = match self {
            Sent::Text(text) => return Ok(text.clone()),
            Sent::Tokens(tokens) => tokens.iter().map(|token| Piece::Token(*token)).collect(),
            Sent::Mixed(pieces) => pieces.clone(),
        };
        for piece in pieces {
            match piece {
                Piece::Text(piece) => text.extend(piece.into_bytes()),
                Piece::Token(token) => {
                    let question = TextQuestion::Detokenize { tokens: vec![token] };
                    text.extend(app.gateway.text(model, question).await?.pieces.concat());
                }
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prompts_are_read_in_every_form_and_refused_by_their_place() {
        let text = |text: &str| Sent::Text(text.into());
        let mixed = vec![Piece::Token(1), Piece::Text("a".into()), Piece::Token(2)];
        let cases = [
            (json!("a"), vec![text("a")]),
            (json!([1, 2.0]), vec![Sent::Tokens(vec![1, 2])]),
            (json!([1, "a", 2]), vec![Sent::Mixed(mixed.clone())]),
            (json!(["a", "b"]), vec![text("a"), text("b")]),
            (
                json!([[1, 2], "b", [1, "a", 2]]),
                vec![Sent::Tokens(vec![1, 2]), text("b"), Sent::Mixed(mixed)],
            ),
            (json!({ "prompt_string": "a", "multimodal_data": [] }), vec![text("a")]),
        ];
        for (value, all) in cases {
            assert_eq!(read(&value).unwrap(), all, "{value}");
        }
        let refused = [
            (json!([]), "`prompt` must not be empty"),
            (json!([[]]), "`prompt[0]` must not be empty"),
            (json!([[1], [true]]), "`prompt[1][0]` must be a token's number or a text"),
            (json!([-1]), "`prompt[0]` must be a token's number or a text"),
            (json!(true), "`prompt` must be a text, a list of tokens, or a list of these"),
            (json!({}), "`prompt` must have a `prompt_string`"),
            (json!(vec!["a"; 129]), "`prompt` has 129 prompts; 128 at most"),
        ];
        for (value, reason) in refused {
            assert_eq!(read(&value).unwrap_err().detail, reason, "{value}");
        }
    }
}
