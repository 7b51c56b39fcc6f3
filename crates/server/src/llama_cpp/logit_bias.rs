//! `logit_bias` in llama.cpp's form: an object or an array of pairs, with token ids or texts.

use lar_base::{KeyId, Problem};
use lar_inference::TokenizerQuery;
use serde_json::{Map, Value, json};

use crate::App;

/// The bias of a banned token.
const NEVER: f64 = -100.0;
/// The maximum number of texts, because each is a query to a worker.
const TEXTS_MAX: usize = 64;

/// Rewrites the field in OpenAI's form, an object with token ids, so that one decoder reads both forms.
///
/// A text sets the bias of all its tokens.
///
/// # Errors
/// If the field has another form or too many texts, or the model does not exist.
pub(crate) async fn resolve(app: &App, key: KeyId, model: &str, body: &mut Value) -> Result<(), Problem> {
    let Some(biases) = body.get("logit_bias") else { return Ok(()) };
    let entries = match biases {
        Value::Array(pairs) => pairs.iter().map(pair).collect::<Option<Vec<_>>>(),
        Value::Object(members) => {
            let member = |(token, bias): (&String, &Value)| Some((json!(token), strength(bias)?));
            members.iter().map(member).collect()
        }
        _ => None,
    };
    let entries = entries.ok_or_else(wrong)?;
    let mut resolved = Map::new();
    let mut texts = 0;
    for (token, bias) in entries {
        match token {
            Value::String(text) if text.parse::<u32>().is_ok() => drop(resolved.insert(text, bias)),
            Value::String(text) => {
                texts += 1;
                if texts > TEXTS_MAX {
                    let reason = format!("has too many strings; the limit is {TEXTS_MAX}");
                    return Err(Problem::invalid("logit_bias", reason));
                }
                let query = TokenizerQuery::Tokenize { text, add_special: false, parse_special: true };
                let tokens = app.gateway.text_for(key, model, query).await?.tokens;
                resolved.extend(tokens.into_iter().map(|token| (token.to_string(), bias.clone())));
            }
            token => drop(resolved.insert(token.to_string(), bias)),
        }
    }
    body["logit_bias"] = Value::Object(resolved);
    Ok(())
}

fn pair(pair: &Value) -> Option<(Value, Value)> {
    match pair.as_array()?.as_slice() {
        [token @ (Value::Number(_) | Value::String(_)), bias] => Some((token.clone(), strength(bias)?)),
        _ => None,
    }
}

/// Returns the bias as a number within the limits; `false` bans the token.
fn strength(bias: &Value) -> Option<Value> {
    match bias {
        Value::Bool(false) => Some(json!(NEVER)),
        bias => bias.as_f64().map(|bias| json!(bias.clamp(NEVER, -NEVER))),
    }
}

fn wrong() -> Problem {
    let reason = "must be an object or an array of pairs, with a number or false for each token";
    Problem::invalid("logit_bias", reason)
}
