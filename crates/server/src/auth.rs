//! The authentication of requests: an API key in a header, or the session cookie of a browser. A session belongs
//! to a key.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use lar_base::{Caller, Code, Problem, Scope, Scopes};

use crate::authenticator::{Authenticator, NEVER_KEYLESS, SECRET_START};
use crate::errors::Failure;
use crate::key_activity::KeyActivity;
use crate::listen::ConnectionHandle;
use crate::origin_guard;
use crate::rate_limit::RateLimiter;
use crate::request_extensions::{Arrival, CallerSlot, CurrentRequestId, RecognizedKey};

/// How long a browser stays signed in.
pub(crate) const SESSION_LENGTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// The part of the shared state that authenticates requests.
#[derive(Clone)]
pub(crate) struct AuthState {
    pub(crate) authenticator: Authenticator,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) key_activity: KeyActivity,
    /// The address at which this machine reaches the server.
    pub(crate) address: SocketAddr,
}

/// An authenticated request within its key's rate limit.
pub(crate) struct Authenticated(pub(crate) Caller);

impl<S> FromRequestParts<S> for Authenticated
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let auth = AuthState::from_ref(state);
        let arrival = parts.extensions.get::<Arrival>().cloned().unwrap_or_default();
        let sent = (bearer(&parts.headers), cookie(&parts.headers, auth.address.port()));
        let mut keyless = false;
        let key = match (sent, &arrival.key) {
            // Apps that cannot leave the key out send a made-up one.
            ((Some(secret), _), Some(own)) if !secret.starts_with(SECRET_START) => {
                keyless = true;
                auth.authenticator.by_key(own.expose()).await?
            }
            ((Some(secret), _), _) => auth.authenticator.by_key(secret).await?,
            ((None, _), Some(own)) => {
                keyless = true;
                auth.authenticator.by_key(own.expose()).await?
            }
            ((None, Some(session)), None) => {
                // A browser names the origin of an unsafe request. Without it, the request is not from Lar's
                // page.
                if !parts.method.is_safe() && !origin_guard::from_own_page(&parts.headers) {
                    return Err(Problem::new(
                        Code::ForbiddenScope,
                        "a session cookie works only from Lar's own page; send an API key instead",
                    )
                    .into());
                }
                auth.authenticator.by_session(session).await?
            }
            ((None, None), None) => {
                let detail = "the request has no API key; send `Authorization: Bearer lar_…`. Create a key \
                              with `lar keys create NAME`, or sign in a browser with `lar open`";
                return Err(Problem::new(Code::Unauthenticated, detail).into());
            }
        };
        if let Some(connection) = parts.extensions.get::<ConnectionHandle>() {
            connection.mark_in_use();
        }
        auth.key_activity.record(key.id);
        let rate_limit = auth.rate_limiter.take(key.id, key.requests_per_minute);
        let allowed = |scope: &Scope| !(keyless && NEVER_KEYLESS.contains(scope));
        let scopes = Scopes::of(key.scopes.iter().filter(allowed));
        if let Some(caller_slot) = parts.extensions.get::<CallerSlot>() {
            caller_slot.set(RecognizedKey {
                key: key.id,
                rate_limit,
                is_admin: scopes.contains(Scope::Admin),
            });
        }
        rate_limit.map_or(Ok(()), |rate_limit| rate_limit.check())?;
        let caller = Caller::authenticated(key.user, key.id, key.agent.clone(), scopes, key.memory);
        let request_id = parts.extensions.get::<CurrentRequestId>().map(|CurrentRequestId(id)| id.clone());
        Ok(Self(caller.with_request_id(request_id)))
    }
}

/// An authenticated request of a key with the scope `admin`.
pub(crate) struct Admin(pub(crate) Caller);

impl<S> FromRequestParts<S> for Admin
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        caller.require(Scope::Admin)?;
        Ok(Self(caller))
    }
}

/// An authenticated request of a key with the scope `inference`.
pub(crate) struct Inference(pub(crate) Caller);

impl<S> FromRequestParts<S> for Inference
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        caller.require(Scope::Inference)?;
        Ok(Self(caller))
    }
}

/// An authenticated request of a key with the scope `conversations`.
pub(crate) struct Conversing(pub(crate) Caller);

impl<S> FromRequestParts<S> for Conversing
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        caller.require(Scope::Conversations)?;
        Ok(Self(caller))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text("authorization").and_then(|value| value.split_once(' '));
    // Another scheme, such as `Basic`, is for a reverse proxy.
    let secret = authorization.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    secret.map(|(_, secret)| secret.trim()).or_else(|| text("x-api-key"))
}

/// Returns the name of the session cookie. The name has the port, because browsers share cookies between
/// ports.
pub(crate) fn cookie_name(port: u16) -> String {
    format!("lar_session_{port}")
}

/// Returns the session secret in a request's cookies.
pub(crate) fn cookie(headers: &HeaderMap, port: u16) -> Option<&str> {
    let name = cookie_name(port);
    headers
        .get_all("cookie")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name.as_str())?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_next_to_the_authorization_of_a_proxy() {
        let found = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            bearer(&headers).map(ToOwned::to_owned)
        };
        let key = Some("lar_a".to_owned());
        assert_eq!(found(&[("authorization", "Bearer lar_a"), ("x-api-key", "lar_b")]), key);
        assert_eq!(found(&[("authorization", "Basic dTpw"), ("x-api-key", "lar_a")]), key);
        assert_eq!(found(&[("authorization", "lar_b"), ("x-api-key", "lar_a")]), key);
        assert_eq!(found(&[("authorization", "Basic dTpw")]), None);
    }
}
