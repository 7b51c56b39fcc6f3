//! `POST /api/embed`, and the older `POST /api/embeddings`.

use std::time::Duration;

use lar_base::Problem;

use super::encode::nanos;
use super::models::strip_tag;
use super::wire::{EMBED_FIELDS, EMBEDDINGS_FIELDS, EmbedRequest, EmbedResponse, OllamaEmbedding};
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::openai::embeddings::{TextField, Texts};
use crate::openai::wire::OneOrMany;

/// The maximum number of texts in a request.
const INPUTS_MAX: usize = 2048;

/// One of the two paths, which have different fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedPath {
    /// `/api/embed`.
    Embed,
    /// `/api/embeddings`, the older path.
    Embeddings,
}

/// A decoded and validated request for embeddings.
#[derive(Debug)]
pub struct OllamaEmbedInput {
    /// The model's name without the tag `:latest`.
    pub model: String,
    /// The texts; empty if the request has none or a single empty text.
    pub texts: Texts,
    /// Whether a text that is too long is truncated.
    pub truncates: bool,
    /// The requested number of dimensions; `None` means the model's own.
    pub dimensions: Option<usize>,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// Decodes a request body of a path.
///
/// # Errors
/// If the body is not a valid request. The error names the field.
pub fn decode(body: &[u8], path: EmbedPath) -> Result<OllamaEmbedInput, Problem> {
    let (table, name) = match path {
        EmbedPath::Embed => (EMBED_FIELDS, "input"),
        EmbedPath::Embeddings => (EMBEDDINGS_FIELDS, "prompt"),
    };
    let (body, ignored) = read(body, table)?;
    let request: EmbedRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    // Each path has its own name for the field and ignores the other name.
    let is_list = path == EmbedPath::Embed && matches!(request.input, Some(OneOrMany::Many(_)));
    let all: Vec<String> = match path {
        EmbedPath::Embed => match request.input {
            // As at Ollama, a single empty text is no text.
            Some(OneOrMany::One(text)) if text.is_empty() => Vec::new(),
            input => input.map(OneOrMany::into_vec).unwrap_or_default(),
        },
        EmbedPath::Embeddings => request.prompt.into_iter().filter(|prompt| !prompt.is_empty()).collect(),
    };
    if all.len() > INPUTS_MAX {
        let reason = format!("must have at most {INPUTS_MAX} strings, got {}", all.len());
        return Err(Problem::invalid(name, reason));
    }
    Ok(OllamaEmbedInput {
        model: strip_tag(&request.model).to_owned(),
        texts: Texts { all, field: TextField { name, is_list } },
        truncates: request.truncate != Some(false),
        dimensions: request.dimensions.filter(|dimensions| *dimensions > 0),
        ignored,
    })
}

/// Returns the response of `/api/embed` with the vectors of all texts.
///
/// `tokens` is the number of tokens in the texts, and `elapsed` the time since the request arrived.
#[must_use]
pub fn whole(model: String, embeddings: Vec<Vec<f32>>, tokens: u64, elapsed: Duration) -> EmbedResponse {
    let elapsed = if embeddings.is_empty() { Duration::ZERO } else { elapsed };
    EmbedResponse {
        model,
        embeddings,
        total_duration: nanos(elapsed),
        load_duration: 0,
        prompt_eval_count: tokens,
    }
}

/// Returns the response of `/api/embeddings` with the vector of the text, which is empty without a text.
#[must_use]
pub fn whole_single(embeddings: Vec<Vec<f32>>) -> OllamaEmbedding {
    OllamaEmbedding { embedding: embeddings.into_iter().next().unwrap_or_default() }
}
