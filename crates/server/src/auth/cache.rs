//! The secrets that were recognised not long ago, so that a request costs no read of the database.
//!
//! Invariants: the secret of a key is never found among those of sessions, nor the other way round; what was looked up
//! before [`KnownSecrets::forget`] is not kept after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lar_base::{Code, Problem, Timestamp};
use lar_store::KeyRecord;

/// Secrets of a kind kept in memory; the rest are looked up.
const KNOWN_MAX: usize = 10_000;

/// What a secret is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key, sent in a header.
    Key,
    /// A browser's session, sent as a cookie.
    Session,
}

/// A secret that was recognised.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) key: Arc<KeyRecord>,
    /// When the session ends; keys have their own end.
    pub(super) session_expires_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct KnownSecrets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    keys: HashMap<[u8; 32], Known>,
    sessions: HashMap<[u8; 32], Known>,
    /// Counts [`KnownSecrets::forget`].
    generation: u64,
}

impl State {
    fn of(&mut self, kind: Kind) -> &mut HashMap<[u8; 32], Known> {
        match kind {
            Kind::Key => &mut self.keys,
            Kind::Session => &mut self.sessions,
        }
    }
}

impl KnownSecrets {
    /// To be asked for before a secret is looked up in the database.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// The key behind a secret of this kind, if it is known and still good.
    pub(super) fn recall(&self, kind: Kind, digest: &[u8; 32]) -> Option<Arc<KeyRecord>> {
        let known = self.lock().of(kind).get(digest).cloned()?;
        usable(&known).is_ok().then_some(known.key)
    }

    /// Keeps what was looked up, unless something was revoked since `generation` was asked for.
    ///
    /// # Errors
    /// When it is not good any more.
    pub(super) fn learn(
        &self,
        kind: Kind,
        digest: [u8; 32],
        known: Known,
        generation: u64,
    ) -> Result<Arc<KeyRecord>, Problem> {
        usable(&known)?;
        let key = known.key.clone();
        let mut state = self.lock();
        if state.generation == generation {
            let all = state.of(kind);
            if all.len() >= KNOWN_MAX {
                all.clear();
            }
            all.insert(digest, known);
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that what was recognised is still good.
///
/// # Errors
/// [`Code::Unauthenticated`], saying what ended.
pub(super) fn usable(known: &Known) -> Result<(), Problem> {
    let now = Timestamp::now();
    let past = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
    if known.key.revoked_at.is_some() {
        return Err(unknown());
    }
    if past(known.key.expires_at) {
        let detail = format!("the key {} has expired", known.key.fingerprint);
        return Err(Problem::new(Code::Unauthenticated, detail));
    }
    if past(known.session_expires_at) {
        return Err(session_ended());
    }
    Ok(())
}

pub(super) fn unknown() -> Problem {
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

    fn known() -> Known {
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
        Known { key: Arc::new(key), session_expires_at: None }
    }

    #[test]
    fn keys_and_sessions_are_never_taken_for_each_other() {
        let secrets = KnownSecrets::default();
        let one = known();
        secrets.learn(Kind::Key, [1; 32], one.clone(), secrets.generation()).unwrap();
        assert_eq!(secrets.recall(Kind::Key, &[1; 32]), Some(one.key));
        assert_eq!(secrets.recall(Kind::Session, &[1; 32]), None);
    }

    #[test]
    fn a_key_that_was_looked_up_while_it_was_revoked_is_not_kept() {
        let secrets = KnownSecrets::default();
        let before = secrets.generation();
        // The database was read before the revocation; the revocation ends first.
        secrets.forget();
        secrets.learn(Kind::Key, [1; 32], known(), before).unwrap();
        assert_eq!(secrets.recall(Kind::Key, &[1; 32]), None);
        secrets.learn(Kind::Key, [1; 32], known(), secrets.generation()).unwrap();
        assert!(secrets.recall(Kind::Key, &[1; 32]).is_some());
    }
}
