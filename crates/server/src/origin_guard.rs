//! Protection against requests from pages of other sites.
//!
//! The host of a request must be allowed, which prevents DNS rebinding. An unsafe request must not come from
//! another origin, which prevents CSRF, unless [`cors`] allows that origin.

pub(crate) mod cors;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use lar_base::{Code, Problem};

use self::cors::AllowedOrigins;
use crate::api::Api;
use crate::request_extensions::Arrival;

/// The allowed hosts of requests, and the allowed origins of other pages.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
    origins: AllowedOrigins,
}

/// The host and the origin of a request that passed [`Hosts::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestOrigin {
    /// The host that the request names, with its port. It is an allowed one.
    pub(crate) host: String,
    /// The origin of the page that sent the request, if it is an allowed one of another site.
    pub(crate) other_page: Option<HeaderValue>,
}

/// A request extension: the checked host of the request. No header is trusted in its place.
#[derive(Debug, Clone)]
pub(crate) struct RequestHost(pub(crate) String);

impl Hosts {
    pub(crate) fn new(allowed: Vec<String>, origins: AllowedOrigins) -> Self {
        let loopback = ["127.0.0.1", "localhost", "[::1]"].map(str::to_owned);
        let names = loopback.into_iter().chain(allowed.into_iter().map(|host| host.to_ascii_lowercase()));
        Self { names: names.collect(), origins }
    }

    /// Checks the host of a request, and of an unsafe request the headers `Origin` and `Sec-Fetch-Site`.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`], naming the setting that would allow the request, if there is one.
    pub(crate) fn check(&self, request: &Request, api: Api) -> Result<RequestOrigin, Problem> {
        let named = request.headers().get_all(header::HOST);
        // A host in the request line overrides the header (RFC 9112, 3.2.2). Several headers are an attack.
        let in_line = request.uri().authority().map(|authority| authority.as_str());
        let host = match (in_line, named.iter().count()) {
            (Some(host), 0 | 1) => host,
            (None, 1) => text(request.headers(), "host").unwrap_or_default(),
            (_, count) => {
                return Err(forbidden(format!("the request has {count} Host headers; send exactly one")));
            }
        };
        if !host.bytes().all(is_host_byte) {
            return Err(forbidden("the request's Host header is not a host name"));
        }
        if !self.names.contains(&without_port(host).to_ascii_lowercase()) {
            return Err(forbidden(format!(
                "the request's host `{}` is not allowed; to allow it, add it to `allowed_hosts`",
                host.chars().take(100).collect::<String>()
            )));
        }
        let origin = request.headers().get(header::ORIGIN);
        let is_own = origin.is_none_or(|origin| is_origin_of(origin, host));
        if let Some(origin) = origin.filter(|origin| !is_own && self.origins.allow(origin, api)) {
            return Ok(RequestOrigin { host: host.to_owned(), other_page: Some(origin.clone()) });
        }
        if request.method().is_safe() {
            return Ok(RequestOrigin { host: host.to_owned(), other_page: None });
        }
        if let Some(site) = text(request.headers(), "sec-fetch-site")
            && !matches!(site, "same-origin" | "none")
        {
            return Err(refused_page(
                "a page of another site may not send this request",
                request,
                (api, &self.origins),
            ));
        }
        if !is_own {
            return Err(refused_page(
                "a page of another origin may not send this request",
                request,
                (api, &self.origins),
            ));
        }
        Ok(RequestOrigin { host: host.to_owned(), other_page: None })
    }
}

/// Returns the error for a page of another origin, with the setting that would allow the page if one would.
fn refused_page(what: &str, request: &Request, (api, origins): (Api, &AllowedOrigins)) -> Problem {
    let origin = text(request.headers(), "origin").filter(|_| api.serves_other_pages());
    let can_be_allowed = origin.filter(|origin| origins.could_allow(origin));
    forbidden(match can_be_allowed {
        Some(origin) => format!("{what}; add `{origin}` to `allowed_origins` if you trust it"),
        None => what.to_owned(),
    })
}

/// Returns whether the host of the request serves this origin.
fn is_origin_of(origin: &HeaderValue, host: &str) -> bool {
    let from = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    from.is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
}

/// Returns the origin that a request was sent to.
pub(crate) fn origin(request: &Request) -> String {
    let host =
        request.extensions().get::<RequestHost>().map_or("localhost", |RequestHost(host)| host.as_str());
    let secure = request.extensions().get::<Arrival>().is_some_and(|arrival| arrival.secure);
    format!("{}://{host}", if secure { "https" } else { "http" })
}

/// Returns whether host names, addresses and ports may contain this byte.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}

/// Returns whether a page that [`Hosts::check`] let pass sent an unsafe request.
///
/// Browsers send one of these headers with every unsafe request; other programs usually send neither.
pub(crate) fn from_own_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon)
            if host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(']') =>
        {
            &host[..colon]
        }
        _ => host,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::new(Code::ForbiddenScope, detail)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/lar/v1/keys");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn an_allowed_page_reaches_only_the_model_apis() {
        let origins = AllowedOrigins::parse(&["app://obsidian.md".into()]).unwrap();
        let hosts = Hosts::new(Vec::new(), origins);
        let from = |api: Api, origin: &str| {
            let headers = [("host", "127.0.0.1:5270"), ("origin", origin), ("sec-fetch-site", "cross-site")];
            hosts
                .check(&request("POST", &headers), api)
                .map(|checked| checked.other_page)
                .map_err(|problem| problem.detail)
        };
        let page = HeaderValue::from_static("app://obsidian.md");
        assert_eq!(from(Api::OpenAi, "app://obsidian.md"), Ok(Some(page)));
        let refused = "a page of another site may not send this request";
        assert_eq!(from(Api::Lar, "app://obsidian.md"), Err(refused.into()));
        let advice = format!("{refused}; add `http://evil.example` to `allowed_origins` if you trust it");
        assert_eq!(from(Api::OpenAi, "http://evil.example"), Err(advice));
        assert_eq!(from(Api::OpenAi, "http://evil.example/\"x"), Err(refused.into()));
    }

    #[test]
    fn only_allowed_hosts_and_own_pages_are_served() {
        let hosts = Hosts::new(vec!["Lar.Home".into()], AllowedOrigins::default());
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
        let cases: &[Case<'_>] = &[
            ("GET", &[("host", "127.0.0.1:5270")], true),
            ("GET", &[("host", "localhost")], true),
            ("GET", &[("host", "[::1]:5270")], true),
            ("GET", &[("host", "lar.home:5270")], true),
            ("GET", &[("host", "evil.example:5270")], false),
            ("GET", &[("host", "127.0.0.1.evil.example")], false),
            ("GET", &[("host", "evil.example\"x")], false),
            ("GET", &[], false),
            ("GET", &[("host", "127.0.0.1:5270"), ("host", "evil.example")], false),
            ("POST", &[("host", "127.0.0.1:5270")], true),
            ("POST", &[("host", "127.0.0.1:5270"), ("origin", "http://127.0.0.1:5270")], true),
            ("POST", &[("host", "127.0.0.1:5270"), ("origin", "http://127.0.0.1:8080")], false),
            ("POST", &[("host", "127.0.0.1:5270"), ("origin", "null")], false),
            ("POST", &[("host", "127.0.0.1:5270"), ("sec-fetch-site", "cross-site")], false),
            ("POST", &[("host", "127.0.0.1:5270"), ("sec-fetch-site", "same-site")], false),
            ("POST", &[("host", "127.0.0.1:5270"), ("sec-fetch-site", "same-origin")], true),
        ];
        for (method, headers, allowed) in cases {
            assert_eq!(
                hosts.check(&request(method, headers), Api::Lar).is_ok(),
                *allowed,
                "{method} {headers:?}"
            );
        }
        let mut elsewhere = request("GET", &[("host", "127.0.0.1:5270")]);
        *elsewhere.uri_mut() = "http://evil.example/lar/v1/keys".parse().unwrap();
        assert!(hosts.check(&elsewhere, Api::Lar).is_err(), "the request line's host counts");
        let mut odd = request("GET", &[("host", "evil.example\"x")]);
        *odd.uri_mut() = "http://127.0.0.1:5270/lar/v1/keys".parse().unwrap();
        assert_eq!(hosts.check(&odd, Api::Lar).unwrap().host, "127.0.0.1:5270", "the Host header is ignored");
    }
}
