//! Sign-in of a browser: a link with a secret after `#`, exchanged once for a session cookie.
//!
//! The secret never reaches a server log or another site, because browsers do not send the part after `#`.
//! Links are only in memory and expire after ten minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_api::keys::{Me, SignIn, SignInLink};
use lar_base::{Bytes, Code, KeyId, Problem, Timestamp, secret};

use crate::auth::{self, Admin, Authenticated, SESSION_LENGTH};
use crate::bodies::BodyLimits;
use crate::errors::Failure;
use crate::extract;
use crate::listen::Arrival;
use crate::{App, State, origin_guard};

/// The maximum size of the body, which contains only a secret.
const BODY_BYTES_MAX: Bytes = Bytes(1024);
/// How long the body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a link is valid.
const LINK_LENGTH: Duration = Duration::from_secs(600);
/// The maximum number of valid links. At the limit, a new link replaces the oldest.
const LINKS_MAX: usize = 16;

/// The unused links.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<HashMap<[u8; 32], (KeyId, Timestamp)>>);

impl Links {
    /// Creates the secret of a link whose session will belong to `key`, and returns it with its expiry.
    pub(crate) fn make(&self, auth: &auth::Authenticator, key: KeyId) -> (String, Timestamp) {
        let secret = secret::hex(&secret::random_bytes::<32>());
        let expires_at = self.add(auth.digest(&secret), key);
        (secret, expires_at)
    }

    fn add(&self, digest: [u8; 32], key: KeyId) -> Timestamp {
        let (now, mut links) = (Timestamp::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        links.retain(|_, (_, expires_at)| *expires_at > now);
        if links.len() >= LINKS_MAX
            && let Some(oldest) = links.iter().min_by_key(|(_, (_, at))| *at).map(|(digest, _)| *digest)
        {
            links.remove(&oldest);
        }
        let expires_at = now.after(LINK_LENGTH);
        links.insert(digest, (key, expires_at));
        expires_at
    }

    /// Removes the links of a revoked key.
    pub(crate) fn remove_of(&self, key: KeyId) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, (other, _)| *other != key);
    }

    fn take(&self, digest: &[u8; 32]) -> Option<KeyId> {
        let (key, expires_at) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest)?;
        (expires_at > Timestamp::now()).then_some(key)
    }
}

/// Returns the URL of a link.
pub(crate) fn url(app: &App, secret: &str) -> String {
    format!("http://{}/#sign-in={secret}", app.address)
}

/// Create a sign-in link
///
/// The link signs in a browser once, within ten minutes. The session belongs to the key of this request.
#[utoipa::path(post, path = "/lar/v1/sign-in/links", tag = "keys", responses((status = 201, body = SignInLink)))]
pub(crate) async fn create_link(app: State, Admin(caller): Admin) -> Response {
    let (secret, expires_at) = app.links.make(&app.authenticator, caller.key());
    let link = SignInLink { url: url(&app, &secret), expires_at: expires_at.to_string() };
    (StatusCode::CREATED, axum::Json(link)).into_response()
}

/// Sign in a browser
///
/// Exchanges the secret of a sign-in link for a session cookie.
#[utoipa::path(post, path = "/lar/v1/sign-in", tag = "keys", request_body = SignIn,
    responses((status = 204), (status = 401, body = lar_api::ProblemBody)))]
pub(crate) async fn exchange(
    app: State,
    arrival: Option<Extension<Arrival>>,
    request: Request,
) -> Result<Response, Failure> {
    // The caller is not authenticated yet, so only a small body is read, and only if it comes from Lar's
    // page.
    if !origin_guard::from_own_page(request.headers()) {
        return Err(Problem::new(Code::ForbiddenScope, "signing in works only from Lar's own page").into());
    }
    let limits = BodyLimits { bytes_max: BODY_BYTES_MAX, time_max: BODY_TIME_MAX };
    let sign_in: SignIn = extract::json(&app.bodies.receive(request, limits).await?)?;
    let used = || {
        Problem::new(
            Code::Unauthenticated,
            "this sign-in link was already used or has expired; create a new one with `lar open`",
        )
    };
    let key = app.links.take(&app.authenticator.digest(&sign_in.secret)).ok_or_else(used)?;
    // The key may have been revoked or have expired since the link was created.
    app.authenticator.check_usable(key).await?;
    let (port, secure) = (app.address.port(), arrival.is_some_and(|arrival| arrival.0.secure));
    let session = secret::hex(&secret::random_bytes::<32>());
    let expires_at = Timestamp::now().after(SESSION_LENGTH);
    app.store.browser_session_create(key, app.authenticator.digest(&session), expires_at).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(port, &session, SESSION_LENGTH, secure))])
        .into_response())
}

/// Sign out a browser
///
/// Ends the session of the request's cookie.
#[utoipa::path(post, path = "/lar/v1/sign-out", tag = "keys", responses((status = 204)))]
pub(crate) async fn sign_out(app: State, headers: HeaderMap, _: Authenticated) -> Result<Response, Failure> {
    if let Some(session) = auth::cookie(&headers, app.address.port()) {
        app.store.browser_session_remove(app.authenticator.digest(session)).await?;
        app.authenticator.forget();
    }
    let cookie = cookie(app.address.port(), "", Duration::ZERO, false);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Show the caller
///
/// Returns the user, the key and the scopes of the request.
#[utoipa::path(get, path = "/lar/v1/me", tag = "keys", responses((status = 200, body = Me)))]
pub(crate) async fn me(Authenticated(caller): Authenticated) -> axum::Json<Me> {
    let scopes = caller.scopes().iter().map(|scope| scope.to_string()).collect();
    axum::Json(Me { user_id: caller.user().to_string(), key_id: caller.key().to_string(), scopes })
}

fn cookie(port: u16, session: &str, length: Duration, secure: bool) -> HeaderValue {
    let name = auth::cookie_name(port);
    let secure = if secure { "; Secure" } else { "" };
    let length = length.as_secs();
    let text = format!("{name}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={length}{secure}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once_and_for_ten_minutes() {
        let (links, key) = (Links::default(), KeyId::new());
        let before = Timestamp::now();
        let expires_at = links.add([1; 32], key);
        let minutes = Duration::from_secs(600);
        assert!((before.after(minutes)..=Timestamp::now().after(minutes)).contains(&expires_at));
        assert_eq!(
            (links.take(&[2; 32]), links.take(&[1; 32]), links.take(&[1; 32])),
            (None, Some(key), None)
        );

        links.0.lock().unwrap().insert([1; 32], (key, Timestamp::from_millis(1)));
        assert_eq!(links.take(&[1; 32]), None, "the link has expired");
        links.add([1; 32], key);
        links.remove_of(key);
        assert_eq!(links.take(&[1; 32]), None, "the key was revoked");
    }

    #[test]
    fn the_session_cookie_is_for_lars_own_page_only() {
        let flags = "Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000";
        let cookie = |secure| cookie(5270, "abc", SESSION_LENGTH, secure);
        assert_eq!(cookie(false), format!("lar_session_5270=abc; {flags}"));
        assert_eq!(cookie(true), format!("lar_session_5270=abc; {flags}; Secure"));
    }
}
