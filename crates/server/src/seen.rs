//! When each key was last used: noted in memory, and kept once a minute, so that a request costs no write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::{KeyId, TaskGroup, Timestamp};
use lar_store::Store;

/// How often what was noted is kept.
const PERIOD: Duration = Duration::from_secs(60);

/// The notes. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    store: Store,
    notes: Arc<Mutex<HashMap<KeyId, Timestamp>>>,
}

impl Seen {
    /// Keeps what is noted until `tasks` stop, and once more then.
    pub(crate) fn run(store: Store, tasks: &TaskGroup) -> Self {
        let seen = Self { store, notes: Arc::default() };
        let (keeping, stopping) = (seen.clone(), tasks.stopping());
        tasks.spawn(async move {
            loop {
                let stopped = tokio::time::timeout(PERIOD, stopping.cancelled()).await.is_ok();
                if let Err(error) = keeping.keep().await {
                    tracing::warn!(%error, "when keys were used could not be noted");
                }
                if stopped {
                    return;
                }
            }
        });
        seen
    }

    /// A key is used now. There are as many notes as keys that are used within a minute.
    pub(crate) fn note(&self, key: KeyId) {
        self.lock().insert(key, Timestamp::now());
    }

    /// Keeps what was noted so far.
    pub(crate) async fn keep(&self) -> Result<(), lar_store::Error> {
        let notes = std::mem::take(&mut *self.lock());
        if notes.is_empty() {
            return Ok(());
        }
        let kept = self.store.keys_seen(notes.iter().map(|(key, at)| (*key, *at)).collect()).await;
        if kept.is_err() {
            // For the next time, unless they were used again since.
            let mut newer = self.lock();
            for (key, at) in notes {
                newer.entry(key).or_insert(at);
            }
        }
        kept
    }

    /// As [`Seen::keep`], before keys are listed: reading takes no write, so that on a full disk the last minute's use is
    /// missing and nothing else.
    pub(crate) async fn keep_if_possible(&self) {
        if let Err(error) = self.keep().await {
            tracing::warn!(%error, "when keys were used could not be noted");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Timestamp>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
