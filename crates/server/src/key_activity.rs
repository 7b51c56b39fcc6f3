//! The last use of each key. It is recorded in memory and stored once a minute, so that a request needs no
//! write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::{KeyId, TaskGroup, Timestamp, error_chain};
use lar_store::Store;

/// How often the recorded times are stored.
const PERIOD: Duration = Duration::from_secs(60);

/// The recorded times of use. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct KeyActivity {
    store: Store,
    notes: Arc<Mutex<HashMap<KeyId, Timestamp>>>,
}

impl KeyActivity {
    /// Starts storing the recorded times once per [`PERIOD`], and a last time when `tasks` stop.
    pub(crate) fn run(store: Store, tasks: &TaskGroup) -> Self {
        let activity = Self { store, notes: Arc::default() };
        let (flusher, stopping) = (activity.clone(), tasks.stopping());
        tasks.spawn(async move {
            loop {
                let stopped = tokio::time::timeout(PERIOD, stopping.cancelled()).await.is_ok();
                if let Err(error) = flusher.flush().await {
                    tracing::warn!(error = %error_chain(&error), "could not store when keys were last used");
                }
                if stopped {
                    return;
                }
            }
        });
        activity
    }

    /// Records that a key is used now. Memory holds one entry per key that was used since the last
    /// [`PERIOD`].
    pub(crate) fn record(&self, key: KeyId) {
        self.lock().insert(key, Timestamp::now());
    }

    /// Stores the recorded times.
    pub(crate) async fn flush(&self) -> Result<(), lar_store::Error> {
        let notes = std::mem::take(&mut *self.lock());
        if notes.is_empty() {
            return Ok(());
        }
        let stored = self.store.keys_record_use(notes.iter().map(|(key, at)| (*key, *at)).collect()).await;
        if stored.is_err() {
            // The next flush stores them, unless the keys have been used again since.
            let mut newer = self.lock();
            for (key, at) in notes {
                newer.entry(key).or_insert(at);
            }
        }
        stored
    }

    /// Stores the recorded times before keys are listed, and only logs an error.
    ///
    /// On a full disk, the list lacks the uses of the last minute and is otherwise complete.
    pub(crate) async fn try_flush(&self) {
        if let Err(error) = self.flush().await {
            tracing::warn!(error = %error_chain(&error), "could not store when keys were last used");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Timestamp>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
