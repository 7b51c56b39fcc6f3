//! Streamable HTTP as Lar serves it: what reaches a handler, and in what form its answers leave.

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

use crate::errors::Failure;
use crate::origin_guard::Hosts;
use crate::origin_guard::cors::AllowedOrigins;

/// A handler without sessions: each request stands alone.
pub(super) type Transport<H> = StreamableHttpService<H, NeverSessionManager>;

/// The transport of `/mcp`, for bodies of at most `body`.
pub(super) fn transport<H: ServerHandler + Clone>(handler: H, body: Bytes) -> Transport<H> {
    service(handler, body, NeverSessionManager::default(), false)
}

/// Serves `handler` alone on the transport of `/mcp`, for a conformance suite's fixtures. Revisions before
/// 2026-07-28 get sessions here, since a fixture asks things of its client, which Lar does not.
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
        let checked = hosts.check(&request);
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
    let router = Router::new().route(super::PATH, axum::routing::any(serve)).layer(from_fn(check));
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

/// Whether a request says that its body is JSON, as the transport asks for.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The answer to a request of this body of JSON, where the transport's is 415 in plain text for what is no message: an error of
/// JSON-RPC. It has no `id`, as MCP wants it where none could be read.
pub(super) fn name_malformed(answer: Response, body: &[u8]) -> Response {
    if answer.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return answer;
    }
    let error = if let Err(error) = serde_json::from_slice::<Value>(body) {
        ErrorData::parse_error(format!("the body is not JSON: {error}"), None)
    } else if serde_json::from_slice::<ClientJsonRpcMessage>(body).is_err() {
        ErrorData::invalid_request("the body must be one message of JSON-RPC 2.0, and no batch", None)
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
    // Hosts and origins are checked by the frame, as everywhere.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(sessions)
        .with_json_response(true)
        .with_max_request_body_bytes(usize::try_from(body.get()).unwrap_or(usize::MAX))
        .disable_allowed_hosts();
    StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(manager), config)
}
