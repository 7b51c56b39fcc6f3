//! The prompts of completions without a chat template, in the forms of OpenAI's and llama.cpp's APIs.
//!
//! A prompt is a string, an array of token ids, or an array of token ids and strings. A request has one
//! prompt or an array of them.

use lar_base::{Code, Problem};
use serde_json::Value;

/// The maximum number of prompts in a request.
const PROMPTS_MAX: usize = 128;
/// The maximum number of tokens in a prompt; no context is longer.
const TOKENS_MAX: usize = 1 << 20;
/// The maximum number of strings in a mixed prompt, because each is a query to a worker.
const TEXTS_MAX: usize = 256;
/// The maximum size in bytes of all strings in a mixed prompt.
const TEXTS_BYTES_MAX: usize = 1 << 20;

/// A prompt as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptInput {
    /// A text.
    Text(String),
    /// Token ids of the model's vocabulary.
    Tokens(Vec<u32>),
    /// Token ids and texts.
    Mixed(Vec<PromptPiece>),
}

/// A part of a mixed prompt: a text, or consecutive tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptPiece {
    /// A text.
    Text(String),
    /// Token ids of the model's vocabulary.
    Tokens(Vec<u32>),
}

/// Reads the field `prompt`.
pub(crate) fn read(value: &Value) -> Result<Vec<PromptInput>, Problem> {
    match value {
        Value::Array(items) if items.is_empty() => Err(wrong("prompt", "must not be empty")),
        // An array with a number is a single prompt.
        Value::Array(items) if items.iter().any(Value::is_number) => Ok(vec![tokens("prompt", items)?]),
        Value::Array(items) if items.len() > PROMPTS_MAX => {
            Err(wrong("prompt", format!("has {} prompts; the limit is {PROMPTS_MAX}", items.len())))
        }
        Value::Array(items) => {
            let read = |(index, item)| single(&format!("prompt[{index}]"), item);
            items.iter().enumerate().map(read).collect()
        }
        Value::Null => Err(wrong("prompt", "is missing")),
        value => Ok(vec![single("prompt", value)?]),
    }
}

fn single(field: &str, value: &Value) -> Result<PromptInput, Problem> {
    match value {
        Value::String(text) => Ok(PromptInput::Text(text.clone())),
        Value::Array(items) => tokens(field, items),
        Value::Object(members) if members.get("multimodal_data").is_some_and(is_there) => {
            let reason = "has `multimodal_data`, which is not supported: this model reads text only";
            Err(Problem::about(Code::UnsupportedParam, field, reason))
        }
        Value::Object(members) => match members.get("prompt_string") {
            Some(Value::String(text)) => Ok(PromptInput::Text(text.clone())),
            _ => Err(wrong(field, "must have a `prompt_string`")),
        },
        _ => Err(wrong(field, "must be a string, an array of token ids, or an array of these")),
    }
}

fn is_there(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
}

fn tokens(field: &str, items: &[Value]) -> Result<PromptInput, Problem> {
    if items.is_empty() {
        return Err(wrong(field, "must not be empty"));
    }
    if items.len() > TOKENS_MAX {
        return Err(wrong(field, format!("has {} tokens; the limit is {TOKENS_MAX}", items.len())));
    }
    let mut pieces: Vec<PromptPiece> = Vec::new();
    let (mut texts, mut bytes) = (0, 0);
    for (index, item) in items.iter().enumerate() {
        let whole = item.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=4e9).contains(number));
        match (item, whole, pieces.last_mut()) {
            (Value::String(text), ..) => {
                (texts, bytes) = (texts + 1, bytes + text.len());
                if texts > TEXTS_MAX || bytes > TEXTS_BYTES_MAX {
                    let reason = format!(
                        "has too many strings among its tokens; the limit is {TEXTS_MAX} strings with \
                         {TEXTS_BYTES_MAX} bytes in total"
                    );
                    return Err(wrong(field, reason));
                }
                pieces.push(PromptPiece::Text(text.clone()));
            }
            (_, Some(token), Some(PromptPiece::Tokens(tokens))) => tokens.push(token as u32),
            (_, Some(token), _) => pieces.push(PromptPiece::Tokens(vec![token as u32])),
            _ => return Err(wrong(format!("{field}[{index}]"), "must be a token id or a string")),
        }
    }
    Ok(match pieces.as_mut_slice() {
        [PromptPiece::Tokens(tokens)] => PromptInput::Tokens(std::mem::take(tokens)),
        _ => PromptInput::Mixed(pieces),
    })
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Problem {
    Problem::invalid(field, reason)
}

impl PromptInput {
    /// Returns a lower bound of the prompt's tokens that holds for every model.
    #[must_use]
    pub fn tokens_min(&self) -> usize {
        match self {
            PromptInput::Text(_) => 0,
            PromptInput::Tokens(tokens) => tokens.len(),
            PromptInput::Mixed(pieces) => {
                let tokens = |piece: &PromptPiece| match piece {
                    PromptPiece::Text(text) => usize::from(!text.is_empty()),
                    PromptPiece::Tokens(tokens) => tokens.len(),
                };
                pieces.iter().map(tokens).sum()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOO_MANY_TEXTS: &str = "`prompt` has too many strings among its tokens; the limit is 256 strings \
                                  with 1048576 bytes in total";

    #[test]
    fn prompts_are_read_in_every_form_and_refused_with_their_index() {
        let text = |text: &str| PromptInput::Text(text.into());
        let mixed =
            vec![PromptPiece::Tokens(vec![1]), PromptPiece::Text("a".into()), PromptPiece::Tokens(vec![2])];
        let runs = vec![
            PromptPiece::Tokens(vec![1, 2]),
            PromptPiece::Text("a".into()),
            PromptPiece::Tokens(vec![3, 4, 5]),
        ];
        let cases = [
            (json!("a"), vec![text("a")]),
            (json!([1, 2.0]), vec![PromptInput::Tokens(vec![1, 2])]),
            (json!([1, "a", 2]), vec![PromptInput::Mixed(mixed.clone())]),
            (json!([1, 2, "a", 3, 4, 5]), vec![PromptInput::Mixed(runs)]),
            (json!(["a", "b"]), vec![text("a"), text("b")]),
            (
                json!([[1, 2], "b", [1, "a", 2]]),
                vec![PromptInput::Tokens(vec![1, 2]), text("b"), PromptInput::Mixed(mixed)],
            ),
            (json!({ "prompt_string": "a", "multimodal_data": [] }), vec![text("a")]),
        ];
        for (value, all) in cases {
            assert_eq!(read(&value).unwrap(), all, "{value}");
        }
        let tokens_min = |value: Value| read(&value).unwrap()[0].tokens_min();
        assert_eq!(tokens_min(json!([1, 2, "a", "", 3])), 4);
        assert_eq!((tokens_min(json!([1, 2, 3])), tokens_min(json!("a b c"))), (3, 0));
        let refused = [
            (json!([]), "`prompt` must not be empty"),
            (json!([[]]), "`prompt[0]` must not be empty"),
            (json!([[1], [true]]), "`prompt[1][0]` must be a token id or a string"),
            (json!([-1]), "`prompt[0]` must be a token id or a string"),
            (json!(true), "`prompt` must be a string, an array of token ids, or an array of these"),
            (json!({}), "`prompt` must have a `prompt_string`"),
            (json!(vec!["a"; 129]), "`prompt` has 129 prompts; the limit is 128"),
            (json!(vec![1; TOKENS_MAX + 1]), "`prompt` has 1048577 tokens; the limit is 1048576"),
            (json!([1, "a".repeat(TEXTS_BYTES_MAX + 1)]), TOO_MANY_TEXTS),
            (json!([vec![json!("a"); TEXTS_MAX + 1], [json!(1)].to_vec()].concat()), TOO_MANY_TEXTS),
        ];
        for (value, reason) in refused {
            assert_eq!(read(&value).unwrap_err().detail, reason);
        }
    }
}
