//! CORS: pages of the origins in `allowed_origins` may use the model APIs and `/mcp`. The setting is empty by
//! default.
//!
//! Such a page must send a key. Lar removes the session cookie from its requests, never allows browser
//! credentials, and does not serve its own API (`/lar/v1`) to it.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::api::Api;

/// The maximum length of an origin in bytes.
const ORIGIN_BYTES_MAX: usize = 256;
/// How long a browser may cache the response to a preflight, in seconds.
const PREFLIGHT_S: &str = "600";
/// The response headers that pages may read in addition to those that every page may read.
const READABLE: &str = "x-request-id, request-id, retry-after, x-should-retry, x-backoff-ms, www-authenticate, x-lar-ignored, \
                        x-lar-recalled, x-lar-saved, x-lar-forgotten, x-lar-reminders, x-lar-scheduled, x-lar-truncated, mcp-session-id, \
                        mcp-protocol-version";

/// The setting `allowed_origins`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `*`: every origin.
    Any,
    /// An origin as browsers send it.
    Exact(String),
    /// `scheme://*` or `scheme://host:*`: every origin with this prefix.
    Prefix(String),
}

impl AllowedOrigins {
    /// Parses the setting: origins such as `app://obsidian.md`, and patterns such as `http://localhost:*`,
    /// `chrome-extension://*` and `*`.
    ///
    /// # Errors
    /// The entry that is not an origin, in a message for a person.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        entries.iter().map(|entry| Pattern::parse(entry)).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a page of this origin may send a request to this API.
    pub(super) fn allow(&self, origin: &HeaderValue, api: Api) -> bool {
        let origin = origin.to_str().ok().filter(|origin| origin.len() <= ORIGIN_BYTES_MAX);
        api.serves_other_pages() && origin.is_some_and(|origin| self.0.iter().any(|one| one.fits(origin)))
    }

    /// Returns whether the setting could contain this origin, as it could every origin that a browser sends.
    pub(super) fn could_allow(&self, origin: &str) -> bool {
        !origin.contains('*') && matches!(Pattern::parse(origin), Ok(Pattern::Exact(_)))
    }
}

impl Pattern {
    fn parse(entry: &str) -> Result<Self, String> {
        let entry = entry.trim_end_matches('/').to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]+".contains(&byte);
        let wrong = || {
            format!(
                "`{entry}` is not an origin; write it as the browser sends it, such as \
                 `http://localhost:3000`, or write a pattern: `http://localhost:*`, `chrome-extension://*` \
                 or `*`"
            )
        };
        if entry == "*" {
            return Ok(Self::Any);
        }
        if entry == "null" {
            return Ok(Self::Exact(entry));
        }
        let Some((scheme, host)) = entry.split_once("://") else { return Err(wrong()) };
        let known = match host.strip_suffix('*') {
            // `http://localhost*` would also match `http://localhost.evil.example`.
            Some(start) if !start.is_empty() && !start.ends_with(':') => return Err(wrong()),
            Some(start) => start,
            None if host.is_empty() => return Err(wrong()),
            None => host,
        };
        if scheme.is_empty()
            || !scheme.bytes().chain(known.bytes()).all(plain)
            || entry.len() > ORIGIN_BYTES_MAX
        {
            return Err(wrong());
        }
        Ok(match entry.strip_suffix('*') {
            Some(start) => Self::Prefix(start.to_owned()),
            None => Self::Exact(entry),
        })
    }

    fn fits(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => origin.eq_ignore_ascii_case(exact),
            Self::Prefix(start) => {
                origin.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
            }
        }
    }
}

/// Returns whether a request is a CORS preflight.
pub(crate) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight: the page may send every header that it asks for, but no browser credentials.
pub(crate) fn preflight(request_headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, DELETE, OPTIONS"),
    );
    if let Some(requested_headers) = request_headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested_headers.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_S));
    // Chrome sends this header when a public page calls a private address.
    if request_headers.contains_key("access-control-request-private-network") {
        let name = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    response
}

/// Lets a page of this origin read the response.
pub(crate) fn let_read(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READABLE));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_no_other_origins() {
        let cases = [
            ("app://obsidian.md", "app://obsidian.md", true),
            ("HTTP://LocalHost:3000/", "http://localhost:3000", true),
            ("http://localhost:3000", "http://localhost:30001", false),
            ("http://localhost:*", "http://localhost:8080", true),
            ("http://localhost:*", "http://localhost.evil.example", false),
            ("chrome-extension://*", "chrome-extension://abcdef", true),
            ("chrome-extension://*", "https://evil.example", false),
            ("null", "null", true),
            ("*", "https://anything.example", true),
        ];
        for (entry, origin, fits) in cases {
            let origins = AllowedOrigins::parse(&[entry.to_owned()]).unwrap();
            let sent = HeaderValue::from_static(origin);
            assert_eq!(origins.allow(&sent, Api::OpenAi), fits, "{entry} {origin}");
            assert!(!origins.allow(&sent, Api::Lar), "{entry} {origin}");
        }
        for wrong in
            ["", "localhost", "http://", "http://localhost*", "http://*.example.org", "http://a/b", "://x"]
        {
            assert!(AllowedOrigins::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn model_apis_are_open_to_other_pages_and_lars_own_is_not() {
        for api in [Api::Mcp, Api::OpenAi, Api::Anthropic, Api::Ollama, Api::LlamaCpp] {
            assert!(api.serves_other_pages(), "{api:?}");
        }
        for api in [Api::Lar, Api::Bridge] {
            assert!(!api.serves_other_pages(), "{api:?}");
        }
    }
}
