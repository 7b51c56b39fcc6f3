//! Keeps other sites' pages out: a request must be addressed to a name of ours (a rebound DNS name is not),
//! and an unsafe one must not come from another origin.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use lar_base::{Code, Problem};

/// The names and addresses that requests may be addressed to.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    pub(crate) fn new(allowed: Vec<String>) -> Self {
        let loopback = ["127.0.0.1", "localhost", "[::1]"].map(str::to_owned);
        Self(loopback.into_iter().chain(allowed.into_iter().map(|host| host.to_ascii_lowercase())).collect())
    }

    /// Checks a request's Host, and an unsafe one's Origin and `Sec-Fetch-Site`.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Problem> {
        let named = request.headers().get_all(header::HOST);
        // A request line may name a host too, and then that is the one (RFC 9112, 3.2.2); more than one is an attack.
        let in_line = request.uri().authority().map(|authority| authority.as_str());
        let host = match (in_line, named.iter().count()) {
            (Some(host), 0 | 1) => host,
            (None, 1) => text(request.headers(), "host").unwrap_or_default(),
            (_, count) => {
                return Err(forbidden(format!("the request has {count} Host headers; one is needed")));
            }
        };
        if !self.0.contains(&without_port(host).to_ascii_lowercase()) {
            return Err(forbidden(format!(
                "requests for the host `{}` are not served; add it to `allowed_hosts`",
                host.chars().take(100).collect::<String>()
            )));
        }
        if request.method().is_safe() {
            return Ok(());
        }
        if let Some(site) = text(request.headers(), "sec-fetch-site")
            && !matches!(site, "same-origin" | "none")
        {
            return Err(forbidden("a page of another site may not do this"));
        }
        if let Some(origin) = text(request.headers(), "origin") {
            let from = origin.split_once("://").map_or("", |(_, rest)| rest);
            if !from.eq_ignore_ascii_case(host) {
                return Err(forbidden("a page of another origin may not do this"));
            }
        }
        Ok(())
    }
}

/// Whether a browser says that its own page sent this, as it does with every unsafe request.
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
    fn only_our_names_and_our_pages() {
        let hosts = Hosts::new(vec!["Lar.Home".into()]);
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
        let cases: &[Case<'_>] = &[
            ("GET", &[("host", "127.0.0.1:5270")], true),
            ("GET", &[("host", "localhost")], true),
            ("GET", &[("host", "[::1]:5270")], true),
            ("GET", &[("host", "lar.home:5270")], true),
            ("GET", &[("host", "evil.example:5270")], false),
            ("GET", &[("host", "127.0.0.1.evil.example")], false),
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
            assert_eq!(hosts.check(&request(method, headers)).is_ok(), *allowed, "{method} {headers:?}");
        }
        let mut elsewhere = request("GET", &[("host", "127.0.0.1:5270")]);
        *elsewhere.uri_mut() = "http://evil.example/lar/v1/keys".parse().unwrap();
        assert!(hosts.check(&elsewhere).is_err(), "the request line's host counts");
    }
}
