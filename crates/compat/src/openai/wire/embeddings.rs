//! Requests and responses of `POST /v1/embeddings`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::usage::CompletionUsage;

/// A request for embeddings: the supported fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EmbeddingRequest {
    /// The model's name or alias; the default embedder if absent or blank.
    pub model: Option<String>,
    /// A string, or a list of up to 2048.
    ///
    /// The field is parsed separately, so that errors explain why token ids are rejected.
    #[serde(default)]
    pub input: Value,
    /// The format of the vectors: `float` or `base64`; `float` if absent.
    pub encoding_format: Option<String>,
    /// Whether a text that is longer than the model's context is truncated; if absent, it is an error.
    pub truncate: Option<bool>,
    /// The number of dimensions, which must be the model's own; absent for any.
    pub dimensions: Option<u32>,
}

/// A response with embeddings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmbeddingList {
    /// The type of the object, always `list`.
    pub object: &'static str,
    /// The embeddings in the order of the texts.
    pub data: Vec<Embedding>,
    /// The model that computed the vectors, without an alias.
    pub model: String,
    /// The tokens of all texts.
    pub usage: CompletionUsage,
}

/// One embedding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Embedding {
    /// The type of the object, always `embedding`.
    pub object: &'static str,
    /// The index of the text in the request, from 0.
    pub index: usize,
    /// The vector, of Euclidean length 1.
    pub embedding: EmbeddingValue,
}

/// A vector in the requested `encoding_format`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EmbeddingValue {
    /// A list of numbers.
    Float(Vec<f32>),
    /// Little-endian `f32` values in base64.
    Base64(String),
}
