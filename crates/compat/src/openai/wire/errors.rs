//! Errors in OpenAI's format. [`crate::openai::error`] makes them.

use serde::Serialize;

/// The body of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenAiErrorBody {
    /// The error.
    pub error: OpenAiErrorDetail,
}

/// The details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenAiErrorDetail {
    /// The message for a person, with the field and the reason.
    pub message: String,
    /// The kind: `invalid_request_error`, `rate_limit_error`, `server_error` or `cancelled`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The path of the first invalid field; null if the error is about no field.
    pub param: Option<String>,
    /// The code in lower case, such as `model_not_found`.
    pub code: Option<String>,
}
