//! The times when keys last read and wrote each space. `clients` lists them.
//!
//! They are recorded in RAM and stored once a minute, so that reading memories costs no database write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::{KeyId, SpaceId, Timestamp, error_chain};
use lar_store::{SpaceUse, Store};
use tokio_util::sync::CancellationToken;

/// The interval between writes to the database.
const PERIOD: Duration = Duration::from_secs(60);
/// The most pairs of a key and a space that wait to be stored. Further ones are not recorded.
const PENDING_MAX: usize = 10_000;

/// The recorded uses that are not stored yet. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ClientUses {
    store: Store,
    pending: Arc<Mutex<HashMap<(KeyId, SpaceId), SpaceUse>>>,
}

impl ClientUses {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, pending: Arc::default() }
    }

    /// Records that a key reads these spaces.
    pub(crate) fn record_read(&self, key: KeyId, spaces: &[SpaceId]) {
        for space in spaces {
            self.record(key, *space, |used| used.read_at = Some(Timestamp::now()));
        }
    }

    /// Records that a key writes to this space.
    pub(crate) fn record_write(&self, key: KeyId, space: SpaceId) {
        self.record(key, space, |used| used.written_at = Some(Timestamp::now()));
    }

    fn record(&self, key: KeyId, space: SpaceId, change: impl FnOnce(&mut SpaceUse)) {
        let mut pending = self.lock();
        if pending.len() < PENDING_MAX || pending.contains_key(&(key, space)) {
            change(pending.entry((key, space)).or_insert(SpaceUse {
                key,
                space,
                read_at: None,
                written_at: None,
            }));
        }
    }

    /// Stores recorded uses periodically until the server stops, and once more then.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(PERIOD, stopping.cancelled()).await.is_ok();
            if let Err(error) = self.flush().await {
                tracing::warn!(error = %error_chain(&error), "could not store the last uses of memories");
            }
            if stopped {
                return;
            }
        }
    }

    /// Stores the recorded uses. Keeps them for the next write if that fails.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn flush(&self) -> Result<(), lar_store::Error> {
        let pending = std::mem::take(&mut *self.lock());
        if pending.is_empty() {
            return Ok(());
        }
        let result = self.store.memory_clients_record(pending.values().cloned().collect()).await;
        if result.is_err() {
            // Retry with the next write, unless a newer use was recorded meanwhile.
            let mut newer = self.lock();
            for (of, used) in pending {
                if newer.len() < PENDING_MAX {
                    newer.entry(of).or_insert(used);
                }
            }
        }
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(KeyId, SpaceId), SpaceUse>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
