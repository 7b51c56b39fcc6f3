//! How clients of `/mcp` learn to authenticate (RFC 9728).

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use lar_base::Scope;
use serde_json::{Value, json};

use crate::origin_guard::origin;

/// The path of the endpoint.
pub(crate) const PATH: &str = "/mcp";
/// The path of the metadata that tells clients how to authenticate.
pub(crate) const METADATA: &str = "/.well-known/oauth-protected-resource";
/// The path of the same metadata, for clients that append the path of the endpoint.
pub(crate) const METADATA_OF_PATH: &str = "/.well-known/oauth-protected-resource/mcp";

/// Returns the metadata of `/mcp`. It names no authorization server, because a user creates keys in Lar.
pub(crate) async fn metadata(request: Request) -> Json<Value> {
    let origin = origin(&request);
    Json(json!({
        "resource": format!("{origin}{PATH}"),
        "resource_name": "Lar",
        "bearer_methods_supported": ["header"],
        "scopes_supported": [Scope::MemoryRead, Scope::MemoryWrite],
    }))
}

/// Adds the header that tells a client without a key where the metadata is.
pub(crate) fn challenge(headers: &mut HeaderMap, origin: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer resource_metadata=\"{origin}{METADATA}\"")) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
}
