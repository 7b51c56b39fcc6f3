//! The middleware that every request passes through.
//!
//! It sets the request id, checks the host and the origin, formats errors, writes one log line and measures
//! the duration. [`crate::auth`] authenticates the caller inside it.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lar_base::{Code, Instant, Problem, RequestId};

use crate::api::Api;
use crate::body_limits::BodyShare;
use crate::errors::{Audience, ErrorFormat, Failure, PendingError, log_and_redact, render};
use crate::origin_guard::{RequestHost, cors};
use crate::rate_limit::RateLimitStatus;
use crate::request_extensions::{CallerSlot, CurrentRequestId, RecognizedKey, shown_path};
use crate::state::App;
use crate::{mcp_auth, origin_guard};

/// The maximum length of a caller's request id that is echoed.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The state of the middleware of one router.
#[derive(Clone)]
pub(crate) struct RouterScope {
    pub(crate) app: Arc<App>,
    /// The API of the router.
    pub(crate) api: Api,
}

pub(crate) async fn apply(State(scope): State<RouterScope>, mut request: Request, next: Next) -> Response {
    let RouterScope { app, api } = scope;
    let started_at = Instant::now();
    let id: Arc<str> = request_id(&request).into();
    request.extensions_mut().insert(CurrentRequestId(id.clone()));
    request.extensions_mut().insert(api);
    let trace = trace_id(&request);
    let format = api.error_format(request.headers());
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
    let mut response = match app.hosts.check(&request, api) {
        Ok(origin_check) => {
            request.extensions_mut().insert(RequestHost(origin_check.host));
            origin = Some(origin_guard::origin(&request));
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
        let audience = match caller_slot.get() {
            Some(RecognizedKey { is_admin: true, .. }) => Audience::Administrator,
            _ => Audience::Everybody,
        };
        let problem = log_and_redact(audience, problem, Some(&id));
        response = render(&problem, format, &id);
        if let Some(origin) = origin.filter(|_| api == Api::Mcp && problem.code == Code::Unauthenticated) {
            mcp_auth::challenge(response.headers_mut(), &origin);
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
    let caller = caller_slot.get();
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
    app.requests.record(method, path, status, took);
    response
}

/// Answers a request for an existing path with a method that the path does not support.
pub(crate) async fn method_not_allowed(request: Request) -> Failure {
    let detail = format!("{} does not support {}", shown_path(&request), request.method());
    Failure(Problem::new(Code::MethodNotAllowed, detail))
}

/// Answers a request for a path without a route.
pub(crate) async fn not_found(request: Request) -> Failure {
    let path = shown_path(&request);
    let advice = if path.starts_with("//") { "; remove the slash at the end of the base URL" } else { "" };
    Failure(Problem::not_found(format!("path {path}{advice}")))
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
