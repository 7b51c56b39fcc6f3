//! `logit_bias` as llama.cpp's clients write it: pairs or an object, of token numbers or of texts whose tokens are meant.

use lar_base::{KeyId, Problem};
use lar_engines::driver::TokenizerQuery;
use serde_json::{Map, Value, json};

use crate::App;

/// What stands for a token that never comes.
const NEVER: f64 = -100.0;
/// Texts whose tokens are asked for, at most.
const TEXTS_MAX: usize = 64;

/// Writes the field as OpenAI has it, an object of token numbers, so that one decoder reads both.
///
/// # Errors
/// When an entry is neither, or the model is not there.
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
                    return Err(Problem::invalid("logit_bias", format!("has more than {TEXTS_MAX} texts")));
                }
                let question = TokenizerQuery::Tokenize { text, add_special: false, parse_special: true };
                let tokens = app.gateway.text_for(key, model, question).await?.tokens;
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

/// A number within what can be said; `false` is never.
fn strength(bias: &Value) -> Option<Value> {
    match bias {
        Value::Bool(false) => Some(json!(NEVER)),
        bias => bias.as_f64().map(|bias| json!(bias.clamp(NEVER, -NEVER))),
    }
}

fn wrong() -> Problem {
    let reason = "must be pairs or an object of tokens and numbers; false forbids a token";
    Problem::invalid("logit_bias", reason)
}
