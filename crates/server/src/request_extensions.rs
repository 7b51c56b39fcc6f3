//! The facts that the middleware attaches to a request, for the extractors and handlers inside it.

use std::sync::{Arc, OnceLock};

use axum::extract::{OriginalUri, Request};
use lar_base::{KeyId, Secret};

use crate::rate_limit::RateLimitStatus;

/// The maximum number of characters that an error shows of a path.
const SHOWN_CHARS_MAX: usize = 200;

/// Returns the whole path of a request. A nested router's own path lacks the prefix of the router.
pub(crate) fn full_path(request: &Request) -> &str {
    request
        .extensions()
        .get::<OriginalUri>()
        .map_or_else(|| request.uri().path(), |OriginalUri(uri)| uri.path())
}

/// Returns the whole path of a request as an error shows it.
pub(crate) fn shown_path(request: &Request) -> String {
    full_path(request).chars().take(SHOWN_CHARS_MAX).collect()
}

/// A request extension: the properties of the listener that the request arrived at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrival {
    /// The key of requests that have none.
    pub(crate) key: Option<Arc<Secret>>,
    /// Whether the listener uses TLS.
    pub(crate) secure: bool,
}

/// A request extension: the id of the request, for the authenticator.
#[derive(Debug, Clone)]
pub(crate) struct CurrentRequestId(pub(crate) Arc<str>);

/// A request extension in which the authenticator stores the key, for the log and the response headers.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerSlot(Arc<OnceLock<RecognizedKey>>);

/// A key that the authenticator recognized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecognizedKey {
    pub(crate) key: KeyId,
    /// The state of the key's rate limit; `None` if the key has no limit.
    pub(crate) rate_limit: Option<RateLimitStatus>,
    /// Whether the request has the scope `admin`.
    pub(crate) is_admin: bool,
}

impl CallerSlot {
    /// Returns the recognized key, or `None` before the authenticator has recognized it.
    pub(crate) fn get(&self) -> Option<&RecognizedKey> {
        self.0.get()
    }

    /// Returns the id of the recognized key.
    pub(crate) fn key(&self) -> Option<KeyId> {
        self.get().map(|caller| caller.key)
    }

    pub(crate) fn set(&self, caller: RecognizedKey) {
        let _ = self.0.set(caller);
    }
}
