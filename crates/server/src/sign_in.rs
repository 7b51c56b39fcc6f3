//! Signing a browser in: a link with a secret behind `#`, exchanged once for a session's cookie.
//!
//! The secret never reaches a server log or another site: browsers do not send what is behind `#`. Links
//! live in memory for ten minutes.

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

/// A secret and its JSON are shorter.
const BODY_BYTES_MAX: Bytes = Bytes(1024);
/// How long it may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a link is good for.
const LINK_LENGTH: Duration = Duration::from_secs(600);
/// Links that are good at the same time.
const LINKS_MAX: usize = 16;

/// The links that have not been used.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<HashMap<[u8; 32], (KeyId, Timestamp)>>);

impl Links {
    /// Makes a link's secret for a session that will stand on `key`.
    pub(crate) fn make(&self, auth: &auth::Authenticator, key: KeyId) -> (String, Timestamp) {
        let secret = secret::hex(&secret::random_bytes::<32>());
        let (now, mut links) = (Timestamp::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        links.retain(|_, (_, expires_at)| *expires_at > now);
        if links.len() >= LINKS_MAX
            && let Some(oldest) = links.iter().min_by_key(|(_, (_, at))| *at).map(|(digest, _)| *digest)
        {
            links.remove(&oldest);
        }
        let expires_at = now.after(LINK_LENGTH);
        links.insert(auth.digest(&secret), (key, expires_at));
        (secret, expires_at)
    }

    /// Forgets the links whose sessions would stand on a key that was revoked.
    pub(crate) fn remove_of(&self, key: KeyId) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, (other, _)| *other != key);
    }

    fn take(&self, digest: &[u8; 32]) -> Option<KeyId> {
        let (key, expires_at) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest)?;
        (expires_at > Timestamp::now()).then_some(key)
    }
}

/// Where a link leads.
pub(crate) fn url(app: &App, secret: &str) -> String {
    format!("http://{}/#sign-in={secret}", app.address)
}

/// Makes a link that signs a browser in, once.
#[utoipa::path(post, path = "/lar/v1/sign-in/links", tag = "keys", responses((status = 201, body = SignInLink)))]
pub(crate) async fn create_link(app: State, Admin(caller): Admin) -> Response {
    let (secret, expires_at) = app.links.make(&app.authenticator, caller.key());
    let link = SignInLink { url: url(&app, &secret), expires_at: expires_at.to_string() };
    (StatusCode::CREATED, axum::Json(link)).into_response()
}

/// Exchanges a link's secret for a session.
#[utoipa::path(post, path = "/lar/v1/sign-in", tag = "keys", request_body = SignIn,
    responses((status = 204), (status = 401, body = lar_api::ProblemBody)))]
pub(crate) async fn exchange(
    app: State,
    arrival: Option<Extension<Arrival>>,
    request: Request,
) -> Result<Response, Failure> {
    // Nobody is known yet, so nothing is read for strangers but these few bytes, and of our own page only.
    if !origin_guard::from_own_page(request.headers()) {
        return Err(Problem::new(Code::ForbiddenScope, "signing in works from Lar's own page only").into());
    }
    let limits = BodyLimits { bytes_max: BODY_BYTES_MAX, time_max: BODY_TIME_MAX };
    let sign_in: SignIn = extract::json(&app.bodies.receive(request, limits).await?)?;
    let used = || {
        Problem::new(
            Code::Unauthenticated,
            "this link was used already or is older than ten minutes; make another: `lar open`",
        )
    };
    let key = app.links.take(&app.authenticator.digest(&sign_in.secret)).ok_or_else(used)?;
    // A key may have been revoked, or have ended, since the link was made.
    app.authenticator.check_usable(key).await?;
    let secure = arrival.is_some_and(|arrival| arrival.0.secure);
    let session = secret::hex(&secret::random_bytes::<32>());
    let expires_at = Timestamp::now().after(SESSION_LENGTH);
    app.store.browser_session_create(key, app.authenticator.digest(&session), expires_at).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&app, &session, SESSION_LENGTH, secure))])
        .into_response())
}

/// Ends the browser's session.
#[utoipa::path(post, path = "/lar/v1/sign-out", tag = "keys", responses((status = 204)))]
pub(crate) async fn sign_out(app: State, headers: HeaderMap, _: Authenticated) -> Result<Response, Failure> {
    if let Some(session) = auth::cookie(&headers, app.address.port()) {
        app.store.browser_session_remove(app.authenticator.digest(session)).await?;
        app.authenticator.forget();
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&app, "", Duration::ZERO, false))])
        .into_response())
}

/// Who is calling.
#[utoipa::path(get, path = "/lar/v1/me", tag = "keys", responses((status = 200, body = Me)))]
pub(crate) async fn me(Authenticated(caller): Authenticated) -> axum::Json<Me> {
    let scopes = caller.scopes().iter().map(|scope| scope.to_string()).collect();
    axum::Json(Me { user_id: caller.user().to_string(), key_id: caller.key().to_string(), scopes })
}

fn cookie(app: &App, session: &str, length: Duration, secure: bool) -> HeaderValue {
    let name = auth::cookie_name(app.address.port());
    let secure = if secure { "; Secure" } else { "" };
    let length = length.as_secs();
    let text = format!("{name}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={length}{secure}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
