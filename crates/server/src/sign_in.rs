//! Sign-in of a browser: a link with a secret after `#`, exchanged once for a session cookie.
//!
//! The secret never reaches a server log or another site, because browsers do not send the part after `#`.
//! The links are in [`sign_in_links`].

use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_api::keys::{Me, SignIn, SignInLink};
use lar_base::{Bytes, Code, Problem, Timestamp, secret};
use lar_store::Store;

use crate::auth::{self, Admin, AuthState, Authenticated, SESSION_LENGTH};
use crate::body_limits::{BodyLimits, BodyReceiver};
use crate::errors::Failure;
use crate::keys::scope_to_wire;
use crate::request_extensions::Arrival;
use crate::sign_in_links::{self, Links};
use crate::{extract, origin_guard};

/// The maximum size of the body, which contains only a secret.
const BODY_BYTES_MAX: Bytes = Bytes(1024);
/// How long the body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

/// Create a sign-in link
///
/// The link signs in a browser once, within ten minutes. The session belongs to the key of this request.
#[utoipa::path(post, path = "/lar/v1/sign-in/links", tag = "keys", responses((status = 201, body = SignInLink)))]
pub(crate) async fn create_link(
    State(auth): State<AuthState>,
    State(links): State<Links>,
    Admin(caller): Admin,
) -> Response {
    let (secret, expires_at) = links.make(&auth.authenticator, caller.key());
    let link =
        SignInLink { url: sign_in_links::url(auth.address, &secret), expires_at: expires_at.to_string() };
    (StatusCode::CREATED, axum::Json(link)).into_response()
}

/// Sign in a browser
///
/// Exchanges the secret of a sign-in link for a session cookie.
#[utoipa::path(post, path = "/lar/v1/sign-in", tag = "keys", request_body = SignIn,
    responses((status = 204), (status = 401, body = lar_api::ProblemBody)))]
pub(crate) async fn exchange(
    State(store): State<Store>,
    State(auth): State<AuthState>,
    State(links): State<Links>,
    State(receiver): State<BodyReceiver>,
    arrival: Option<Extension<Arrival>>,
    request: Request,
) -> Result<Response, Failure> {
    // The caller is not authenticated yet, so only a small body is read, and only if it comes from Lar's
    // page.
    if !origin_guard::from_own_page(request.headers()) {
        return Err(Problem::new(Code::ForbiddenScope, "signing in works only from Lar's own page").into());
    }
    let limits = BodyLimits { bytes_max: BODY_BYTES_MAX, time_max: BODY_TIME_MAX };
    let sign_in: SignIn = extract::json(&receiver.bodies.receive(request, limits).await?)?;
    let used = || {
        Problem::new(
            Code::Unauthenticated,
            "this sign-in link was already used or has expired; create a new one with `lar open`",
        )
    };
    let key = links.take(&auth.authenticator.digest(&sign_in.secret)).ok_or_else(used)?;
    // The key may have been revoked or have expired since the link was created.
    auth.authenticator.check_usable(key).await?;
    let (port, secure) = (auth.address.port(), arrival.is_some_and(|arrival| arrival.0.secure));
    let session = secret::hex(&secret::random_bytes::<32>());
    let expires_at = Timestamp::now().after(SESSION_LENGTH);
    store.browser_session_create(key, auth.authenticator.digest(&session), expires_at).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(port, &session, SESSION_LENGTH, secure))])
        .into_response())
}

/// Sign out a browser
///
/// Ends the session of the request's cookie.
#[utoipa::path(post, path = "/lar/v1/sign-out", tag = "keys", responses((status = 204)))]
pub(crate) async fn sign_out(
    State(store): State<Store>,
    State(auth): State<AuthState>,
    headers: HeaderMap,
    _: Authenticated,
) -> Result<Response, Failure> {
    if let Some(session) = auth::cookie(&headers, auth.address.port()) {
        store.browser_session_remove(auth.authenticator.digest(session)).await?;
        auth.authenticator.forget();
    }
    let cookie = cookie(auth.address.port(), "", Duration::ZERO, false);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Show the caller
///
/// Returns the user, the key and the scopes of the request.
#[utoipa::path(get, path = "/lar/v1/me", tag = "keys", responses((status = 200, body = Me)))]
pub(crate) async fn me(Authenticated(caller): Authenticated) -> axum::Json<Me> {
    let scopes = caller.scopes().iter().map(scope_to_wire).collect();
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
    fn the_session_cookie_is_for_lars_own_page_only() {
        let flags = "Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000";
        let cookie = |secure| cookie(5270, "abc", SESSION_LENGTH, secure);
        assert_eq!(cookie(false), format!("lar_session_5270=abc; {flags}"));
        assert_eq!(cookie(true), format!("lar_session_5270=abc; {flags}; Secure"));
    }
}
