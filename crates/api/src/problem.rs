//! The body of every error of Lar's own API (RFC 9457, `application/problem+json`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`ProblemBody`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error of Lar's own API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// The path of the page that explains the code, such as `/errors/QUEUE_FULL`, on the same server.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short summary; the same for every error with this code.
    pub title: String,
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The explanation for people: what happened, with its numbers, and what to do next.
    pub detail: String,
    /// The error code, such as `QUEUE_FULL`. Programs should decide by it.
    pub code: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// How long to wait before a retry, in milliseconds; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The id of the request, as in the response header `X-Request-Id` and in the log.
    pub request_id: String,
    /// The invalid fields; absent if the error is not about fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// An invalid field and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// The path of the field in the body, such as `items[2].tags`, or the name of a parameter or header.
    pub field: String,
    /// Why the field is invalid, as the end of a sentence that starts with its name.
    pub reason: String,
}
