//! The limits of the HTTP server.

use std::time::Duration;

use lar_base::Bytes;

/// The limits of the HTTP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a request body.
    pub body: Bytes,
    /// The maximum size of all request bodies together. A body over 16 KiB counts until its prompt is
    /// tokenized or the request is answered.
    pub bodies: Bytes,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a TLS handshake and a request's head may each take, and how long an idle connection stays
    /// open.
    pub head_timeout: Duration,
    /// The maximum number of open connections. At the limit, a new connection replaces the one that has been
    /// idle longest, and is refused if none is idle.
    pub connections: usize,
    /// The maximum number of open connections per IPv4 address or IPv6 /64 network. Loopback connections may
    /// take seven eighths of `connections` instead.
    pub connections_per_address: usize,
    /// The rate limit of keys that have no limit of their own, in requests per minute; 0 means no limit.
    pub requests_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: Bytes::mib(16),
            bodies: Bytes::mib(128),
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            connections: 2048,
            connections_per_address: 512,
            requests_per_minute: 0,
        }
    }
}
