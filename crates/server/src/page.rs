//! The files of the web page, embedded in the binary, and the response for every path without a route.
//!
//! A browser that opens a path of the page gets the page, which does its own routing. Every other request
//! gets a "not found" error, because a program that looks for the API of another server must not mistake HTML
//! for it. The page's build stores a compressed copy (`.br`, `.gz`) of each larger file. Nothing is
//! compressed here.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::middleware::not_found;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Files;

/// The pages of the error codes, to which the `type` of a problem links.
#[derive(RustEmbed)]
#[folder = "../../docs/errors"]
struct ErrorPages;

/// The content security policy: only Lar's own files run, and no other page may frame this one.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                      connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// The page of a binary that was built without the web page.
const NOTICE: &str = "<!doctype html><title>Lar</title><p>This Lar was built without its web page. \
                      To include it, build Lar with <code>make</code>. The APIs work.";
const INDEX: &str = "index.html";
/// The compressed copies of a file, smallest first: the encoding's name in HTTP, and the suffix of the copy's
/// name.
const COMPRESSED: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];
/// The number of bytes of a file's digest in its `ETag`.
const TAG_BYTES: usize = 16;

pub(crate) async fn show(request: Request) -> Response {
    let path = request.uri().path();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_found(request).await.into_response();
    }
    if let Some(code) = path.strip_prefix("/errors/") {
        return match ErrorPages::get(&format!("{code}.md")) {
            Some(page) => ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], page.data.into_owned())
                .into_response(),
            None => not_found(request).await.into_response(),
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
    not_found(request).await.into_response()
}

/// Returns whether a browser opens the path, rather than another program.
fn is_navigation(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// Returns whether the page routes this path, which has no first slash: a conversation's path or `memory`.
///
/// The routes of the page are in `web/src/App.tsx`.
fn is_page_route(name: &str) -> bool {
    let conversation = name.strip_prefix("c/").filter(|id| !id.is_empty() && !id.contains(['/', '.']));
    name == "memory" || conversation.is_some()
}

/// Returns the response with a file of the page, compressed and cached as the request allows.
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
    // The name of a file in `assets/` contains a digest of its content.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// Returns the smallest copy of a file that the request accepts, and the encoding of that copy.
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

/// Returns whether an `Accept-Encoding` header accepts this encoding.
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
    fn every_file_of_the_page_forbids_code_and_requests_of_others() {
        for name in [INDEX, "assets/none.js"] {
            let response = file(name, &HeaderMap::new());
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            let rules: Vec<&str> = policy.split("; ").collect();
            for rule in
                ["default-src 'self'", "connect-src 'self'", "object-src 'none'", "frame-ancestors 'none'"]
            {
                assert!(rules.contains(&rule), "{name}: {policy}");
            }
            assert!(!policy.contains("script-src") && !policy.contains("http"), "{name}: {policy}");
        }
    }

    #[test]
    fn only_paths_of_the_page_are_page_routes() {
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
    fn an_encoding_with_weight_zero_is_not_accepted() {
        assert!(accepts("gzip, deflate, br;q=1.0", "br") && accepts("GZIP", "gzip"));
        assert!(!accepts("gzip, br;q=0", "br") && !accepts("", "gzip") && !accepts("brotli", "br"));
    }
}
