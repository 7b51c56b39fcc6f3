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
pub(crate) struct KeyActivity {
    store: Store,
    notes: Arc<Mutex<HashMap<KeyId, Timestamp>>>,
}

impl KeyActivity {
    /// Keeps what is noted until `tasks` stop, and once more then.
    pub(crate) fn run(store: Store, tasks: &TaskGroup) -> Self {
        let activity = Self { store, notes: Arc::default() };
        let (flusher, stopping) = (activity.clone(), tasks.stopping());
        tasks.spawn(async move {
            loop {
                let stopped = tokio::time::timeout(PERIOD, stopping.cancelled()).await.is_ok();
                if let Err(error) = flusher.flush().await {
                    tracing::warn!(%error, "when keys were used could not be noted");
                }
                if stopped {
                    return;
                }
            }
        });
        activity
    }

    /// A key is used now. There are as many notes as keys that are used within a minute.
    pub(crate) fn record(&self, key: KeyId) {
        self.lock().insert(key, Timestamp::now());
    }

    /// Keeps what was noted so far.
    pub(crate) async fn flush(&self) -> Result<(), lar_store::Error> {
        let notes = std::mem::take(&mut *self.lock());
        if notes.is_empty() {
            return Ok(());
        }
        let stored = self.store.keys_record_use(notes.iter().map(|(key, at)| (*key, *at)).collect()).await;
        if stored.is_err() {
            // For the next time, unless they were used again since.
            let mut newer = self.lock();
            for (key, at) in notes {
                newer.entry(key).or_insert(at);
            }
        }
        stored
    }

    /// As [`KeyActivity::flush`], before keys are listed: reading takes no write, so that on a full disk the last minute's use is
    /// missing and nothing else.
    pub(crate) async fn try_flush(&self) {
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "when keys were used could not be noted");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Timestamp>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
