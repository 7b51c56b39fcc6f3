//! The errors of OpenAI's API. A stream that fails sends the same body.

use lar_base::{Code, Problem};

use super::wire::{OpenAiErrorBody, OpenAiErrorDetail};
use crate::error_kinds::CANCELLED;

/// Returns the body of an error.
#[must_use]
pub fn body(problem: &Problem) -> OpenAiErrorBody {
    let (kind, code) = match problem.code {
        Code::Unauthenticated => ("invalid_request_error", "invalid_api_key"),
        Code::NotFound if problem.fields.iter().any(|field| field.field == "model") => {
            ("invalid_request_error", "model_not_found")
        }
        Code::ContextTooLong => ("invalid_request_error", "context_length_exceeded"),
        Code::UnsupportedParam => ("invalid_request_error", "unsupported_parameter"),
        Code::RateLimited | Code::QueueFull => ("rate_limit_error", "rate_limit_exceeded"),
        Code::Cancelled => (CANCELLED, CANCELLED),
        code if code.status() >= 500 => ("server_error", code.as_str()),
        code => ("invalid_request_error", code.as_str()),
    };
    let param = match problem.code {
        Code::ContextTooLong if problem.fields.is_empty() => Some("messages".into()),
        _ => problem.fields.first().map(|field| field.field.clone()),
    };
    let code = Some(code.to_ascii_lowercase());
    OpenAiErrorBody { error: OpenAiErrorDetail { message: problem.detail.clone(), kind, param, code } }
}
