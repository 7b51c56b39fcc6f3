//! The lines of an export of memories.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of an export: a memory with its embeddings and its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct ExportedMemory {
    pub id: String,
    pub content: String,
    pub kind: String,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    pub written_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    #[serde(default)]
    pub pinned: bool,
    /// Days until retrievability falls to 0.9 (FSRS-6).
    pub stability: f64,
    /// The difficulty of FSRS-6, from 1 to 10.
    pub difficulty: f64,
    pub reviewed_at: String,
    pub version: i64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// The chunks that have an embedding.
    #[serde(default)]
    pub passages: Vec<ExportedPassage>,
    /// The changes, oldest first.
    #[serde(default)]
    pub history: Vec<ExportedChange>,
}

/// A chunk of an exported memory, with its vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedPassage {
    /// The offset of the chunk in the content, in bytes.
    pub start: u32,
    /// The length of the chunk, in bytes.
    pub length: u32,
    /// The digest of the embedder's weights.
    pub embedder: String,
    /// The embedder's name.
    pub embedder_name: String,
    /// The number of dimensions of each vector.
    pub dimension: u32,
    /// The vectors in base64: for each, the scale (f32, little endian), then one signed byte per dimension.
    pub vectors: String,
}

/// A change in the history of an exported memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in `MemoryChange`")]
pub struct ExportedChange {
    pub id: String,
    pub at: String,
    pub by: String,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub decision: String,
    #[schema(value_type = Object)]
    pub before: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}
