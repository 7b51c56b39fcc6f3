//! Checks the fields of compatible APIs' request bodies against the tables of [`lar_api::fields`].

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use lar_api::fields::{Field, FieldSupport};
use lar_base::{Code, Problem};
use serde_json::Value;

use crate::lenient;

/// The maximum number of names in `X-Lar-Ignored`.
const IGNORED_MAX: usize = 32;

/// Reads a body as JSON. Returns its non-null fields and the names of the fields that have no effect.
pub(crate) fn read(body: &[u8], table: &[Field]) -> Result<(Value, Vec<String>), Problem> {
    let mut body = lenient::parse(body)?;
    let ignored = check_fields(&mut body, table)?;
    Ok((body, ignored))
}

/// Removes null fields and checks the others against the API's table. Returns the fields that have no effect.
pub(crate) fn check_fields(body: &mut Value, table: &[Field]) -> Result<Vec<String>, Problem> {
    let Some(fields) = body.as_object_mut() else {
        return Err(Problem::new(Code::InvalidParams, "the body must be a JSON object"));
    };
    // SDKs send null for unset fields.
    fields.retain(|_, value| !value.is_null());
    let mut ignored = Vec::new();
    for (name, value) in fields.iter() {
        match table.iter().find(|field| field.name == name).map(|field| field.support) {
            Some(FieldSupport::Supported) => {}
            Some(FieldSupport::Rejected) if is_default(name, value) => {}
            Some(FieldSupport::Rejected) => {
                return Err(Problem::about(Code::UnsupportedParam, name, "is not supported"));
            }
            Some(FieldSupport::Ignored) | None => ignored.push(name.chars().take(64).collect()),
        }
    }
    ignored.sort_unstable();
    Ok(ignored)
}

/// Returns whether an unsupported field has a value that means the same as leaving the field out.
fn is_default(name: &str, value: &Value) -> bool {
    match value {
        Value::Bool(set) => !set,
        Value::Array(items) => {
            items.is_empty() || (name == "modalities" && items.iter().all(|item| item == "text"))
        }
        Value::Number(number) => match name {
            // -1 means the whole context.
            "truncate_prompt_tokens" => number.as_i64() == Some(-1),
            "dimensions" => true,
            _ => number.as_f64() == Some(0.0),
        },
        Value::String(text) => {
            let is_default_mode = matches!((name, text.as_str()), ("function_call", "none" | "auto"));
            text.is_empty() || is_default_mode
        }
        Value::Object(_) => false,
        Value::Null => true,
    }
}

/// Adds the `X-Lar-Ignored` header with the names of the fields that had no effect.
pub(crate) fn with_ignored(mut response: Response, ignored: &[String]) -> Response {
    if !ignored.is_empty() {
        let names = ignored.iter().take(IGNORED_MAX).cloned().collect::<Vec<_>>().join(", ");
        if let Ok(value) = HeaderValue::from_str(&names) {
            response.headers_mut().insert(HeaderName::from_static("x-lar-ignored"), value);
        }
    }
    response
}

/// Returns the field tables of the compatible APIs for the reference pages.
///
/// Each API has a name and a list of its paths, each with a Markdown table.
pub(crate) fn tables() -> [(&'static str, Vec<(&'static str, String)>); 4] {
    use lar_api::anthropic::{COUNT_TOKENS_FIELDS, MESSAGES_FIELDS};
    use lar_api::llama_cpp;
    use lar_api::ollama;
    use lar_api::openai::responses::{INPUT_TOKENS_FIELDS, RESPONSE_FIELDS};
    use lar_api::openai::{CHAT_FIELDS, COMPLETION_FIELDS, EMBEDDING_FIELDS};
    use lar_api::rerank::RERANK_FIELDS;
    let openai = [
        ("/v1/chat/completions", CHAT_FIELDS),
        ("/v1/completions", COMPLETION_FIELDS),
        ("/v1/responses", RESPONSE_FIELDS),
        ("/v1/responses/input_tokens", INPUT_TOKENS_FIELDS),
        ("/v1/embeddings", EMBEDDING_FIELDS),
        ("/v1/rerank", RERANK_FIELDS),
    ];
    let anthropic = [("/v1/messages", MESSAGES_FIELDS), ("/v1/messages/count_tokens", COUNT_TOKENS_FIELDS)];
    let ollama = [
        ("/api/chat", ollama::CHAT_FIELDS),
        ("/api/generate", ollama::GENERATE_FIELDS),
        ("/api/embed", ollama::EMBED_FIELDS),
        ("/api/embeddings", ollama::EMBEDDINGS_FIELDS),
        ("/api/chat, /api/generate: options", ollama::OPTIONS),
    ];
    let llama_cpp = [
        ("/completion, /infill", llama_cpp::COMPLETION_FIELDS),
        ("/tokenize", llama_cpp::TOKENIZE_FIELDS),
        ("/detokenize", llama_cpp::DETOKENIZE_FIELDS),
        ("/embedding", llama_cpp::EMBEDDING_FIELDS),
    ];
    let tables = |paths: &[(&'static str, &[Field])]| {
        paths.iter().map(|(path, fields)| (*path, table(fields))).collect::<Vec<_>>()
    };
    [
        ("openai", tables(&openai)),
        ("anthropic", tables(&anthropic)),
        ("ollama", tables(&ollama)),
        ("llama-cpp", tables(&llama_cpp)),
    ]
}

fn table(fields: &[Field]) -> String {
    let row = |field: &Field| {
        let support = match field.support {
            FieldSupport::Supported => "supported",
            FieldSupport::Ignored => "ignored",
            FieldSupport::Rejected => "rejected",
        };
        format!("| `{}` | {support} | {} |\n", field.name, field.note)
    };
    "| field | support | note |\n|---|---|---|\n".to_owned() + &fields.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use lar_api::openai::CHAT_FIELDS;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_supported_ignored_or_rejected() {
        let mut body = json!({
            "model": "m", "messages": [], "n": 1, "modalities": ["text"], "user": "u", "made_up": 1,
            "stop": null,
        });
        assert_eq!(check_fields(&mut body, CHAT_FIELDS).unwrap(), ["made_up", "user"]);
        for refused in [json!({ "web_search_options": { "a": 1 } }), json!({ "audio": {} })] {
            let problem = check_fields(&mut refused.clone(), CHAT_FIELDS).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedParam, "{refused}");
        }
        assert!(check_fields(&mut json!([]), CHAT_FIELDS).is_err());
    }
}
