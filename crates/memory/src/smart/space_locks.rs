//! Decisions about one space wait for each other: two that saw the same memories could otherwise both make a new
//! one, or change one under the other's hands. Searches and plain writes do not wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lar_base::SpaceId;
use tokio::sync::OwnedMutexGuard;

type Locks = HashMap<SpaceId, Arc<tokio::sync::Mutex<()>>>;

/// Whose turn it is to decide, for each space. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpaceLocks(Arc<Mutex<Locks>>);

impl SpaceLocks {
    /// Waits until no other decision about this space is being made; the turn ends when the guard is dropped.
    pub(crate) async fn lock(&self, space: SpaceId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A lock that nobody else holds has no one waiting: spaces that are quiet are forgotten.
            locks.retain(|known, lock| *known == space || Arc::strong_count(lock) > 1);
            locks.entry(space).or_default().clone()
        };
        lock.lock_owned().await
    }
}
