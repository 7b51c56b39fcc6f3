//! The middleware that every request passes through.
//!
//! It sets the request id, checks the host and the origin, formats errors, writes one log line and measures
//! the duration. [`crate::auth`] authenticates the caller inside it.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lar_base::{Code, Instant, KeyId, Problem, RequestId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::bodies::BodyShare;
use crate::errors::{Audience, ErrorFormat, Failure, PendingError, log_and_redact, render};
use crate::origin_guard::{RequestHost, cors};
use crate::rate_limit::RateLimitStatus;
use crate::{App, mcp};

/// The maximum length of a caller's request id that is echoed.
const REQUEST_ID_CHARS_MAX: usize = 128;
/// The maximum number of characters that an error shows of a path.
pub(crate) const SHOWN_CHARS_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    path: String,
    status: u16,
}

/// The durations of requests, by method, path and status.
#[derive(Debug, Clone)]
pub(crate) struct RequestMetrics(Family<RequestLabels, Histogram>);

impl RequestMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0]);
        let family = Family::new_with_constructor(seconds as fn() -> Histogram);
        let help = "Time from a request's head to the response's head";
        registry.register("lar_http_request_duration_seconds", help, family.clone());
        Self(family)
    }
}

/// A request extension: the id of the request, for the authenticator.
#[derive(Debug, Clone)]
pub(crate) struct CurrentRequestId(pub(crate) Arc<str>);

/// A request extension in which the authenticator stores the key, for the log and the response headers.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerSlot(Arc<OnceLock<RecognizedKey>>);

/// A key that the authenticator recognized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecognizedKey {
    pub(crate) key: KeyId,
    /// The state of the key's rate limit; `None` if the key has no limit.
    pub(crate) rate_limit: Option<RateLimitStatus>,
    /// Whether the request has the scope `admin`.
    pub(crate) is_admin: bool,
}

impl CallerSlot {
    /// Returns the key, or `None` before the authenticator has recognized it.
    pub(crate) fn key(&self) -> Option<KeyId> {
        self.0.get().map(|caller| caller.key)
    }

    pub(crate) fn set(&self, caller: RecognizedKey) {
        let _ = self.0.set(caller);
    }
}

pub(crate) async fn apply(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started_at = Instant::now();
    let id: Arc<str> = request_id(&request).into();
    request.extensions_mut().insert(CurrentRequestId(id.clone()));
    let trace = trace_id(&request);
    let format = ErrorFormat::of(&request);
    let method = method_name(request.method());
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let caller_slot = CallerSlot::default();
    request.extensions_mut().insert(caller_slot.clone());
    // The body's share of the budget is released with the response, unless a handler released it before.
    let body_share = BodyShare::default();
    request.extensions_mut().insert(body_share.clone());
    let (mut other_page, mut origin) = (None, None);
    let mut response = match app.hosts.check(&request) {
        Ok(origin_check) => {
            request.extensions_mut().insert(RequestHost(origin_check.host));
            origin = Some(mcp::origin(&request));
            other_page = origin_check.other_page;
            if other_page.is_some() {
                // A page of another origin must send a key; the user's session is not for it.
                request.headers_mut().remove(header::COOKIE);
            }
            if other_page.is_some() && cors::is_preflight(&request) {
                cors::preflight(request.headers())
            } else {
                next.run(request).await
            }
        }
        Err(problem) => Failure(problem).into_response(),
    };
    drop(body_share);
    if let Some(PendingError(problem)) = response.extensions_mut().remove::<PendingError>() {
        let audience = match caller_slot.0.get() {
            Some(RecognizedKey { is_admin: true, .. }) => Audience::Administrator,
            _ => Audience::Everybody,
        };
        let problem = log_and_redact(audience, problem, Some(&id));
        response = render(&problem, format, &id);
        if let Some(origin) = origin.filter(|_| path == mcp::PATH && problem.code == Code::Unauthenticated) {
            mcp::challenge(response.headers_mut(), &origin);
        }
    }
    if let Some(page) = other_page {
        cors::let_read(response.headers_mut(), page);
    }
    // Responses contain keys, sign-in links and private texts.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        if format == ErrorFormat::Anthropic {
            response.headers_mut().insert(HeaderName::from_static("request-id"), value.clone());
        }
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    let caller = caller_slot.0.get();
    for (name, value) in caller.and_then(|caller| caller.rate_limit).iter().flat_map(RateLimitStatus::fields)
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    let status = response.status().as_u16();
    let took = started_at.elapsed();
    tracing::info!(
        request_id = %id,
        trace_id = trace,
        key = caller.map(|caller| tracing::field::display(caller.key)),
        method, path, status, latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "request",
    );
    app.requests.0.get_or_create(&RequestLabels { method, path, status }).observe(took.as_secs_f64());
    response
}

/// Answers a request for an existing path with a method that the path does not support.
pub(crate) async fn method_not_allowed(request: Request) -> Failure {
    let path: String = request.uri().path().chars().take(SHOWN_CHARS_MAX).collect();
    let detail = format!("{path} does not support {}", request.method());
    Failure(Problem::new(Code::MethodNotAllowed, detail))
}

/// Returns the request id that the caller sent, or a new one.
fn request_id(request: &Request) -> String {
    let sent = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).filter(|id| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        !id.is_empty() && id.len() <= REQUEST_ID_CHARS_MAX && id.bytes().all(plain)
    });
    sent.map_or_else(|| RequestId::new().to_string(), ToOwned::to_owned)
}

/// Returns the trace id in the W3C header `traceparent`, of version 00 or a later one with the same first
/// fields.
fn trace_id(request: &Request) -> Option<String> {
    let sent = request.headers().get("traceparent")?.to_str().ok()?;
    let mut parts = sent.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let whole = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let named = trace.bytes().any(|byte| byte != b'0') && parent.bytes().any(|byte| byte != b'0');
    let ended = version != "00" || parts.next().is_none();
    (whole && named && ended).then(|| trace.to_owned())
}

fn method_name(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_traceparents_name_a_trace() {
        let trace_of = |value: &str| {
            trace_id(
                &Request::builder().header("traceparent", value).body(axum::body::Body::empty()).unwrap(),
            )
        };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_of(&format!("00-{trace}-00f067aa0ba902b7-01")).as_deref(), Some(trace));
        assert_eq!(trace_of(&format!("cc-{trace}-00f067aa0ba902b7-01-what")).as_deref(), Some(trace));
        for bad in [
            String::new(),
            format!("00-{trace}-00f067aa0ba902b7"),
            format!("00-{trace}-00f067aa0ba902b7-01-what"),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
        ] {
            assert_eq!(trace_of(&bad), None, "{bad}");
        }
    }
}
