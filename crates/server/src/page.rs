//! The page's files, embedded in the binary. Paths that are no file and no API lead to the page itself,
//! which routes by its own.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use lar_base::Problem;
use rust_embed::RustEmbed;

use crate::errors::Failure;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Files;

/// The pages of the error codes, to which every problem's `type` leads.
#[derive(RustEmbed)]
#[folder = "../../docs/errors"]
struct ErrorPages;

/// Only our own files run, and nobody may frame the page.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                      connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// Shown when the binary was built without the page.
const NOTICE: &str = "<!doctype html><title>Lar</title><p>This Lar was built without its page. \
                      Build it with <code>make</code>; the APIs work.";

pub(crate) async fn show(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/v1/") || path.starts_with("/lar/") || path.starts_with("/api/") {
        return Failure(Problem::not_found(format!("path {path}"))).into_response();
    }
    if !request.method().is_safe() {
        return crate::frame::method_not_allowed(request).await.into_response();
    }
    if let Some(code) = path.strip_prefix("/errors/") {
        return match ErrorPages::get(&format!("{code}.md")) {
            Some(page) => ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], page.data.into_owned())
                .into_response(),
            None => Failure(Problem::not_found(format!("error page {path}"))).into_response(),
        };
    }
    let name = path.trim_start_matches('/');
    let (name, file) = match Files::get(name).filter(|_| !name.is_empty()) {
        Some(file) => (name, Some(file)),
        None if name.starts_with("assets/") => {
            return Failure(Problem::not_found(format!("file {path}"))).into_response();
        }
        None => ("index.html", Files::get("index.html")),
    };
    let body = file.map_or_else(|| NOTICE.as_bytes().to_vec(), |file| file.data.into_owned());
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Names in assets/ hold a digest of their content.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" | "webmanifest" => "application/json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
