//! `Idempotency-Key`: a creating request that is sent again within a day creates nothing new.
//!
//! Its response has the object that the first request created. The same key with another body is an error.
//! The store records the created object in the transaction that creates it. Pulls, aliases, loads and ratings
//! need no record, because repeating them changes nothing.

use std::str::FromStr;

use axum::extract::{FromRef, FromRequest, Request};
use axum::http::HeaderValue;
use axum::response::Response;
use lar_base::{Caller, Problem};
use lar_store::{IdempotentRequest, Store};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::body_limits::BodyReceiver;
use crate::errors::Failure;
use crate::extract;

/// The request header with the idempotency key.
const HEADER: &str = "idempotency-key";
/// The response header that marks the response to a repeated request.
const REPLAYED: &str = "idempotent-replayed";
/// The maximum length of an idempotency key.
pub(crate) const NAME_CHARS_MAX: usize = 255;

/// The JSON body of a creating request that the caller may send again.
pub(crate) struct IdempotentJson<T> {
    pub(crate) body: T,
    name: Option<String>,
    fingerprint: [u8; 32],
}

impl<T> IdempotentJson<T> {
    /// Returns the body, and the identity by which Lar recognizes the request if `caller` sends it again.
    pub(crate) fn into_parts(self, caller: &Caller) -> (T, Option<IdempotentRequest>) {
        let Self { body, name, fingerprint } = self;
        (body, name.map(|name| IdempotentRequest { key: caller.key(), name, fingerprint }))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for IdempotentJson<T>
where
    BodyReceiver: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let name = request.headers().get(HEADER).map(name).transpose()?;
        let mut hash = Sha256::new();
        hash.update(request.uri().path());
        hash.update([0]);
        let bytes = extract::receive_json(request, &BodyReceiver::from_ref(state)).await?;
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

/// Returns the id of the object that this request created when it was first sent.
pub(crate) async fn earlier_id<T: FromStr>(
    store: &Store,
    once: Option<&IdempotentRequest>,
) -> Result<Option<T>, Problem> {
    let Some(once) = once else { return Ok(None) };
    let found = store.idempotency_find(once.clone()).await?;
    Ok(found.and_then(|id| id.parse().ok()))
}

/// Marks a response as the response to a repeated request.
pub(crate) fn mark_replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
