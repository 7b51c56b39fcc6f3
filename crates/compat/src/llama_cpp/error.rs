//! The errors of llama.cpp's API. A stream that fails sends the same body.

use lar_base::{Code, Problem};

use super::wire::{LlamaCppErrorBody, LlamaCppErrorDetail};
use crate::error_kinds::{CANCELLED, is_overload};

/// Returns the body of an error.
#[must_use]
pub fn body(problem: &Problem) -> LlamaCppErrorBody {
    let kind = match problem.code {
        Code::Unauthenticated => "authentication_error",
        Code::ForbiddenScope | Code::ForbiddenSpace => "permission_error",
        Code::NotFound => "not_found_error",
        Code::ContextTooLong => "exceed_context_size_error",
        Code::UnsupportedParam => "not_supported_error",
        Code::Cancelled => CANCELLED,
        code if is_overload(code) => "unavailable_error",
        code if code.status() >= 500 => "server_error",
        _ => "invalid_request_error",
    };
    let param = problem.fields.first().map(|field| field.field.clone());
    let error =
        LlamaCppErrorDetail { code: problem.code.status(), message: problem.detail.clone(), kind, param };
    LlamaCppErrorBody { error }
}
