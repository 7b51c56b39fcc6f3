//! Who is calling: a key in a header, or a browser session's cookie that stands on one.
//!
//! Secrets are 256 random bits and are stored as HMAC-SHA-256 under a key of the data directory. A lookup
//! is by that HMAC, so comparing takes the same time whatever was sent. Known keys are kept in memory and
//! forgotten when one is revoked; there is one server per data directory, so nobody else can revoke one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lar_base::{Caller, Code, MemoryMode, Problem, Scope, Secret, Timestamp, secret};
use lar_store::{KeyRecord, NewKey, Store};
use sha2::Sha256;

use crate::errors::Failure;
use crate::frame::CalledBy;
use crate::listen::Arrived;
use crate::{App, protect};

/// Keys kept in memory; the rest are looked up.
const KNOWN_MAX: usize = 10_000;
/// How long a browser stays signed in.
pub(crate) const SESSION_LENGTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// What secrets of ours begin with.
const SECRET_START: &str = "lar_";
/// A longer secret is none of ours.
const SECRET_CHARS_MAX: usize = 256;

/// Makes a new key's secret.
#[must_use]
pub fn new_secret() -> Secret {
    Secret::new(format!("{SECRET_START}{}", secret::hex(&secret::random_bytes::<32>())))
}

/// Recognises secrets. Clones share what is known.
#[derive(Debug, Clone)]
pub struct Authenticator {
    store: Store,
    pepper: Arc<Secret>,
    known: Arc<Mutex<HashMap<[u8; 32], Known>>>,
}

#[derive(Debug, Clone)]
struct Known {
    key: Arc<KeyRecord>,
    /// When the session ends; keys have their own end.
    session_expires_at: Option<Timestamp>,
}

impl Authenticator {
    /// An authenticator whose HMAC key is `pepper`.
    #[must_use]
    pub fn new(store: Store, pepper: Secret) -> Self {
        Self { store, pepper: Arc::new(pepper), known: Arc::default() }
    }

    /// What is stored in place of a secret.
    #[must_use]
    pub fn digest(&self, secret: &str) -> [u8; 32] {
        let mut mac = <Hmac<Sha256>>::new_from_slice(self.pepper.expose().as_bytes())
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Stores the owner's key if it is not there yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ensure_owner_key(&self, secret: &Secret) -> Result<KeyRecord, lar_store::Error> {
        let user = self.store.owner().await?;
        let key = NewKey {
            user,
            name: "owner".into(),
            agent: None,
            digest: self.digest(secret.expose()),
            scopes: lar_base::Scopes::all(),
            requests_per_minute: None,
            memory: MemoryMode::Off,
            client: None,
            expires_at: None,
        };
        self.store.key_create(key, None).await
    }

    /// Checks that requests without a key may be given this one: it is good, and may not administrate.
    ///
    /// # Errors
    /// Why it is not for that.
    pub async fn check_listeners_key(&self, secret: &Secret) -> Result<(), Problem> {
        let key = self.by_key(secret.expose()).await?;
        if key.scopes.contains(Scope::Admin) {
            let detail = format!(
                "the key {} may administrate; make one that may not: lar keys create NAME --scopes inference",
                key.id
            );
            return Err(Problem::new(Code::ForbiddenScope, detail));
        }
        Ok(())
    }

    /// Forgets what is known of all keys, after one was revoked or a session ended.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    async fn by_key(&self, secret: &str) -> Result<Arc<KeyRecord>, Problem> {
        let unknown = || Problem::new(Code::Unauthenticated, "the key is unknown or was revoked");
        if secret.len() > SECRET_CHARS_MAX {
            return Err(unknown());
        }
        let digest = self.digest(secret);
        if let Some(known) = self.recall(&digest) {
            return Ok(known.key);
        }
        let key = self.store.key_by_digest(digest).await?.ok_or_else(unknown)?;
        self.learn(digest, Known { key: Arc::new(key), session_expires_at: None })
    }

    async fn by_session(&self, cookie: &str) -> Result<Arc<KeyRecord>, Problem> {
        let ended = || {
            Problem::new(
                Code::Unauthenticated,
                "the browser's session has ended; open a new link: `lar open`",
            )
        };
        let digest = self.digest(cookie);
        if let Some(known) = self.recall(&digest) {
            return Ok(known.key);
        }
        let session = self.store.browser_session_by_digest(digest).await?.ok_or_else(ended)?;
        let key = self.store.key_get(session.key).await?.ok_or_else(ended)?;
        self.learn(digest, Known { key: Arc::new(key), session_expires_at: Some(session.expires_at) })
    }

    fn recall(&self, digest: &[u8; 32]) -> Option<Known> {
        let known = self.lock().get(digest).cloned()?;
        usable(&known).is_ok().then_some(known)
    }

    fn learn(&self, digest: [u8; 32], known: Known) -> Result<Arc<KeyRecord>, Problem> {
        usable(&known)?;
        let mut all = self.lock();
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        let key = known.key.clone();
        all.insert(digest, known);
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable(known: &Known) -> Result<(), Problem> {
    let now = Timestamp::now();
    let past = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
    if known.key.revoked_at.is_some() {
        return Err(Problem::new(Code::Unauthenticated, "the key is unknown or was revoked"));
    }
    if past(known.key.expires_at) {
        return Err(Problem::new(
            Code::Unauthenticated,
            format!("the key {} has expired", known.key.fingerprint),
        ));
    }
    if past(known.session_expires_at) {
        return Err(Problem::new(
            Code::Unauthenticated,
            "the browser's session has ended; open a new link: `lar open`",
        ));
    }
    Ok(())
}

/// An authenticated request, within its key's rate.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Authenticated {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let arrived = parts.extensions.get::<Arrived>().cloned().unwrap_or_default();
        let sent = (bearer(&parts.headers), cookie(&parts.headers, app.address.port()));
        let key = match (sent, &arrived.key) {
            // Apps that insist on a key of any kind send one of their own making.
            ((Some(secret), _), Some(own)) if !secret.starts_with(SECRET_START) => {
                app.authenticator.by_key(own.expose()).await?
            }
            ((Some(secret), _), _) => app.authenticator.by_key(secret).await?,
            ((None, _), Some(own)) => app.authenticator.by_key(own.expose()).await?,
            ((None, Some(session)), None) => {
                // Browsers tell where an unsafe request comes from; what does not is no browser.
                if !parts.method.is_safe() && !protect::from_own_page(&parts.headers) {
                    return Err(Problem::new(
                        Code::ForbiddenScope,
                        "a session's cookie works from Lar's own page only",
                    )
                    .into());
                }
                app.authenticator.by_session(session).await?
            }
            ((None, None), None) => {
                let detail = "a key is needed: `Authorization: Bearer lar_…`; the owner's is in owner.key in the data directory";
                return Err(Problem::new(Code::Unauthenticated, detail).into());
            }
        };
        app.seen.note(key.id);
        let standing = app.rates.take(key.id, key.requests_per_minute);
        if let Some(called_by) = parts.extensions.get::<CalledBy>() {
            called_by.is(key.id, standing);
        }
        standing.map_or(Ok(()), |standing| standing.check())?;
        Ok(Self(Caller {
            user: key.user,
            key: key.id,
            agent: key.agent.clone(),
            scopes: key.scopes.clone(),
            memory: key.memory,
        }))
    }
}

/// An authenticated request of a key that may administrate.
pub(crate) struct Admin(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        caller.require(Scope::Admin)?;
        Ok(Self(caller))
    }
}

/// An authenticated request of a key that may use models.
pub(crate) struct Inference(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Inference {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        caller.require(Scope::Inference)?;
        Ok(Self(caller))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get("authorization").and_then(|value| value.to_str().ok()) {
        let (scheme, secret) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim());
    }
    headers.get("x-api-key").and_then(|value| value.to_str().ok())
}

/// The name of the session's cookie. Browsers do not tell ports apart, so the name does.
pub(crate) fn cookie_name(port: u16) -> String {
    format!("lar_session_{port}")
}

/// The session's secret that a request carries.
pub(crate) fn cookie(headers: &HeaderMap, port: u16) -> Option<&str> {
    let name = cookie_name(port);
    headers
        .get_all("cookie")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name.as_str())?.strip_prefix('='))
}
