//! `POST /v1/embeddings`, and the texts to embed in the requests of all APIs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lar_base::default_models::DEFAULT_EMBEDDING;
use lar_base::{Code, Problem};
use lar_inference::Embeddings;
use serde_json::{Map, Value};

use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::model_name::model_or;
use crate::openai::wire::{
    CompletionUsage, EMBEDDING_FIELDS, Embedding, EmbeddingList, EmbeddingRequest, EmbeddingValue,
};

/// The maximum number of texts in a request, as at OpenAI.
const INPUTS_MAX: usize = 2048;
/// The reason for rejecting token ids: OpenAI's clients use OpenAI's vocabularies.
const NO_TOKENS: &str = "has token ids of another model's vocabulary; send strings instead; in LangChain, \
                         set `check_embedding_ctx_length=False`";

/// A decoded and validated request for embeddings.
#[derive(Debug)]
pub struct EmbeddingsInput {
    /// The model's name as it was sent, or the alias of the default embedder.
    pub model: String,
    /// The texts.
    pub texts: Texts,
    /// Whether the response has the vectors in base64 instead of as lists of numbers.
    pub base64: bool,
    /// The requested number of dimensions; `None` for the model's own.
    pub dimensions: Option<usize>,
    /// Whether a text that is too long is truncated.
    pub truncate: bool,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// The texts of a request and their field.
#[derive(Debug)]
pub struct Texts {
    /// The texts, in order.
    pub all: Vec<String>,
    /// The field with the texts, for errors.
    pub field: TextField,
}

/// The field with the texts of a request.
#[derive(Debug, Clone, Copy)]
pub struct TextField {
    /// The name of the field.
    pub name: &'static str,
    /// Whether the field is an array, not a single text.
    pub is_list: bool,
}

impl TextField {
    /// Returns the path of a text in the request.
    #[must_use]
    pub fn name_of(self, index: usize) -> String {
        if self.is_list { format!("{}[{index}]", self.name) } else { self.name.to_owned() }
    }
}

/// Decodes a request body.
///
/// # Errors
/// [`Code::InvalidParams`] or [`Code::UnsupportedParam`] with the field and the reason.
pub fn decode(body: &[u8]) -> Result<EmbeddingsInput, Problem> {
    let (body, ignored) = read(body, EMBEDDING_FIELDS)?;
    let wire: EmbeddingRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    let texts = texts("input", wire.input, NO_TOKENS)?;
    let base64 = match wire.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Problem::invalid("encoding_format", "must be `float` or `base64`")),
    };
    Ok(EmbeddingsInput {
        model: model_or(wire.model, DEFAULT_EMBEDDING),
        texts,
        base64,
        dimensions: wire.dimensions.map(|dimensions| dimensions as usize),
        truncate: wire.truncate == Some(true),
        ignored,
    })
}

/// Reads the texts of the field `name`. `no_tokens` is the reason for rejecting token ids.
///
/// # Errors
/// If there are no texts or too many, or one of them is empty or not a text.
pub(crate) fn texts(name: &'static str, input: Value, no_tokens: &str) -> Result<Texts, Problem> {
    let field = TextField { name, is_list: input.is_array() };
    let text = |(index, item): (usize, Value)| match item {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(Problem::invalid(name, no_tokens)),
        Value::Object(members) => object_text(&members).ok_or_else(|| {
            let reason =
                "must be a string, or an object with a `prompt_string` or with text parts as `content`";
            Problem::invalid(field.name_of(index), reason)
        }),
        _ => Err(Problem::invalid(field.name_of(index), "must be a string")),
    };
    let items = match input {
        Value::Array(items) => items,
        Value::String(_) | Value::Object(_) => vec![input],
        Value::Null => return Err(Problem::invalid(name, "is missing")),
        _ => return Err(Problem::invalid(name, "must be a string or an array of strings")),
    };
    let all = items.into_iter().enumerate().map(text).collect::<Result<Vec<String>, Problem>>()?;
    if all.is_empty() || all.len() > INPUTS_MAX {
        let reason = format!("must have 1 to {INPUTS_MAX} strings, got {}", all.len());
        return Err(Problem::invalid(name, reason));
    }
    match all.iter().position(String::is_empty) {
        Some(index) => Err(Problem::invalid(field.name_of(index), "must not be empty")),
        None => Ok(Texts { all, field }),
    }
}

/// Returns the text of an object in llama.cpp's form: a `prompt_string`, or text parts as `content`.
fn object_text(members: &Map<String, Value>) -> Option<String> {
    if let Some(text) = members.get("prompt_string") {
        return text.as_str().map(ToOwned::to_owned);
    }
    let parts = members.get("content")?.as_array()?;
    parts.iter().map(|part| part.get("text").filter(|_| part["type"] == "text")?.as_str()).collect()
}

/// Checks that vectors have the requested number of dimensions, if one is requested.
///
/// # Errors
/// [`Code::UnsupportedParam`] if the model's vectors have another number.
pub fn check_dimensions(found: &Embeddings, dimensions: Option<usize>) -> Result<(), Problem> {
    let width = found.vectors.first().map_or(0, Vec::len);
    if dimensions.is_some_and(|dimensions| dimensions != width) {
        let reason = format!("must be {width}: this model's vectors cannot be shortened");
        return Err(Problem::about(Code::UnsupportedParam, "dimensions", reason));
    }
    Ok(())
}

/// Returns the response with the vectors that `model` computed from this number of tokens.
#[must_use]
pub fn whole(found: &Embeddings, model: String, tokens: u64, base64: bool) -> EmbeddingList {
    let value = |vector: &Vec<f32>| {
        if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            EmbeddingValue::Base64(STANDARD.encode(bytes))
        } else {
            EmbeddingValue::Float(vector.clone())
        }
    };
    let embedding = |(index, vector)| Embedding { object: "embedding", index, embedding: value(vector) };
    EmbeddingList {
        object: "list",
        data: found.vectors.iter().enumerate().map(embedding).collect(),
        model,
        usage: CompletionUsage {
            prompt_tokens: tokens,
            completion_tokens: None,
            total_tokens: tokens,
            prompt_tokens_details: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn vectors_are_numbers_or_little_endian_bytes_in_base64() {
        let found =
            Embeddings { vectors: vec![vec![1.0, -2.0]], lengths: vec![1.0], tokens: 3, truncated: vec![] };
        let data =
            |base64| serde_json::to_value(whole(&found, "m".into(), 3, base64)).unwrap()["data"].clone();
        assert_eq!(data(false), json!([{ "object": "embedding", "index": 0, "embedding": [1.0, -2.0] }]));
        assert_eq!(data(true), json!([{ "object": "embedding", "index": 0, "embedding": "AACAPwAAAMA=" }]));
        assert!(check_dimensions(&found, Some(2)).is_ok() && check_dimensions(&found, None).is_ok());
        let refused = check_dimensions(&found, Some(3)).unwrap_err();
        assert_eq!(refused.detail, "`dimensions` must be 2: this model's vectors cannot be shortened");
    }
}
