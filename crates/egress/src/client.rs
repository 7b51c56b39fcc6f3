//! The outbound HTTP client, which enforces the egress policy. Response bodies are streamed.
//!
//! Nothing is retried here, except that a [`Request::repeatable`] request is sent again when the server
//! closed the connection before it answered.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::time::error::Elapsed;
use url::Url;

use crate::Error;
use crate::address::is_public;
use crate::ledger::Ledger;

/// The maximum number of redirects to follow.
const REDIRECTS_MAX: usize = 8;
/// The maximum number of times to resend a repeatable request.
const RESENDS_MAX: u32 = 3;
/// The timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The default read timeout: the longest wait for the response head and between two reads of the body.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The party that chose the destination. It decides which addresses are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A caller chose it: only public addresses, checked after every resolution and redirect.
    Caller,
    /// The operator configured it: any address.
    Operator,
}

/// The HTTP methods that Lar uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`: reads a resource.
    Get,
    /// `POST`: sends a body to a resource that processes it.
    Post,
    /// `PATCH`: changes a part of a resource.
    Patch,
    /// `DELETE`: removes a resource.
    Delete,
}

/// The body of a request.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// A request without a body.
    #[default]
    Empty,
    /// A media type and the content.
    Content(&'static str, Bytes),
}

/// An outbound request, with the party that chose its destination.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method, such as `GET`.
    pub method: Method,
    /// An http or https URL.
    pub url: String,
    /// The party that chose the URL.
    pub trust: Trust,
    /// Further headers, each a name and a value. The media type of the body is not among them.
    pub headers: Vec<(&'static str, String)>,
    /// The body, with its media type.
    pub body: Body,
    /// The timeout for the whole exchange. Streams have none (`None`) and rely on the read timeout.
    pub timeout: Option<Duration>,
    /// The longest wait for the response head and between two reads of the body; `None` waits forever.
    pub read_timeout: Option<Duration>,
    /// Whether the request may be sent again when a reused connection turns out to be closed.
    pub repeatable: bool,
}

impl Request {
    /// Creates a request without headers or body, with the default read timeout and no other.
    #[must_use]
    pub fn new(method: Method, url: impl Into<String>, trust: Trust) -> Self {
        Self {
            method,
            url: url.into(),
            trust,
            headers: Vec::new(),
            body: Body::Empty,
            timeout: None,
            read_timeout: Some(READ_TIMEOUT),
            repeatable: false,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets a JSON body.
    ///
    /// # Panics
    /// When `body` cannot be represented in JSON, such as a map whose keys are not strings.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("plain values are JSON");
        self.body = Body::Content("application/json", body.into());
        self
    }

    /// Sets a body of this media type.
    #[must_use]
    pub fn content(mut self, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = Body::Content(media_type, body.into());
        self
    }

    /// Sets the read timeout.
    #[must_use]
    pub fn read_timeout(mut self, limit: Option<Duration>) -> Self {
        self.read_timeout = limit;
        self
    }

    /// Marks the request as harmless when it arrives twice, so that it may be sent again.
    ///
    /// A server may close a reused connection just as the request is sent. The client cannot tell whether the
    /// server read it.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sets the timeout for the whole exchange.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

/// A response whose body has not been read yet. Dropping it closes the connection.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    destination: String,
    read_timeout: Option<Duration>,
}

impl Response {
    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// Returns a header's value if it is present and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// Returns the length of the body if the server sent it.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// Reads the body and truncates it to `limit` bytes.
    ///
    /// # Errors
    /// When the connection breaks or the read timeout passes.
    pub async fn bytes(self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let mut stream = std::pin::pin!(self.stream());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            let room = limit.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() >= limit {
                break;
            }
        }
        Ok(body)
    }

    /// Returns the body's chunks as they arrive. The stream ends after the first error.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let Self { inner, destination, read_timeout } = self;
        stream::unfold(Some(inner.bytes_stream()), move |chunks| {
            let destination = destination.clone();
            async move {
                let mut chunks = chunks?;
                match within(read_timeout, chunks.next()).await {
                    Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(chunks))),
                    Ok(Some(Err(error))) => Some((Err(failed(&destination, &error)), None)),
                    Ok(None) => None,
                    Err(_) => Some((Err(Error::TimedOut { destination }), None)),
                }
            }
        })
    }
}

/// The outbound HTTP client. Clones share connections and the ledger.
#[derive(Debug, Clone)]
pub struct Egress {
    ledger: Ledger,
    public: reqwest::Client,
    any: reqwest::Client,
    /// Whether the machine has root certificates. A minimal image has none and needs none before the first
    /// request over TLS.
    roots: bool,
}

impl Egress {
    /// Creates a client. It opens no connection before the first request.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, Error> {
        let ledger = Ledger::default();
        let any = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let public = || {
            let redirects = follow_public(ledger.clone());
            reqwest::Client::builder().redirect(redirects).dns_resolver(Arc::new(PublicResolver))
        };
        match build(public()) {
            Ok(public) => Ok(Self { public, any: build(any)?, roots: true, ledger }),
            Err(_) => Ok(Self {
                public: build(public().tls_certs_only([]))?,
                any: build(any.tls_certs_only([]))?,
                roots: false,
                ledger,
            }),
        }
    }

    /// Returns the ledger of connections.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Sends a request and returns when the response head arrives.
    ///
    /// # Errors
    /// When the URL is invalid, the policy refuses it, the server cannot be reached or a timeout passes. An
    /// HTTP error status is not an error here.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let url = parse(&request.url)?;
        let destination = destination_of(&url);
        let client = match request.trust {
            Trust::Caller if refused_literal(&url) => {
                return Err(Error::Refused { destination, reason: "it is not a public address" });
            }
            Trust::Caller => &self.public,
            Trust::Operator => &self.any,
        };
        if url.scheme() == "https" && !self.roots {
            let reason = "this machine has no root certificates: apt-get install ca-certificates";
            return Err(Error::Unreachable { destination, reason: reason.into() });
        }
        self.ledger.record(&destination);
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let read_timeout = request.read_timeout;
        let mut resends = if request.repeatable { RESENDS_MAX } else { 0 };
        loop {
            let mut builder = client.request(method.clone(), url.clone());
            for (name, value) in &request.headers {
                builder = builder.header(*name, value);
            }
            if let Body::Content(media_type, body) = &request.body {
                builder = builder.header("content-type", *media_type).body(body.clone());
            }
            if let Some(limit) = request.timeout {
                builder = builder.timeout(limit);
            }
            match within(read_timeout, builder.send()).await {
                Ok(Ok(inner)) => return Ok(Response { inner, destination, read_timeout }),
                Ok(Err(error)) if resends > 0 && was_closed(&error) => resends -= 1,
                Ok(Err(error)) => return Err(failed(&destination, &error)),
                Err(_) => return Err(Error::TimedOut { destination }),
            }
        }
    }
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
    let builder = builder.user_agent(concat!("lar/", env!("CARGO_PKG_VERSION")));
    let built = builder.connect_timeout(CONNECT_TIMEOUT).no_proxy().build();
    built.map_err(|error| Error::Unreachable { destination: "TLS".into(), reason: innermost(&error) })
}

/// Returns a policy that follows redirects to public addresses and records them in the ledger.
fn follow_public(ledger: Ledger) -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error("too many redirects");
        }
        if let Some(reason) = redirect_refusal(attempt.previous(), attempt.url()) {
            return attempt.error(reason);
        }
        ledger.record(&destination_of(attempt.url()));
        attempt.follow()
    })
}

/// Returns the reason to refuse a redirect, if any.
///
/// A redirect from https to http is refused, because an attacker on the network could replace the content.
fn redirect_refusal(previous: &[Url], next: &Url) -> Option<String> {
    if refused_literal(next) {
        return Some(format!("it redirects to {}, a private address", destination_of(next)));
    }
    let secure = previous.iter().any(|url| url.scheme() == "https");
    (secure && next.scheme() != "https").then(|| {
        let from = previous.last().map(destination_of).unwrap_or_default();
        format!("{from} redirects from https to {}://{}", next.scheme(), destination_of(next))
    })
}

/// Awaits `future` for at most `limit`.
async fn within<F: Future>(limit: Option<Duration>, future: F) -> Result<F::Output, Elapsed> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, future).await,
        None => Ok(future.await),
    }
}

fn parse(text: &str) -> Result<Url, Error> {
    let bad = |reason: String| Error::BadUrl { url: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        scheme => Err(bad(format!("its scheme is `{scheme}`"))),
    }
}

/// Checks that a text is a base URL: http or https, without a query or a fragment.
///
/// # Errors
/// [`Error::BadUrl`] with the reason.
pub fn check_base(text: &str) -> Result<(), Error> {
    let url = parse(text)?;
    match (url.query(), url.fragment()) {
        (None, None) => Ok(()),
        _ => {
            let reason = "it has a query or a fragment, so no path can be appended to it".into();
            Err(Error::BadUrl { url: text.to_owned(), reason })
        }
    }
}

pub(crate) fn destination_of(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// Returns whether the host is a literal address that is not public. Literal addresses bypass the resolver.
fn refused_literal(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => !is_public(IpAddr::V4(address)),
        Some(url::Host::Ipv6(address)) => !is_public(IpAddr::V6(address)),
        Some(url::Host::Domain(_)) | None => false,
    }
}

fn failed(destination: &str, error: &reqwest::Error) -> Error {
    let destination = destination.to_owned();
    if error.is_timeout() && !error.is_connect() {
        return Error::TimedOut { destination };
    }
    Error::Unreachable { destination, reason: innermost(error) }
}

/// Returns whether the server closed the connection before it answered.
fn was_closed(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let gone =
            |error: &io::Error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
            || error.downcast_ref::<io::Error>().is_some_and(gone)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A resolver that drops every address that is not public.
///
/// The client connects only to the addresses checked here, so DNS rebinding between the check and the
/// connection has no effect.
#[derive(Debug)]
struct PublicResolver;

impl reqwest::dns::Resolve for PublicResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the name does not resolve to a public address".into());
            }
            Ok(Box::new(public.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_repeatable_requests_are_resent_after_a_closed_connection() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        // Connections 0, 2, 4 … are closed without an answer.
        tokio::spawn(async move {
            for number in 0.. {
                let (mut socket, _) = listener.accept().await.unwrap();
                let _ = socket.read(&mut [0; 1024]).await;
                if number % 2 == 1 {
                    let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                }
            }
        });
        let egress = Egress::new().unwrap();
        let request = Request::new(Method::Post, url, Trust::Operator);
        assert_eq!(egress.send(request.clone().repeatable()).await.unwrap().status(), 204);
        let error = egress.send(request).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }

    #[test]
    fn redirects_to_http_from_https_or_to_private_addresses_are_refused() {
        let url = |text: &str| Url::parse(text).unwrap();
        let refused = |from: &str, to: &str| redirect_refusal(&[url(from)], &url(to));
        assert_eq!(refused("https://a.org/x", "https://b.org/y"), None);
        assert_eq!(refused("http://a.org/x", "http://b.org/y"), None);
        assert_eq!(refused("http://a.org/x", "https://b.org/y"), None);
        assert_eq!(
            refused("https://a.org/x", "http://b.org/y").as_deref(),
            Some("a.org:443 redirects from https to http://b.org:80")
        );
        assert_eq!(
            refused("https://a.org/x", "https://10.0.0.1/y").as_deref(),
            Some("it redirects to 10.0.0.1:443, a private address")
        );
        let back = [url("https://a.org/"), url("https://b.org/")];
        assert!(redirect_refusal(&back, &url("http://a.org/")).is_some());
    }

    #[tokio::test]
    async fn urls_from_callers_cannot_reach_private_addresses() {
        let egress = Egress::new().unwrap();
        for url in ["http://127.0.0.1:1/x", "http://[::1]/", "http://0x7f.1/", "http://169.254.169.254/"] {
            let error = egress.send(Request::new(Method::Get, url, Trust::Caller)).await.unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{url}: {error}");
        }
        let named = Request::new(Method::Get, "http://localhost:9/", Trust::Caller);
        let error = egress.send(named).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "localhost:9 could not be reached: the name does not resolve to a public address"
        );
        for url in ["ftp://example.org/", "file:///etc/passwd", "nonsense"] {
            let error = egress.send(Request::new(Method::Get, url, Trust::Caller)).await.unwrap_err();
            assert!(matches!(error, Error::BadUrl { .. }), "{url}: {error}");
        }
    }
}
