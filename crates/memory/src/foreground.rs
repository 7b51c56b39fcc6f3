//! The searches and changes of memories in progress. Background work on memories waits until there are none for a
//! while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::Instant;

/// The searches and changes in progress. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ForegroundUses(Arc<Mutex<Uses>>);

#[derive(Debug)]
struct Uses {
    count: usize,
    /// The last start or end of one.
    changed_at: Instant,
}

impl Default for ForegroundUses {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Uses { count: 0, changed_at: Instant::now() })))
    }
}

/// A search or a change in progress. It ends when this is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct ForegroundUse(ForegroundUses);

impl Drop for ForegroundUse {
    fn drop(&mut self) {
        let mut uses = self.0.lock();
        *uses = Uses { count: uses.count.saturating_sub(1), changed_at: Instant::now() };
    }
}

impl ForegroundUses {
    /// Counts a search or a change until the result is dropped.
    pub(crate) fn start(&self) -> ForegroundUse {
        let mut uses = self.lock();
        *uses = Uses { count: uses.count + 1, changed_at: Instant::now() };
        ForegroundUse(self.clone())
    }

    /// Returns the time since the last one, which is zero while one is in progress.
    pub(crate) fn quiet_time(&self) -> Duration {
        let uses = self.lock();
        if uses.count > 0 { Duration::ZERO } else { uses.changed_at.elapsed() }
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quiet_only_while_nothing_is_in_progress() {
        let uses = ForegroundUses::default();
        let (one, other) = (uses.start(), uses.start());
        drop(one);
        assert_eq!(uses.quiet_time(), Duration::ZERO, "one is in progress");
        drop(other);
        let before = uses.quiet_time();
        while uses.quiet_time() == before {
            std::thread::yield_now();
        }
    }
}
