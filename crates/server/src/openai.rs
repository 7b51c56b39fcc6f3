//! `/v1`: OpenAI's API, for its unchanged clients. What the endpoints share is here; each has its file.

pub(crate) mod chat_completions;
pub(crate) mod completions;
pub(crate) mod embeddings;
mod generate;
pub(crate) mod models;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use lar_api::openai::{Field, Treatment};
use lar_base::{Code, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{App, extract};
pub(crate) use generate::{derived_seed, in_range};

/// The names in `X-Lar-Ignored` at most.
const IGNORED_MAX: usize = 32;

/// Reads a request: its honoured fields, and the names of those that have no effect.
async fn read<T: DeserializeOwned>(
    app: &App,
    request: Request,
    table: &[Field],
) -> Result<(T, Vec<String>), Problem> {
    let body = extract::body(request, app).await?;
    let mut body: Value = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(Code::InvalidParams, format!("the body is not JSON: {error}")))?;
    let ignored = check_fields(&mut body, table)?;
    Ok((extract::from_value(body)?, ignored))
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
            "n" | "best_of" => number.as_u64() == Some(1),
            "dimensions" => true,
            _ => number.as_u64() == Some(0),
        },
        Value::String(text) => {
            text.is_empty() || (name == "tool_choice" && matches!(text.as_str(), "none" | "auto"))
        }
        Value::Object(fields) => {
            name == "response_format" && fields.get("type") == Some(&Value::from("text"))
        }
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

/// A model that is not there, told as OpenAI's clients expect it.
fn about_model(mut problem: Problem) -> Problem {
    if problem.code == Code::NotFound {
        let reason = problem.detail.clone();
        problem.fields.push(lar_base::FieldError { field: "model".into(), reason });
    }
    problem
}

/// What becomes of each field, as Markdown tables for the reference: chat, completions, embeddings.
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
    [CHAT_FIELDS, COMPLETION_FIELDS, EMBEDDING_FIELDS].into_iter().map(table).collect()
}

#[cfg(test)]
mod tests {
    use lar_api::openai::CHAT_FIELDS;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_honoured_named_or_refused() {
        let mut body = json!({
            "model": "m", "messages": [], "n": 1, "tools": [], "response_format": { "type": "text" },
            "user": "u", "made_up": 1, "logprobs": false, "stop": null,
        });
        assert_eq!(check_fields(&mut body, CHAT_FIELDS).unwrap(), ["made_up", "user"]);
        for refused in [json!({ "n": 2 }), json!({ "tools": [{}] }), json!({ "logprobs": true })] {
            let problem = check_fields(&mut refused.clone(), CHAT_FIELDS).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedParam, "{refused}");
        }
        assert!(check_fields(&mut json!([]), CHAT_FIELDS).is_err());
    }
}
