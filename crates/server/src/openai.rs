//! `/v1`: OpenAI's API, for its unchanged clients, and what others put beside it. What the endpoints share is here; each has its file.

pub(crate) mod chat_completions;
pub(crate) mod completions;
pub(crate) mod embeddings;
mod generate;
pub(crate) mod models;
pub(crate) mod rerank;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use lar_api::openai::{Field, Treatment};
use lar_base::{Code, Problem};
use serde_json::Value;

pub(crate) use generate::{derived_seed, in_range};

/// The names in `X-Lar-Ignored` at most.
const IGNORED_MAX: usize = 32;

/// Reads a body: its fields without nulls, and the names of those that have no effect.
fn read(body: &[u8], table: &[Field]) -> Result<(Value, Vec<String>), Problem> {
    let mut body: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::InvalidParams, format!("the body is not JSON: {error}")))?;
    let ignored = check_fields(&mut body, table)?;
    Ok((body, ignored))
}

/// Checks a request's fields against the API's table. Returns the fields that have no effect.
fn check_fields(body: &mut Value, table: &[Field]) -> Result<Vec<String>, Problem> {
    let Some(fields) = body.as_object_mut() else {
        return Err(Problem::new(Code::InvalidParams, "the body must be a JSON object"));
    };
    // SDKs send null for what was not set.
    fields.retain(|_, value| !value.is_null());
    let mut ignored = Vec::new();
    for (name, value) in fields.iter() {
        match table.iter().find(|field| field.name == name).map(|field| field.treatment) {
            Some(Treatment::Honoured) => {}
            Some(Treatment::Refused) if is_default(name, value) => {}
            Some(Treatment::Refused) => {
                return Err(Problem::about(
                    Code::UnsupportedParam,
                    name,
                    "is not supported by this engine yet",
                ));
            }
            Some(Treatment::NoEffect) | None => ignored.push(name.chars().take(64).collect()),
        }
    }
    ignored.sort_unstable();
    Ok(ignored)
}

/// Whether a refused field has the value that means the same as leaving it out.
fn is_default(name: &str, value: &Value) -> bool {
    match value {
        Value::Bool(set) => !set,
        Value::Array(items) => {
            items.is_empty() || (name == "modalities" && items.iter().all(|item| item == "text"))
        }
        Value::Number(number) => match name {
            "best_of" => number.as_u64() == Some(1),
            "dimensions" => true,
            _ => number.as_u64() == Some(0),
        },
        Value::String(text) => {
            text.is_empty() || (name == "function_call" && matches!(text.as_str(), "none" | "auto"))
        }
        Value::Object(_) => false,
        Value::Null => true,
    }
}

/// Names the fields that had no effect.
fn with_ignored(mut response: Response, ignored: &[String]) -> Response {
    if !ignored.is_empty() {
        let names = ignored.iter().take(IGNORED_MAX).cloned().collect::<Vec<_>>().join(", ");
        if let Ok(value) = HeaderValue::from_str(&names) {
            response.headers_mut().insert(HeaderName::from_static("x-lar-ignored"), value);
        }
    }
    response
}

/// Names the texts that were longer than the model reads.
fn with_truncated(mut response: Response, truncated: &[usize]) -> Response {
    let indexes: Vec<String> = truncated.iter().map(ToString::to_string).collect();
    if let (false, Ok(value)) = (indexes.is_empty(), HeaderValue::from_str(&indexes.join(","))) {
        response.headers_mut().insert(HeaderName::from_static("x-lar-truncated"), value);
    }
    response
}

/// A model that is not there, told as OpenAI's clients expect it.
fn about_model(mut problem: Problem) -> Problem {
    if problem.code == Code::NotFound {
        let reason = problem.detail.clone();
        problem.fields.push(lar_base::FieldError { field: "model".into(), reason });
    }
    problem
}

/// What becomes of each field, as Markdown tables for the reference: chat, completions, embeddings, ranking.
pub(crate) fn field_tables() -> Vec<String> {
    let table = |fields: &[Field]| {
        let row = |field: &Field| {
            let treatment = match field.treatment {
                Treatment::Honoured => "honoured",
                Treatment::NoEffect => "no effect",
                Treatment::Refused => "refused",
            };
            format!("| `{}` | {treatment} | {} |\n", field.name, field.note)
        };
        "| field | what becomes of it | note |\n|---|---|---|\n".to_owned()
            + &fields.iter().map(row).collect::<String>()
    };
    use lar_api::openai::{CHAT_FIELDS, COMPLETION_FIELDS, EMBEDDING_FIELDS};
    use lar_api::rerank::RERANK_FIELDS;
    [CHAT_FIELDS, COMPLETION_FIELDS, EMBEDDING_FIELDS, RERANK_FIELDS].into_iter().map(table).collect()
}

#[cfg(test)]
mod tests {
    use lar_api::openai::CHAT_FIELDS;
    use lar_base::TaskId;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_honoured_named_or_refused() {
        let mut body = json!({
            "model": "m", "messages": [], "n": 1, "modalities": ["text"], "user": "u", "made_up": 1,
            "stop": null,
        });
        assert_eq!(check_fields(&mut body, CHAT_FIELDS).unwrap(), ["made_up", "user"]);
        for refused in [json!({ "functions": [{}] }), json!({ "audio": {} })] {
            let problem = check_fields(&mut refused.clone(), CHAT_FIELDS).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedParam, "{refused}");
        }
        assert!(check_fields(&mut json!([]), CHAT_FIELDS).is_err());
    }

    /// Any JSON value that is not too large.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{1,10}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn decode_all(body: &[u8]) {
        let _ = chat_completions::decode(body, TaskId::new());
        let _ = completions::decode(body, TaskId::new());
        let _ = embeddings::decode(body);
        let _ = rerank::decode(body);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..256)) {
            decode_all(&body);
        }

        #[test]
        fn any_value_of_any_field_is_decoded_or_refused_by_name(
            at in 0..CHAT_FIELDS.len(),
            value in any_json(),
        ) {
            let name = CHAT_FIELDS[at].name;
            let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
            body[name] = value;
            decode_all(body.to_string().as_bytes());
            if let Err(problem) = chat_completions::decode(body.to_string().as_bytes(), TaskId::new()) {
                let about = problem.fields.first().map(|field| field.field.clone()).unwrap_or_default();
                let family = about.starts_with(name) || (name.starts_with("max_") && about == "max_tokens");
                prop_assert!(family, "{name}: {problem:?}");
            }
        }

        #[test]
        fn what_is_decoded_is_within_bounds(
            temperature in any::<f32>(), top_p in any::<f32>(), seed in any::<i64>(), max in any::<i64>(),
            stop in prop::collection::vec(".{0,8}", 0..40),
        ) {
            let body = json!({
                "model": "m", "messages": [{ "role": "user", "content": "x" }],
                "temperature": temperature, "top_p": top_p, "seed": seed, "max_tokens": max, "stop": stop,
            });
            if let Ok(wanted) = chat_completions::decode(body.to_string().as_bytes(), TaskId::new()) {
                let sampling = wanted.sampling;
                prop_assert!(sampling.temperature.is_none_or(|value| (0.0..=2.0).contains(&value)));
                prop_assert!(sampling.top_p.is_none_or(|value| (0.0..=1.0).contains(&value)));
                prop_assert!(sampling.stop.len() <= 32 && sampling.stop.iter().all(|text| !text.is_empty()));
                prop_assert!(sampling.tokens_max > 0);
            }
        }
    }
}
