//! Server-sent events: the encoding, and the heartbeat that keeps proxies from closing a quiet stream.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;

/// The contract's heartbeat.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// What ends a stream of OpenAI's.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// Makes the parts of a stream's body, one after the other.
pub(crate) trait Source: Send + 'static {
    /// The next part; `None` ends the stream. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<String>> + Send;
}

/// The answer that streams what `source` makes.
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
    // Asks nginx and its like not to hold tokens back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One event. `data` is JSON, which has no line breaks of its own.
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
