//! What every request walks through: an id, the browser-side protections, the shape of its error, one log
//! line and the clock.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lar_base::{Code, Instant, KeyId, Problem, RequestId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::App;
use crate::errors::{Failure, Shape, Shapeless, render};

/// An id that a caller sends is echoed if it is no longer than this and plain.
const REQUEST_ID_CHARS_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    path: String,
    status: u16,
}

/// How long requests took, by path.
#[derive(Debug, Clone)]
pub(crate) struct RequestMetrics(Family<RequestLabels, Histogram>);

impl RequestMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0]);
        let family = Family::new_with_constructor(seconds as fn() -> Histogram);
        let help = "From a request's head to its answer's head";
        registry.register("lar_http_request_duration_seconds", help, family.clone());
        Self(family)
    }
}

/// Who called, left by the authenticator in the answer for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CalledBy(pub(crate) KeyId);

pub(crate) async fn frame(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&request);
    let shape = Shape::of(request.uri().path());
    let method = method_name(request.method());
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(id.clone());
    let mut response = match app.hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => Failure(problem).into_response(),
    };
    if let Some(Shapeless(problem)) = response.extensions_mut().remove::<Shapeless>() {
        if problem.code == Code::Internal {
            tracing::error!(request_id = %id.0, detail = %problem.detail, "a request met a fault of Lar's own");
        }
        let ignored = response.headers().clone();
        response = render(&problem, shape, &id.0);
        for (name, value) in &ignored {
            if name == header::SET_COOKIE {
                response.headers_mut().append(name, value.clone());
            }
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    let status = response.status().as_u16();
    let took = begun.elapsed();
    tracing::info!(
        request_id = %id.0,
        key = response.extensions().get::<CalledBy>().map(|by| tracing::field::display(by.0)),
        method, path, status, latency_ms = took.as_millis(), "request",
    );
    app.requests.0.get_or_create(&RequestLabels { method, path, status }).observe(took.as_secs_f64());
    response
}

/// The answer to a path that exists with a method that it does not take.
pub(crate) async fn method_not_allowed(request: Request) -> Failure {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Failure(Problem::new(Code::MethodNotAllowed, detail))
}

/// The id of a request, echoed or made.
#[derive(Debug, Clone)]
pub(crate) struct RequestIdText(pub(crate) String);

fn request_id(request: &Request) -> RequestIdText {
    let sent = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).filter(|id| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        !id.is_empty() && id.len() <= REQUEST_ID_CHARS_MAX && id.bytes().all(plain)
    });
    RequestIdText(sent.map_or_else(|| RequestId::new().to_string(), ToOwned::to_owned))
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
