//! Server-sent events: their encoding, and a heartbeat that keeps proxies from closing an idle stream.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;

/// The time without events after which a heartbeat is sent.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// The end of a stream in OpenAI's APIs.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// A producer of the parts of a stream's body.
pub(crate) trait Source: Send + 'static {
    /// Returns the next part; `None` ends the stream.
    ///
    /// Implementations must be cancel-safe: dropping the future must not lose a part.
    fn next(&mut self) -> impl Future<Output = Option<String>> + Send;
}

/// Returns a response that streams the parts of `source`.
pub(crate) fn response(source: impl Source) -> Response {
    let parts = stream::unfold(source, |mut source| async move {
        let part = match tokio::time::timeout(HEARTBEAT_EVERY, source.next()).await {
            Ok(Some(part)) => part,
            Ok(None) => return None,
            Err(_) => ": still here\n\n".to_owned(),
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(part)), source))
    });
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Turns off buffering in nginx and similar proxies.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Encodes one event. `data` must not have line breaks; compact JSON has none.
pub(crate) fn event(name: Option<&str>, id: Option<usize>, data: &str) -> String {
    let mut text = String::with_capacity(data.len() + 48);
    if let Some(name) = name {
        let _ = writeln!(text, "event: {name}");
    }
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    let _ = write!(text, "data: {data}\n\n");
    text
}
