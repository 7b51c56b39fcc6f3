//! `logit_bias` in llama.cpp's form: an object or an array of pairs, with token ids or texts.
//!
//! Texts are tokenized outside of this crate. The entries then get OpenAI's form, an object with token ids, so that
//! one decoder checks both forms.

use lar_base::Problem;
use serde_json::{Map, Value, json};

/// The bias of a banned token.
const NEVER: f64 = -100.0;
/// The maximum number of texts, because each is a query to a worker.
const TEXTS_MAX: usize = 64;

/// An entry of `logit_bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenBias {
    /// The tokens that get the bias.
    pub target: BiasTarget,
    /// The number that is added to the logits of the tokens, -100 to 100. -100 bans them.
    pub bias: f64,
}

/// The tokens of an entry of `logit_bias`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BiasTarget {
    /// One token: its id in the model's vocabulary, as it was sent and not yet validated.
    Token(String),
    /// All tokens of a text, which has to be tokenized.
    Text(String),
}

/// Reads the field.
///
/// # Errors
/// If the field has another form or too many texts.
pub(super) fn read(biases: &Value) -> Result<Vec<TokenBias>, Problem> {
    let entries: Option<Vec<TokenBias>> = match biases {
        Value::Array(pairs) => pairs.iter().map(pair).collect(),
        Value::Object(members) => {
            let member = |(token, bias): (&String, &Value)| {
                Some(TokenBias { target: target(token), bias: strength(bias)? })
            };
            members.iter().map(member).collect()
        }
        _ => None,
    };
    let entries = entries.ok_or_else(|| {
        let reason = "must be an object or an array of pairs, with a number or false for each token";
        Problem::invalid("logit_bias", reason)
    })?;
    let texts = entries.iter().filter(|entry| matches!(entry.target, BiasTarget::Text(_))).count();
    if texts > TEXTS_MAX {
        let reason = format!("has too many strings; the limit is {TEXTS_MAX}");
        return Err(Problem::invalid("logit_bias", reason));
    }
    Ok(entries)
}

/// Returns the field in OpenAI's form. Of several biases of a token, the last one counts.
pub(super) fn by_token(biases: impl IntoIterator<Item = (String, f64)>) -> Value {
    Value::Object(biases.into_iter().map(|(token, bias)| (token, json!(bias))).collect::<Map<_, _>>())
}

fn pair(pair: &Value) -> Option<TokenBias> {
    let (target, bias) = match pair.as_array()?.as_slice() {
        [Value::Number(id), bias] => (BiasTarget::Token(id.to_string()), bias),
        [Value::String(text), bias] => (target(text), bias),
        _ => return None,
    };
    Some(TokenBias { target, bias: strength(bias)? })
}

/// Returns the target that a string names: a token if it is a number.
fn target(text: &str) -> BiasTarget {
    match text.parse::<u32>() {
        Ok(_) => BiasTarget::Token(text.to_owned()),
        Err(_) => BiasTarget::Text(text.to_owned()),
    }
}

/// Returns the bias as a number within the limits; `false` bans the token.
fn strength(bias: &Value) -> Option<f64> {
    match bias {
        Value::Bool(false) => Some(NEVER),
        bias => bias.as_f64().map(|bias| bias.clamp(NEVER, -NEVER)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_are_read_in_both_forms_with_ids_and_texts() {
        let token = |id: &str, bias| TokenBias { target: BiasTarget::Token(id.into()), bias };
        let text = |text: &str, bias| TokenBias { target: BiasTarget::Text(text.into()), bias };
        let pairs = json!([[5, 0.5], [1.5, 1], ["7", false], ["a b", 1e9]]);
        let expected = vec![token("5", 0.5), token("1.5", 1.0), token("7", NEVER), text("a b", 100.0)];
        assert_eq!(read(&pairs).unwrap(), expected);
        assert_eq!(read(&json!({ "5": -1, "a": 2 })).unwrap(), [token("5", -1.0), text("a", 2.0)]);
        assert_eq!(by_token([("5".into(), 1.0), ("5".into(), 2.0)]), json!({ "5": 2.0 }));
        let malformed =
            [json!("a"), json!([[5]]), json!([[true, 1]]), json!({ "5": true }), json!({ "5": null })];
        for refused in malformed {
            assert!(read(&refused).is_err(), "{refused}");
        }
        let texts = |count| Value::Array((0..count).map(|_| json!(["a", 1])).collect());
        assert!(read(&texts(TEXTS_MAX)).is_ok());
        let refused = read(&texts(TEXTS_MAX + 1)).unwrap_err();
        assert_eq!(refused.detail, "`logit_bias` has too many strings; the limit is 64");
    }
}
