//! Lines of an export.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A memory as it is moved from one Lar to another: a line of JSON, complete.
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
    /// Days (FSRS-6).
    pub stability: f64,
    /// 1 to 10.
    pub difficulty: f64,
    pub reviewed_at: String,
    pub version: i64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// Those that have vectors.
    #[serde(default)]
    pub passages: Vec<ExportedPassage>,
    /// Oldest first.
    #[serde(default)]
    pub history: Vec<ExportedChange>,
}

/// A passage of a moved memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedPassage {
    /// Bytes into the content.
    pub start: u32,
    /// Bytes.
    pub length: u32,
    /// The digest of the embedder's weights.
    pub embedder: String,
    /// What it is called.
    pub embedder_name: String,
    /// Numbers of each vector.
    pub dimension: u32,
    /// Base64: of each piece a scale (f32, little endian), then a signed byte per dimension.
    pub vectors: String,
}

/// A change of a moved memory.
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
