//! The recognition of secrets: API keys and the sessions of browsers.
//!
//! A secret has 256 random bits. The database stores its HMAC-SHA-256 under a key of the data directory, and
//! looks a secret up by that HMAC, so the time of a lookup reveals nothing about other secrets. [`cache`]
//! keeps recently recognized secrets. Only one server uses a data directory, so no other process can revoke a
//! key behind the cache.

mod cache;
mod key_hash;

use std::sync::{Arc, OnceLock};

use lar_base::{Code, KeyId, MemoryMode, Problem, Scope, Secret, secret};
use lar_store::{KeyRecord, NewKey, Store};

use self::cache::{CachedSecret, SecretCache, SecretKind, check_validity};
use self::key_hash::hmac_sha256;

/// The prefix of Lar's secrets.
pub(crate) const SECRET_START: &str = "lar_";
/// The number of characters that an error shows of each end of a rejected key.
const SHOWN_CHARS: usize = 4;
/// The minimum length of a rejected key whose ends an error shows.
const MASKED_CHARS_MIN: usize = 20;
/// The maximum length of a secret. Lar issues none that is longer.
const SECRET_CHARS_MAX: usize = 256;
/// The scopes that a request without its own key never has, even if the listener's key has them.
pub(crate) const NEVER_KEYLESS: [Scope; 2] = [Scope::Admin, Scope::Conversations];

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

    /// Returns the record of the key with this secret.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] for an unknown, revoked or expired key; when the database fails.
    pub(crate) async fn by_key(&self, secret: &str) -> Result<Arc<KeyRecord>, Problem> {
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

    /// Returns the record of the key of the session with this secret.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] for an unknown or ended session; when the database fails.
    pub(crate) async fn by_session(&self, cookie: &str) -> Result<Arc<KeyRecord>, Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_256_random_bits() {
        let [one, other] = [new_secret(), new_secret()];
        assert_ne!(one.expose(), other.expose());
        for secret in [one, other] {
            let digits = secret.expose().strip_prefix(SECRET_START).unwrap();
            assert!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{digits}");
        }
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
