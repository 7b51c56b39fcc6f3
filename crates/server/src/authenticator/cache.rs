//! The cache of recently recognized secrets, so that a request needs no database read.
//!
//! Invariants: the secret of a key is never accepted as that of a session, nor the reverse. A record that was
//! read before [`SecretCache::forget`] is not stored after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lar_base::{Code, Problem, Timestamp};
use lar_store::KeyRecord;

/// The maximum number of cached secrets of each kind. At the limit, the cache of that kind is emptied.
const CACHED_MAX: usize = 10_000;

/// The kind of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretKind {
    /// The secret of a key, sent in a header.
    Key,
    /// The secret of a browser session, sent in a cookie.
    Session,
}

/// The record of a recognized secret.
#[derive(Debug, Clone)]
pub(super) struct CachedSecret {
    pub(super) key: Arc<KeyRecord>,
    /// When the session expires; `None` for a key, whose record has its own expiry.
    pub(super) session_expires_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct SecretCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    keys: HashMap<[u8; 32], CachedSecret>,
    sessions: HashMap<[u8; 32], CachedSecret>,
    /// The number of calls of [`SecretCache::forget`].
    generation: u64,
}

impl CacheState {
    fn of(&mut self, kind: SecretKind) -> &mut HashMap<[u8; 32], CachedSecret> {
        match kind {
            SecretKind::Key => &mut self.keys,
            SecretKind::Session => &mut self.sessions,
        }
    }
}

impl SecretCache {
    /// Returns the generation for [`SecretCache::insert`]. Call it before the lookup in the database.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Returns the key of a cached secret of this kind, unless the key or the session has ended.
    pub(super) fn get(&self, kind: SecretKind, digest: &[u8; 32]) -> Option<Arc<KeyRecord>> {
        let cached = self.lock().of(kind).get(digest).cloned()?;
        check_validity(&cached).is_ok().then_some(cached.key)
    }

    /// Returns the key of a secret that was just looked up, and caches it unless the cache was emptied since
    /// `generation`.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] when the key or the session has ended.
    pub(super) fn insert(
        &self,
        kind: SecretKind,
        digest: [u8; 32],
        cached: CachedSecret,
        generation: u64,
    ) -> Result<Arc<KeyRecord>, Problem> {
        check_validity(&cached)?;
        let key = cached.key.clone();
        let mut state = self.lock();
        if state.generation == generation {
            let all = state.of(kind);
            if all.len() >= CACHED_MAX {
                all.clear();
            }
            all.insert(digest, cached);
        }
        Ok(key)
    }

    /// Removes all secrets. Call it after a revocation is on disk.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.keys.clear();
        state.sessions.clear();
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that neither the key nor the session has ended.
///
/// # Errors
/// [`Code::Unauthenticated`], naming the one that ended.
pub(super) fn check_validity(cached: &CachedSecret) -> Result<(), Problem> {
    let now = Timestamp::now();
    let past = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
    if cached.key.revoked_at.is_some() {
        return Err(unknown_key());
    }
    if past(cached.key.expires_at) {
        let detail = format!("the key {} has expired", cached.key.fingerprint);
        return Err(Problem::new(Code::Unauthenticated, detail));
    }
    if past(cached.session_expires_at) {
        return Err(session_ended());
    }
    Ok(())
}

pub(super) fn unknown_key() -> Problem {
    Problem::new(Code::Unauthenticated, "the key is unknown or was revoked")
}

pub(super) fn session_ended() -> Problem {
    let detail = "the browser session has ended; sign in again with `lar open`";
    Problem::new(Code::Unauthenticated, detail)
}

#[cfg(test)]
mod tests {
    use lar_base::{KeyId, MemoryMode, Scopes, UserId};

    use super::*;

    fn cached_secret() -> CachedSecret {
        let key = KeyRecord {
            id: KeyId::new(),
            user: UserId::new(),
            name: "x".into(),
            agent: None,
            fingerprint: "00000000".into(),
            scopes: Scopes::all(),
            removed_scopes: Scopes::of([]),
            requests_per_minute: None,
            memory: MemoryMode::Off,
            client: None,
            created_at: Timestamp::now(),
            last_seen_at: None,
            expires_at: None,
            revoked_at: None,
        };
        CachedSecret { key: Arc::new(key), session_expires_at: None }
    }

    #[test]
    fn a_key_is_never_accepted_as_a_session() {
        let secrets = SecretCache::default();
        let one = cached_secret();
        secrets.insert(SecretKind::Key, [1; 32], one.clone(), secrets.generation()).unwrap();
        assert_eq!(secrets.get(SecretKind::Key, &[1; 32]), Some(one.key));
        assert_eq!(secrets.get(SecretKind::Session, &[1; 32]), None);
    }

    #[test]
    fn revoked_and_expired_keys_and_ended_sessions_are_refused() {
        let detail = |change: fn(&mut KeyRecord), session_expires_at| {
            let mut key = (*cached_secret().key).clone();
            change(&mut key);
            let cached = CachedSecret { key: Arc::new(key), session_expires_at };
            check_validity(&cached).map_err(|problem| (problem.code, problem.detail)).err()
        };
        let unauthenticated = |detail: &str| Some((Code::Unauthenticated, detail.to_owned()));
        let (past, future) =
            (Timestamp::from_millis(1), Timestamp::now().after(std::time::Duration::from_secs(60)));
        assert_eq!(detail(|key| key.expires_at = Some(Timestamp::from_millis(i64::MAX)), Some(future)), None);
        let revoked = detail(|key| key.revoked_at = Some(Timestamp::from_millis(1)), None);
        assert_eq!(revoked, unauthenticated("the key is unknown or was revoked"));
        let expired = detail(|key| key.expires_at = Some(Timestamp::from_millis(1)), Some(future));
        assert_eq!(expired, unauthenticated("the key 00000000 has expired"));
        let ended = detail(|_| {}, Some(past));
        assert_eq!(ended, unauthenticated("the browser session has ended; sign in again with `lar open`"));
    }

    #[test]
    fn a_key_that_was_looked_up_while_it_was_revoked_is_not_kept() {
        let secrets = SecretCache::default();
        let before = secrets.generation();
        // The lookup reads the key before the revocation, and caches it afterwards.
        secrets.forget();
        secrets.insert(SecretKind::Key, [1; 32], cached_secret(), before).unwrap();
        assert_eq!(secrets.get(SecretKind::Key, &[1; 32]), None);
        secrets.insert(SecretKind::Key, [1; 32], cached_secret(), secrets.generation()).unwrap();
        assert!(secrets.get(SecretKind::Key, &[1; 32]).is_some());
    }
}
