//! The body of every error of Lar's own API (RFC 9457, `application/problem+json`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`ProblemBody`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error of Lar's own API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// The URL of the page that explains the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short summary; the same for every error with this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The explanation: what happened, with its numbers, and what to do next.
    pub detail: String,
    /// The error code, such as `QUEUE_FULL`.
    pub code: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// How long to wait before a retry, in milliseconds, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The id of the request, as the log has it.
    pub request_id: String,
    /// The invalid fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// An invalid field and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// The path of the field.
    pub field: String,
    /// Why the field is invalid.
    pub reason: String,
}
