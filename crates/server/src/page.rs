//! The page's files, embedded in the binary, and the answer to every path that nothing else serves.
//!
//! A browser that opens a path of the page's gets the page, which routes by its own. Everyone else is told that there is
//! no such path: a program that looks for another server's API must not take HTML for it. The page's build puts each
//! larger file beside itself compressed (`.br`, `.gz`); nothing is compressed here.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_base::Problem;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::errors::Failure;
use crate::middleware::SHOWN_CHARS_MAX;

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
const INDEX: &str = "index.html";
/// Forms in which a file may lie beside itself, the smaller one first: what HTTP calls it, and the end of its name.
const COMPRESSED: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];
/// Bytes of a digest that tell versions of a file apart.
const TAG_BYTES: usize = 16;

pub(crate) async fn show(request: Request) -> Response {
    let path = request.uri().path();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return unknown(path);
    }
    if let Some(code) = path.strip_prefix("/errors/") {
        return match ErrorPages::get(&format!("{code}.md")) {
            Some(page) => ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], page.data.into_owned())
                .into_response(),
            None => unknown(path),
        };
    }
    let name = path.trim_start_matches('/');
    if !name.is_empty()
        && !COMPRESSED.iter().any(|(_, end)| name.ends_with(end))
        && Files::get(name).is_some()
    {
        return file(name, request.headers());
    }
    if name.is_empty() || (is_navigation(request.headers()) && is_page_route(name)) {
        return file(INDEX, request.headers());
    }
    unknown(path)
}

fn unknown(path: &str) -> Response {
    let shown: String = path.chars().take(SHOWN_CHARS_MAX).collect();
    let advice = if path.starts_with("//") { "; the base URL ends with a slash too many" } else { "" };
    Failure(Problem::not_found(format!("path {shown}{advice}"))).into_response()
}

/// Whether a browser opens the path, rather than a program that asks for it.
fn is_navigation(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// Whether a path, without its first slash, is one that the page routes by (`web/src/App.tsx`): a conversation's, or the memories'.
fn is_page_route(name: &str) -> bool {
    let conversation = name.strip_prefix("c/").filter(|id| !id.is_empty() && !id.contains(['/', '.']));
    name == "memory" || conversation.is_some()
}

/// Answers with one of the page's files, as it is asked for.
fn file(name: &str, request_headers: &HeaderMap) -> Response {
    let (file, encoding) = match find_file(name, request_headers) {
        Some((file, encoding)) => (Some(file), encoding),
        None => (None, None),
    };
    let tag = file
        .as_ref()
        .map(|file| format!("\"{}\"", lar_base::secret::hex(&file.metadata.sha256_hash()[..TAG_BYTES])));
    let known = request_headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let unchanged = tag.as_deref().zip(known).is_some_and(|(tag, known)| known.contains(tag));
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.map_or_else(|| NOTICE.as_bytes().to_vec(), |file| file.data.into_owned()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
    // Names in assets/ hold a digest of their content.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// A file in the smallest form that there is of it and that the caller takes, and which form that is.
fn find_file(name: &str, request_headers: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
    let accepted = request_headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    for (encoding, end) in COMPRESSED {
        if accepts(accepted, encoding)
            && let Some(file) = Files::get(&format!("{name}{end}"))
        {
            return Some((file, Some(encoding)));
        }
    }
    Files::get(name).map(|file| (file, None))
}

/// Whether an `Accept-Encoding` takes this form.
fn accepts(accepted: &str, encoding: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        named && weight != Some(0.0)
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_answers_to_its_own_paths_only() {
        for name in ["c/conv_1", "memory"] {
            assert!(is_page_route(name), "{name}");
        }
        for name in [
            "",
            "c",
            "c/",
            "c/conv_1/x",
            "c/x.js",
            "memory/x",
            "models/qwen",
            "settings",
            "v1/x",
            "robots.txt",
            "/memory",
        ] {
            assert!(!is_page_route(name), "{name}");
        }
    }

    #[test]
    fn encodings_are_taken_as_they_are_weighed() {
        assert!(accepts("gzip, deflate, br;q=1.0", "br") && accepts("GZIP", "gzip"));
        assert!(!accepts("gzip, br;q=0", "br") && !accepts("", "gzip") && !accepts("brotli", "br"));
    }
}
