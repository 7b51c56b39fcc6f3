//! Groups of background tasks with a common stop signal.
//!
//! A service is spawned on a [`TaskGroup`] and watches [`TaskGroup::stopping`]. The owner of the group stops
//! it and waits for its tasks. A task that must end in order, such as one that holds a lease, is spawned here
//! and not directly on the runtime.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of background tasks with a common stop signal. Clones share the group.
#[derive(Debug, Clone, Default)]
pub struct TaskGroup {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl TaskGroup {
    /// Creates an empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns `future` in the group. Stopping does not abort it: it must watch [`TaskGroup::stopping`] and
    /// return.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(future);
    }

    /// Returns a token that is cancelled when the group stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Signals every task to stop and waits up to `limit`. Returns whether all tasks have ended.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}
