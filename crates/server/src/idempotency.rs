//! `Idempotency-Key`: a creating request that is sent again within a day makes nothing new and is answered
//! with what the first one made. Who sends the same key with another body is told so.
//!
//! What was made is noted by `store` in the transaction that makes it. Pulls, aliases, loads and ratings
//! need no note: repeating them changes nothing.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderValue;
use axum::response::Response;
use lar_base::{Caller, Problem};
use lar_store::IdempotentRequest;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::App;
use crate::errors::Failure;
use crate::extract;

/// The request's header.
const HEADER: &str = "idempotency-key";
/// Tells that an answer is one given before.
const REPLAYED: &str = "idempotent-replayed";
/// Characters of a key at most.
pub(crate) const NAME_CHARS_MAX: usize = 255;

/// The JSON body of a creating request, which its caller may send again.
pub(crate) struct IdempotentJson<T> {
    pub(crate) body: T,
    name: Option<String>,
    fingerprint: [u8; 32],
}

impl<T> IdempotentJson<T> {
    /// The body, and what the request is known by when `caller` sends it again.
    pub(crate) fn into_parts(self, caller: &Caller) -> (T, Option<IdempotentRequest>) {
        let Self { body, name, fingerprint } = self;
        (body, name.map(|name| IdempotentRequest { key: caller.key(), name, fingerprint }))
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for IdempotentJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let name = request.headers().get(HEADER).map(name).transpose()?;
        let mut hash = Sha256::new();
        hash.update(request.uri().path());
        hash.update([0]);
        let bytes = extract::body(request, app).await?;
        hash.update(&*bytes);
        Ok(Self { body: extract::json(&bytes)?, name, fingerprint: hash.finalize().into() })
    }
}

fn name(value: &HeaderValue) -> Result<String, Problem> {
    let text = value.to_str().ok().map(|text| text.trim().trim_matches('"'));
    match text {
        Some(text) if (1..=NAME_CHARS_MAX).contains(&text.len()) => Ok(text.to_owned()),
        _ => Err(Problem::invalid(
            "Idempotency-Key",
            format!("must be 1 to {NAME_CHARS_MAX} visible ASCII characters"),
        )),
    }
}

/// The id of what this request made when it was sent before.
pub(crate) async fn earlier_id<T: FromStr>(
    app: &App,
    once: Option<&IdempotentRequest>,
) -> Result<Option<T>, Problem> {
    let Some(once) = once else { return Ok(None) };
    let found = app.store.idempotency_find(once.clone()).await?;
    Ok(found.and_then(|id| id.parse().ok()))
}

/// Marks an answer as one that was given before.
pub(crate) fn mark_replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
