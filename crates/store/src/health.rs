//! The health of an open database: the damage found so far, and the time of the last successful write.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::Instant;

/// How long a successful write proves that writes succeed.
const WRITE_FRESH_FOR: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<String>,
    written_at: Option<Instant>,
}

impl State {
    /// Returns whether the last write is still recent enough at `now`.
    fn is_fresh_at(&self, now: Instant) -> bool {
        self.written_at.is_some_and(|at| now.since(at) < WRITE_FRESH_FOR)
    }
}

impl Health {
    /// Records damage. Only the first report is logged.
    pub(crate) fn note_damage(&self, path: &std::path::Path, faults: &[String]) {
        let mut state = self.lock();
        if state.faults.is_empty() {
            tracing::error!(
                database = %path.display(),
                faults = faults.join("; "),
                "the database is damaged: stop Lar, then restore a backup (`lar backup restore`) or recover \
                 the readable data (`lar backup salvage`)"
            );
            state.faults = faults.to_vec();
        }
    }

    /// Returns the faults found so far; empty if there are none.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    /// Returns whether a write succeeded so recently that no test write is needed.
    pub(crate) fn has_recent_write(&self) -> bool {
        self.lock().is_fresh_at(Instant::now())
    }

    pub(crate) fn note_write(&self) {
        self.lock().written_at = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::sqlite_files::beside;

    #[test]
    fn a_write_proves_health_for_a_limited_time() {
        let health = Health::default();
        assert!(!health.has_recent_write(), "there was no write yet");
        health.note_write();
        let state = health.lock();
        let written_at = state.written_at.unwrap();
        assert!(state.is_fresh_at(written_at.after(WRITE_FRESH_FOR - Duration::from_millis(1))));
        assert!(!state.is_fresh_at(written_at.after(WRITE_FRESH_FOR)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ping_writes_unless_a_recent_write_succeeded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let store = Store::open(&path).unwrap();
        let log_bytes = || std::fs::metadata(beside(&path, "-wal")).map_or(0, |about| about.len());
        store.writer.checkpoint().await.unwrap();
        assert_eq!(log_bytes(), 0);
        // A time in the future: no pause of this machine can make the write stale.
        store.health.lock().written_at = Some(Instant::now().after(Duration::from_secs(3600)));
        store.ping().await.unwrap();
        assert_eq!(log_bytes(), 0, "it only reads");
        store.health.lock().written_at = None;
        store.ping().await.unwrap();
        assert!(log_bytes() > 0, "it makes a test write");
        assert!(store.health.lock().written_at.is_some(), "and records it");
    }
}
