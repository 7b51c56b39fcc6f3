//! Receives request bodies: checks the media type, and the limits of size and time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::header;
use futures_util::StreamExt as _;
use lar_base::{Code, Problem};

use crate::api::Api;
use crate::body_limits::{BodyLimits, BodyReceiver, ReceivedBody, check_values};
use crate::errors::Failure;

/// The media type of JSON bodies.
const JSON: &str = "application/json";
/// The media type of bodies with one JSON value per line.
pub(crate) const JSON_LINES: &str = "application/x-ndjson";
/// The maximum size in bytes of an oversized body that is read and discarded.
///
/// Some clients send the whole body before they read the response.
const DISCARD_MAX: u64 = 64 << 20;
/// The maximum time for discarding a body.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// Receives a JSON body within the server's limits of size and time.
///
/// # Errors
/// [`Code::UnsupportedMedia`] if the media type is not JSON, except on paths that accept any type. Otherwise
/// the errors of [`crate::body_limits::BodyBudget::receive`] and [`check_values`].
pub(crate) async fn receive_json(request: Request, receiver: &BodyReceiver) -> Result<ReceivedBody, Problem> {
    receive(request, receiver, JSON).await
}

/// A received JSON body that is not decoded yet.
pub(crate) struct JsonBody(pub(crate) ReceivedBody);

impl<S: Send + Sync> FromRequest<S> for JsonBody
where
    BodyReceiver: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        Ok(Self(receive_json(request, &BodyReceiver::from_ref(state)).await?))
    }
}

/// Receives a body of the given media type, like [`receive_json`].
pub(super) async fn receive(
    request: Request,
    receiver: &BodyReceiver,
    media_type: &str,
) -> Result<ReceivedBody, Problem> {
    let BodyReceiver { bodies, limits } = receiver;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let fits = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == media_type || (media_type == JSON && kind.ends_with("+json"))
    });
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let named = length.is_some() || kind.is_some();
    if !fits && length != Some(0) && named && !takes_any_type(&request) {
        return Err(Problem::new(Code::UnsupportedMedia, format!("the body must be {media_type}")));
    }
    if length.is_some_and(|length| length > limits.body.get() && length <= DISCARD_MAX)
        && !request.headers().contains_key(header::EXPECT)
    {
        discard(request.into_body()).await;
        return Err(Problem::new(
            Code::BodyTooLarge,
            format!("the body is larger than the limit of {}", limits.body),
        ));
    }
    let limits = BodyLimits { bytes_max: limits.body, time_max: limits.body_timeout };
    let body = bodies.receive(request, limits).await?;
    if media_type == JSON {
        check_values(&body)?;
    }
    Ok(body)
}

/// Returns whether the API that the request is for reads a body of any media type as JSON.
fn takes_any_type(request: &Request) -> bool {
    let has_key =
        request.headers().contains_key(header::AUTHORIZATION) || request.headers().contains_key("x-api-key");
    request.extensions().get::<Api>().is_some_and(|api| api.takes_any_media_type(has_key))
}

/// Reads and discards a body, up to [`DISCARD_MAX`] bytes.
async fn discard(body: Body) {
    let reading = async {
        let (mut parts, mut read) = (body.into_data_stream(), 0);
        while let Some(Ok(part)) = parts.next().await {
            read += part.len() as u64;
            if read > DISCARD_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}
