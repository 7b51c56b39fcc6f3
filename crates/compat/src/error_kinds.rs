//! Kinds of errors that the error types of several APIs distinguish.

use lar_base::Code;

/// The error type of a cancelled task, in the APIs whose errors have types. The types of these APIs all blame
/// the request, the server or the load, so none of them fits.
pub(crate) const CANCELLED: &str = "cancelled";

/// Returns whether the server is overloaded: its queue is full, or no engine is ready for the model.
///
/// Anthropic's and llama.cpp's APIs have an error type for this, and Anthropic's API a status. Rate limits and
/// deadlines, after which a retry may succeed too, have types of their own.
#[must_use]
pub fn is_overload(code: Code) -> bool {
    matches!(code, Code::QueueFull | Code::PoolUnready | Code::PoolUnavailable)
}
