//! The secrets that were recognised not long ago, so that a request costs no read of the database.
//!
//! Invariants: the secret of a key is never found among those of sessions, nor the other way round; what was looked up
//! before [`SecretCache::forget`] is not kept after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lar_base::{Code, Problem, Timestamp};
use lar_store::KeyRecord;

/// Secrets of a kind kept in memory; the rest are looked up.
const CACHED_MAX: usize = 10_000;

/// What a secret is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretKind {
    /// A key, sent in a header.
    Key,
    /// A browser's session, sent as a cookie.
    Session,
}

/// A secret that was recognised.
#[derive(Debug, Clone)]
pub(super) struct CachedSecret {
    pub(super) key: Arc<KeyRecord>,
    /// When the session ends; keys have their own end.
    pub(super) session_expires_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct SecretCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    keys: HashMap<[u8; 32], CachedSecret>,
    sessions: HashMap<[u8; 32], CachedSecret>,
    /// Counts [`SecretCache::forget`].
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
    /// To be asked for before a secret is looked up in the database.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// The key behind a secret of this kind, if it is known and still good.
    pub(super) fn get(&self, kind: SecretKind, digest: &[u8; 32]) -> Option<Arc<KeyRecord>> {
        let cached = self.lock().of(kind).get(digest).cloned()?;
        check_validity(&cached).is_ok().then_some(cached.key)
    }

    /// Keeps what was looked up, unless something was revoked since `generation` was asked for.
    ///
    /// # Errors
    /// When it is not good any more.
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

    /// Forgets all of them. To be called after a revocation is on disk.
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

/// Checks that what was recognised is still good.
///
/// # Errors
/// [`Code::Unauthenticated`], saying what ended.
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
    let detail = "the browser's session has ended; open a new link: `lar open`";
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
    fn keys_and_sessions_are_never_taken_for_each_other() {
        let secrets = SecretCache::default();
        let one = cached_secret();
        secrets.insert(SecretKind::Key, [1; 32], one.clone(), secrets.generation()).unwrap();
        assert_eq!(secrets.get(SecretKind::Key, &[1; 32]), Some(one.key));
        assert_eq!(secrets.get(SecretKind::Session, &[1; 32]), None);
    }

    #[test]
    fn a_key_that_was_looked_up_while_it_was_revoked_is_not_kept() {
        let secrets = SecretCache::default();
        let before = secrets.generation();
        // The database was read before the revocation; the revocation ends first.
        secrets.forget();
        secrets.insert(SecretKind::Key, [1; 32], cached_secret(), before).unwrap();
        assert_eq!(secrets.get(SecretKind::Key, &[1; 32]), None);
        secrets.insert(SecretKind::Key, [1; 32], cached_secret(), secrets.generation()).unwrap();
        assert!(secrets.get(SecretKind::Key, &[1; 32]).is_some());
    }
}
