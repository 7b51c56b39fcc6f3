//! Authentication: an API key in a header, or the session cookie of a browser. A session belongs to a key.
//!
//! A secret has 256 random bits. The database stores its HMAC-SHA-256 under a key of the data directory, and
//! looks a secret up by that HMAC, so the time of a lookup reveals nothing about other secrets. [`cache`]
//! keeps recently recognized secrets. Only one server uses a data directory, so no other process can revoke a
//! key behind the cache.

mod cache;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lar_base::{Caller, Code, KeyId, MemoryMode, Problem, Scope, Scopes, Secret, secret};
use lar_store::{KeyRecord, NewKey, Store};
use sha2::Sha256;

use crate::errors::Failure;
use crate::listen::{Arrival, ConnectionHandle};
use crate::middleware::{CallerSlot, CurrentRequestId, RecognizedKey};
use crate::{App, origin_guard};
use cache::{CachedSecret, SecretCache, SecretKind, check_validity};

/// How long a browser stays signed in.
pub(crate) const SESSION_LENGTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// The prefix of Lar's secrets.
const SECRET_START: &str = "lar_";
/// The number of characters that an error shows of each end of a rejected key.
const SHOWN_CHARS: usize = 4;
/// The minimum length of a rejected key whose ends an error shows.
const MASKED_CHARS_MIN: usize = 20;
/// The maximum length of a secret. Lar issues none that is longer.
const SECRET_CHARS_MAX: usize = 256;
/// The scopes that a request without its own key never has, even if the listener's key has them.
const NEVER_KEYLESS: [Scope; 2] = [Scope::Admin, Scope::Conversations];

/// Generates the secret of a new key.
#[must_use]
pub fn new_secret() -> Secret {
    Secret::new(format!("{SECRET_START}{}", secret::hex(&secret::random_bytes::<32>())))
}

/// Recognizes secrets. Clones share one cache.
#[derive(Debug, Clone)]
pub struct Authenticator {
    store: Store,
    pepper: Arc<Secret>,
    cache: Arc<SecretCache>,
    owner_key: Arc<OnceLock<KeyId>>,
}

impl Authenticator {
    /// Creates an authenticator with the HMAC key `pepper`.
    #[must_use]
    pub fn new(store: Store, pepper: Secret) -> Self {
        let (cache, owner_key) = (Arc::default(), Arc::default());
        Self { store, pepper: Arc::new(pepper), cache, owner_key }
    }

    /// Returns the digest that the database stores instead of a secret.
    #[must_use]
    pub fn digest(&self, secret: &str) -> [u8; 32] {
        hmac_sha256(&self.pepper, secret)
    }

    /// Stores the owner's key if it is missing, and returns its record. A revoked key stays revoked.
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
        let key = self.store.key_create(key, None).await?;
        let _ = self.owner_key.set(key.id);
        Ok(key)
    }

    /// Returns whether this is the key in `owner.key` in the data directory, which the command line uses.
    pub(crate) fn is_owner_key(&self, id: KeyId) -> bool {
        self.owner_key.get() == Some(&id)
    }

    /// Checks that requests without a key may use this key: it is valid, and has neither the scope `admin`
    /// nor the scope `conversations`.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] for an invalid key; [`Code::ForbiddenScope`] for a key with one of these
    /// scopes; when the database fails.
    pub async fn check_listeners_key(&self, secret: &Secret) -> Result<(), Problem> {
        let key = self.by_key(secret.expose()).await?;
        for scope in NEVER_KEYLESS {
            if key.scopes.contains(scope) {
                let detail = format!(
                    "the key {} has the scope `{scope}`; create one without it: \
                     lar keys create NAME --scopes inference",
                    key.id
                );
                return Err(Problem::new(Code::ForbiddenScope, detail));
            }
        }
        Ok(())
    }

    /// Checks that a key exists, is not revoked and has not expired.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`], naming the reason; when the database fails.
    pub(crate) async fn check_usable(&self, id: KeyId) -> Result<(), Problem> {
        let key = self.store.key_get(id).await?.ok_or_else(cache::unknown_key)?;
        check_validity(&CachedSecret { key: Arc::new(key), session_expires_at: None })
    }

    /// Empties the cache, after a key was revoked or a session ended.
    pub(crate) fn forget(&self) {
        self.cache.forget();
    }

    async fn by_key(&self, secret: &str) -> Result<Arc<KeyRecord>, Problem> {
        // Clients such as LiteLLM recognize a wrong key by this phrase of OpenAI's API.
        let refused = |problem: Problem| match problem.code {
            Code::Unauthenticated => {
                let detail = format!("Incorrect API key provided: {}; {}", mask_key(secret), problem.detail);
                Problem { detail, ..problem }
            }
            _ => problem,
        };
        if secret.len() > SECRET_CHARS_MAX {
            return Err(refused(cache::unknown_key()));
        }
        let digest = self.digest(secret);
        if let Some(key) = self.cache.get(SecretKind::Key, &digest) {
            return Ok(key);
        }
        let generation = self.cache.generation();
        let key = self.store.key_by_digest(digest).await?;
        let key = key.ok_or_else(|| refused(cache::unknown_key()))?;
        let cached = CachedSecret { key: Arc::new(key), session_expires_at: None };
        self.cache.insert(SecretKind::Key, digest, cached, generation).map_err(refused)
    }

    async fn by_session(&self, cookie: &str) -> Result<Arc<KeyRecord>, Problem> {
        let digest = self.digest(cookie);
        if let Some(key) = self.cache.get(SecretKind::Session, &digest) {
            return Ok(key);
        }
        let generation = self.cache.generation();
        let session = self.store.browser_session_by_digest(digest).await?.ok_or_else(cache::session_ended)?;
        let key = self.store.key_get(session.key).await?.ok_or_else(cache::session_ended)?;
        let cached = CachedSecret { key: Arc::new(key), session_expires_at: Some(session.expires_at) };
        self.cache.insert(SecretKind::Session, digest, cached, generation)
    }
}

/// Returns the start and the end of a rejected key, as OpenAI's API shows it; only asterisks for a short key.
fn mask_key(secret: &str) -> String {
    let plain: Vec<char> = secret.chars().filter(char::is_ascii_graphic).take(SECRET_CHARS_MAX).collect();
    if plain.len() < MASKED_CHARS_MIN {
        return "****".into();
    }
    let (start, end) = (&plain[..SHOWN_CHARS], &plain[plain.len() - SHOWN_CHARS..]);
    start.iter().chain(&['*'; 8]).chain(end).collect()
}

/// An authenticated request within its key's rate limit.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Authenticated {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let arrival = parts.extensions.get::<Arrival>().cloned().unwrap_or_default();
        let sent = (bearer(&parts.headers), cookie(&parts.headers, app.address.port()));
        let mut keyless = false;
        let key = match (sent, &arrival.key) {
            // Apps that cannot leave the key out send a made-up one.
            ((Some(secret), _), Some(own)) if !secret.starts_with(SECRET_START) => {
                keyless = true;
                app.authenticator.by_key(own.expose()).await?
            }
            ((Some(secret), _), _) => app.authenticator.by_key(secret).await?,
            ((None, _), Some(own)) => {
                keyless = true;
                app.authenticator.by_key(own.expose()).await?
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
                app.authenticator.by_session(session).await?
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
        app.key_activity.record(key.id);
        let rate_limit = app.rate_limiter.take(key.id, key.requests_per_minute);
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

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        caller.require(Scope::Admin)?;
        Ok(Self(caller))
    }
}

/// An authenticated request of a key with the scope `inference`.
pub(crate) struct Inference(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Inference {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        caller.require(Scope::Inference)?;
        Ok(Self(caller))
    }
}

/// An authenticated request of a key with the scope `conversations`.
pub(crate) struct Conversing(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Conversing {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
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

fn hmac_sha256(pepper: &Secret, secret: &str) -> [u8; 32] {
    let mut mac = <Hmac<Sha256>>::new_from_slice(pepper.expose().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC accepts keys of any length"));
    mac.update(secret.as_bytes());
    mac.finalize().into_bytes().into()
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

    #[test]
    fn a_key_has_256_random_bits_and_its_digest_is_an_hmac() {
        let [one, other] = [new_secret(), new_secret()];
        assert_ne!(one.expose(), other.expose());
        for secret in [one, other] {
            let digits = secret.expose().strip_prefix(SECRET_START).unwrap();
            assert!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{digits}");
        }
        // Computed by OpenSSL: `openssl dgst -sha256 -hmac key`.
        let text = "The quick brown fox jumps over the lazy dog";
        let expected = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        assert_eq!(secret::hex(&hmac_sha256(&Secret::new("key"), text)), expected);
        assert_ne!(secret::hex(&hmac_sha256(&Secret::new("another"), text)), expected);
    }

    #[test]
    fn only_the_start_and_the_end_of_a_rejected_key_are_shown() {
        let secret = format!("lar_{}", "0123456789abcdef".repeat(4));
        assert_eq!(mask_key(&secret), "lar_********cdef");
        assert_eq!(mask_key("sk-short"), "****");
        assert_eq!(mask_key(&"é\n".repeat(100)), "****");
        assert_eq!(mask_key(&"k".repeat(10_000)), "kkkk********kkkk");
    }
}
