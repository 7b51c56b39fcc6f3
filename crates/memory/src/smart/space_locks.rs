//! Locks that serialize the smart ingests of each space.
//!
//! Without them, two decisions based on the same memories could both create a memory, or change the same one.
//! Searches and plain writes do not take these locks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lar_base::SpaceId;
use tokio::sync::OwnedMutexGuard;

type Locks = HashMap<SpaceId, Arc<tokio::sync::Mutex<()>>>;

/// A lock for each space. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpaceLocks(Arc<Mutex<Locks>>);

impl SpaceLocks {
    /// Waits for the lock of a space. Dropping the guard releases it.
    pub(crate) async fn lock(&self, space: SpaceId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A lock with no other reference is unused and can be removed.
            locks.retain(|known, lock| *known == space || Arc::strong_count(lock) > 1);
            locks.entry(space).or_default().clone()
        };
        lock.lock_owned().await
    }
}
