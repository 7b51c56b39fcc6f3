//! Kinds of errors that the error types of several APIs distinguish.

use lar_base::Code;

/// The error type of a cancelled task, in the APIs whose errors have types. The types of these APIs all blame
/// the request, the server or the load, so none of them fits.
pub(crate) const CANCELLED: &str = "cancelled";

/// Returns whether a retry later, or on another server, may succeed.
#[must_use]
pub fn is_overload(code: Code) -> bool {
    matches!(code, Code::QueueFull | Code::PoolUnready | Code::PoolUnavailable)
}
