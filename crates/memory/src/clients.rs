//! Which keys read and wrote which spaces last: noted in memory, and kept once a minute, so that reading costs no write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::{KeyId, Problem, SpaceId, Timestamp};
use lar_store::{MemoryClient, SpaceUse, Store};
use tokio_util::sync::CancellationToken;

use crate::{Memories, ReadAccess, WriteAccess};

/// How often what was noted is kept.
const PERIOD: Duration = Duration::from_secs(60);
/// Notes that wait to be kept at most; each is a key and a space.
const PENDING_MAX: usize = 10_000;

/// The notes. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    store: Store,
    pending: Arc<Mutex<HashMap<(KeyId, SpaceId), SpaceUse>>>,
}

impl Clients {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, pending: Arc::default() }
    }

    /// A caller reads these spaces.
    pub(crate) fn record_read(&self, reader: &ReadAccess) {
        for space in &reader.spaces {
            self.record(reader.caller.key(), *space, |used| used.read_at = Some(Timestamp::now()));
        }
    }

    /// A caller changes something in this space.
    pub(crate) fn record_write(&self, writer: &WriteAccess) {
        self.record(writer.caller.key(), writer.space, |used| used.written_at = Some(Timestamp::now()));
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

    /// Keeps what was noted until the server stops, and once more then.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(PERIOD, stopping.cancelled()).await.is_ok();
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "who used memories could not be noted");
            }
            if stopped {
                return;
            }
        }
    }

    async fn flush(&self) -> Result<(), lar_store::Error> {
        let pending = std::mem::take(&mut *self.lock());
        if pending.is_empty() {
            return Ok(());
        }
        let result = self.store.memory_clients_record(pending.values().cloned().collect()).await;
        if result.is_err() {
            // For the next time, unless they were used again since.
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

impl Memories {
    /// The keys that used the memories of a reader's spaces, who did last first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clients(&self, reader: &ReadAccess) -> Result<Vec<MemoryClient>, Problem> {
        // Reading takes no write: on a full disk the last minute's use is missing.
        if let Err(error) = self.clients.flush().await {
            tracing::warn!(%error, "who used memories could not be noted");
        }
        Ok(self.store.memory_clients(reader.spaces.clone()).await?)
    }
}
