//! The errors of Anthropic's API. A stream that fails sends the same body.

use lar_base::{Code, Problem};

use super::wire::{AnthropicErrorBody, AnthropicErrorDetail, ErrorDetails};
use crate::error_kinds::{CANCELLED, is_overload};

/// Returns the body of an error. `request_id` is the id of the failed request; a stream has none.
#[must_use]
pub fn body(problem: &Problem, request_id: Option<String>) -> AnthropicErrorBody {
    let kind = match problem.code {
        code if is_overload(code) => "overloaded_error",
        Code::Unauthenticated => "authentication_error",
        Code::ForbiddenScope | Code::ForbiddenSpace => "permission_error",
        Code::NotFound => "not_found_error",
        Code::BodyTooLarge => "request_too_large",
        Code::RateLimited => "rate_limit_error",
        Code::DeadlineExceeded => "timeout_error",
        Code::Cancelled => CANCELLED,
        code if code.status() >= 500 => "api_error",
        _ => "invalid_request_error",
    };
    // Anthropic's SDKs look for these details, and continue without a thread.
    let is_about_thread =
        problem.code == Code::UnsupportedParam && problem.fields.iter().any(|field| field.field == "thread");
    let details = is_about_thread
        .then_some(ErrorDetails { error_code: "thread_unsupported_request", unsupported: ["thread"] });
    let error = AnthropicErrorDetail { kind, message: problem.detail.clone(), details };
    AnthropicErrorBody { kind: "error", error, request_id }
}
