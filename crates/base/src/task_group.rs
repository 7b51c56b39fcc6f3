//! Background tasks that are told to stop and waited for.
//!
//! A service is spawned on a [`TaskGroup`] group and watches [`TaskGroup::stopping`]; whoever owns the group stops
//! it and waits. What may never be forgotten (a task that holds a lease) is spawned here, not on the bare
//! runtime.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of background tasks with one stop signal. Clones share the group.
#[derive(Debug, Clone, Default)]
pub struct TaskGroup {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl TaskGroup {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` in the group. It is not aborted on stop: it must watch [`TaskGroup::stopping`] and end.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(future);
    }

    /// A token that is cancelled when the group is told to stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every task to stop and waits until all have ended or `limit` has passed; says whether they did.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}
