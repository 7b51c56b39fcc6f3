//! Streamed responses: server-sent events, and a heartbeat that keeps proxies from closing an idle stream.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use lar_compat::Frame;

/// The time without events after which a heartbeat is sent.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// A producer of the parts of a stream's body.
pub(crate) trait Source: Send + 'static {
    /// Returns the next part; `None` ends the stream.
    ///
    /// Implementations must be cancel-safe: dropping the future must not lose a part.
    fn next(&mut self) -> impl Future<Output = Option<String>> + Send;
}

/// A producer of the frames of a compatible API's stream.
pub(crate) trait FrameSource: Send + 'static {
    /// Returns the next frames; `None` ends the stream.
    ///
    /// Implementations must be cancel-safe, as [`Source`] requires.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Frame>>> + Send;
}

/// The parts of a source of frames.
struct Frames<S>(S);

impl<S: FrameSource> Source for Frames<S> {
    async fn next(&mut self) -> Option<String> {
        let frames = self.0.next().await?;
        let mut text = String::new();
        frames.iter().for_each(|frame| frame.write_to(&mut text));
        Some(text)
    }
}

/// Returns a response that streams the frames of `source` in this media type.
pub(crate) fn frames_response(source: impl FrameSource, media_type: &'static str) -> Response {
    stream_response(Frames(source), media_type)
}

/// Returns a response that streams the parts of `source` as server-sent events.
pub(crate) fn response(source: impl Source) -> Response {
    stream_response(source, EVENT_STREAM)
}

fn stream_response(source: impl Source, media_type: &'static str) -> Response {
    // Only server-sent events have comments.
    let beats = media_type == EVENT_STREAM;
    let parts = stream::unfold(source, move |mut source| async move {
        let next = if beats {
            tokio::time::timeout(HEARTBEAT_EVERY, source.next()).await
        } else {
            Ok(source.next().await)
        };
        let part = match next {
            Ok(Some(part)) => part,
            Ok(None) => return None,
            Err(_) => ": still here\n\n".to_owned(),
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(part)), source))
    });
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
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
