//! The streamable HTTP transport of `/mcp`: its configuration, and the form of its responses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use lar_base::Bytes;
use rmcp::ServerHandler;
use rmcp::model::{ClientJsonRpcMessage, ErrorData, JsonRpcError};
use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::api::Api;
use crate::errors::Failure;
use crate::mcp_auth;
use crate::origin_guard::Hosts;
use crate::origin_guard::cors::AllowedOrigins;

/// A transport without sessions: each request stands alone.
pub(super) type Transport<H> = StreamableHttpService<H, NeverSessionManager>;

/// Creates the transport of `/mcp`, for bodies of at most `body` bytes.
pub(super) fn transport<H: ServerHandler + Clone>(handler: H, body: Bytes) -> Transport<H> {
    service(handler, body, NeverSessionManager::default(), false)
}

/// Serves only `handler` on the transport of `/mcp`, as the fixture of a conformance suite.
///
/// Revisions before 2026-07-28 get sessions here, because a fixture sends requests to its client. Lar does
/// not.
///
/// # Errors
/// When the listener fails.
pub async fn fixture<H: ServerHandler + Clone>(
    listener: TcpListener,
    handler: H,
    body: Bytes,
) -> std::io::Result<()> {
    let transport = service(handler, body, LocalSessionManager::default(), true);
    let hosts = Arc::new(Hosts::new(Vec::new(), AllowedOrigins::default()));
    let check = move |request: Request, next: Next| {
        let checked = hosts.check(&request, Api::Mcp);
        async move {
            match checked {
                Ok(_) => next.run(request).await,
                Err(problem) => Failure(problem).into_response(),
            }
        }
    };
    let serve = move |request: Request| {
        let transport = transport.clone();
        async move { answer(&transport, request).await }
    };
    let router = Router::new().route(mcp_auth::PATH, axum::routing::any(serve)).layer(from_fn(check));
    axum::serve(listener, router).await
}

/// Answers one request.
pub(super) async fn answer<H, S>(transport: &StreamableHttpService<H, S>, request: Request) -> Response
where
    H: ServerHandler,
    S: SessionManager,
{
    transport.handle(request).await.map(Body::new).into_response()
}

/// Returns whether a request declares its body as JSON, which the transport requires.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Replaces the transport's response to a malformed JSON body by a JSON-RPC error that names the problem.
///
/// The transport's own response is 415 with plain text. The error has no `id`, as MCP requires if the
/// request's id could not be read.
pub(super) fn name_malformed(answer: Response, body: &[u8]) -> Response {
    if answer.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return answer;
    }
    let error = if let Err(error) = serde_json::from_slice::<Value>(body) {
        ErrorData::parse_error(format!("the body is not valid JSON: {error}"), None)
    } else if serde_json::from_slice::<ClientJsonRpcMessage>(body).is_err() {
        ErrorData::invalid_request("the body must be one message of JSON-RPC 2.0, not a batch", None)
    } else {
        return answer;
    };
    (StatusCode::BAD_REQUEST, Json(JsonRpcError::new(None, error))).into_response()
}

fn service<H: ServerHandler + Clone, S: SessionManager>(
    handler: H,
    body: Bytes,
    manager: S,
    sessions: bool,
) -> StreamableHttpService<H, S> {
    // The middleware of all routes checks hosts and origins.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(sessions)
        .with_json_response(true)
        .with_max_request_body_bytes(usize::try_from(body.get()).unwrap_or(usize::MAX))
        .disable_allowed_hosts();
    StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(manager), config)
}
