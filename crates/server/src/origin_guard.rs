//! Keeps other sites' pages out: a request must be addressed to a name of ours (a rebound DNS name is not),
//! and an unsafe one must not come from another origin, unless [`cors`] allows that origin.

pub(crate) mod cors;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use lar_base::{Code, Problem};

use self::cors::AllowedOrigins;

/// The names and addresses that requests may be addressed to, and the origins of other pages that may send some.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
    origins: AllowedOrigins,
}

/// A request that passed [`Hosts::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestOrigin {
    /// The host that it was addressed to, with its port.
    pub(crate) host: String,
    /// The allowed origin of another page that sent it.
    pub(crate) other_page: Option<HeaderValue>,
}

/// The host that a request was addressed to, left in its extensions: no other header may be believed.
#[derive(Debug, Clone)]
pub(crate) struct RequestHost(pub(crate) String);

impl Hosts {
    pub(crate) fn new(allowed: Vec<String>, origins: AllowedOrigins) -> Self {
        let loopback = ["127.0.0.1", "localhost", "[::1]"].map(str::to_owned);
        let names = loopback.into_iter().chain(allowed.into_iter().map(|host| host.to_ascii_lowercase()));
        Self { names: names.collect(), origins }
    }

    /// Checks a request's Host, and an unsafe one's Origin and `Sec-Fetch-Site`.
    pub(crate) fn check(&self, request: &Request) -> Result<RequestOrigin, Problem> {
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
        if !host.bytes().all(is_host_byte) {
            return Err(forbidden("the request's Host is no host name"));
        }
        if !self.names.contains(&without_port(host).to_ascii_lowercase()) {
            return Err(forbidden(format!(
                "requests for the host `{}` are not served; add it to `allowed_hosts`",
                host.chars().take(100).collect::<String>()
            )));
        }
        let origin = request.headers().get(header::ORIGIN);
        let is_own = origin.is_none_or(|origin| is_origin_of(origin, host));
        if let Some(origin) =
            origin.filter(|origin| !is_own && self.origins.allow(origin, request.uri().path()))
        {
            return Ok(RequestOrigin { host: host.to_owned(), other_page: Some(origin.clone()) });
        }
        if request.method().is_safe() {
            return Ok(RequestOrigin { host: host.to_owned(), other_page: None });
        }
        if let Some(site) = text(request.headers(), "sec-fetch-site")
            && !matches!(site, "same-origin" | "none")
        {
            return Err(refused_page("a page of another site may not do this", request, &self.origins));
        }
        if !is_own {
            return Err(refused_page("a page of another origin may not do this", request, &self.origins));
        }
        Ok(RequestOrigin { host: host.to_owned(), other_page: None })
    }
}

/// Refuses a page of another origin, and says which setting would allow it where one would.
fn refused_page(what: &str, request: &Request, origins: &AllowedOrigins) -> Problem {
    let origin = text(request.headers(), "origin").filter(|_| cors::serves_other_pages(request.uri().path()));
    let can_be_allowed = origin.filter(|origin| origins.could_allow(origin));
    forbidden(match can_be_allowed {
        Some(origin) => format!("{what}; add `{origin}` to `allowed_origins` if you trust that page"),
        None => what.to_owned(),
    })
}

/// Whether a page of this origin came from the host that the request is addressed to.
fn is_origin_of(origin: &HeaderValue, host: &str) -> bool {
    let from = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    from.is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
}

/// What host names, addresses and ports are made of.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
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
    fn a_page_that_is_allowed_reaches_the_model_apis_and_nothing_else() {
        let origins = AllowedOrigins::parse(&["app://obsidian.md".into()]).unwrap();
        let hosts = Hosts::new(Vec::new(), origins);
        let from = |path: &str, origin: &str| {
            let headers = [("host", "127.0.0.1:5270"), ("origin", origin), ("sec-fetch-site", "cross-site")];
            let mut request = request("POST", &headers);
            *request.uri_mut() = path.parse().unwrap();
            hosts.check(&request).map(|checked| checked.other_page).map_err(|problem| problem.detail)
        };
        let page = HeaderValue::from_static("app://obsidian.md");
        assert_eq!(from("/v1/embeddings", "app://obsidian.md"), Ok(Some(page)));
        let refused = "a page of another site may not do this";
        assert_eq!(from("/lar/v1/keys", "app://obsidian.md"), Err(refused.into()));
        let advice =
            format!("{refused}; add `http://evil.example` to `allowed_origins` if you trust that page");
        assert_eq!(from("/v1/embeddings", "http://evil.example"), Err(advice));
        assert_eq!(from("/v1/embeddings", "http://evil.example/\"x"), Err(refused.into()));
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
            assert_eq!(hosts.check(&request(method, headers)).is_ok(), *allowed, "{method} {headers:?}");
        }
        let mut elsewhere = request("GET", &[("host", "127.0.0.1:5270")]);
        *elsewhere.uri_mut() = "http://evil.example/lar/v1/keys".parse().unwrap();
        assert!(hosts.check(&elsewhere).is_err(), "the request line's host counts");
        let mut odd = request("GET", &[("host", "evil.example\"x")]);
        *odd.uri_mut() = "http://127.0.0.1:5270/lar/v1/keys".parse().unwrap();
        assert_eq!(
            hosts.check(&odd).unwrap().host,
            "127.0.0.1:5270",
            "what the other header says is dropped"
        );
    }
}
