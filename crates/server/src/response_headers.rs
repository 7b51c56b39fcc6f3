//! Headers of responses: Lar's own ones in the compatible APIs, and the version of an object.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use lar_memory::MemoryActivityIds;

/// The maximum number of names in `X-Lar-Ignored`.
const IGNORED_MAX: usize = 32;

/// Adds `X-Lar-Ignored` with the names of the fields that had no effect.
pub(crate) fn with_ignored(mut response: Response, ignored: &[String]) -> Response {
    if !ignored.is_empty() {
        let names = ignored.iter().take(IGNORED_MAX).cloned().collect::<Vec<_>>().join(", ");
        if let Ok(value) = HeaderValue::from_str(&names) {
            response.headers_mut().insert(HeaderName::from_static("x-lar-ignored"), value);
        }
    }
    response
}

/// Adds the headers that name the memories that were recalled, saved and forgotten, and the reminders that are due or
/// were set.
pub(crate) fn with_memory_activity(
    mut response: Response,
    memory_activity: Option<&MemoryActivityIds>,
) -> Response {
    let Some(memory_activity) = memory_activity else { return response };
    for (name, ids) in [
        ("x-lar-recalled", &memory_activity.recalled),
        ("x-lar-saved", &memory_activity.saved),
        ("x-lar-forgotten", &memory_activity.forgotten),
        ("x-lar-reminders", &memory_activity.reminders),
        ("x-lar-scheduled", &memory_activity.scheduled),
    ] {
        if let (false, Ok(value)) = (ids.is_empty(), HeaderValue::from_str(&ids.join(", "))) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Adds `X-Lar-Truncated` with the number of messages that were removed from a request.
pub(crate) fn with_removed_messages(mut response: Response, removed: Option<usize>) -> Response {
    if let Some(removed) = removed {
        response.headers_mut().insert("x-lar-truncated", HeaderValue::from(removed));
    }
    response
}

/// Adds `X-Lar-Truncated` with the indexes of the texts that were truncated to the model's context.
pub(crate) fn with_truncated_texts(mut response: Response, truncated: &[usize]) -> Response {
    let indexes: Vec<String> = truncated.iter().map(ToString::to_string).collect();
    if let (false, Ok(value)) = (indexes.is_empty(), HeaderValue::from_str(&indexes.join(","))) {
        response.headers_mut().insert(HeaderName::from_static("x-lar-truncated"), value);
    }
    response
}

/// Adds `ETag` with the version of the object in the response.
pub(crate) fn with_etag(mut response: Response, version: i64) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
