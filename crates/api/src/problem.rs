//! The body of every error of Lar's own API (RFC 9457, `application/problem+json`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`ProblemBody`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// The page that explains the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same words for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Cause, numbers and the next command.
    pub detail: String,
    /// Such as `QUEUE_FULL`.
    pub code: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// When, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The id of the request, as in the log.
    pub request_id: String,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// A field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Its path.
    pub field: String,
    /// Why it was refused.
    pub reason: String,
}
