//! What is known of the database while it serves: whether damage was found, and when it last took a write.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::Instant;

/// How long a successful write vouches for the next ones.
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
    /// Whether the last write still vouches at this moment.
    fn is_fresh_at(&self, now: Instant) -> bool {
        self.written_at.is_some_and(|at| now.since(at) < WRITE_FRESH_FOR)
    }
}

impl Health {
    /// Notes that the database is damaged; the first time it is logged.
    pub(crate) fn note_damage(&self, path: &std::path::Path, faults: &[String]) {
        let mut state = self.lock();
        if state.faults.is_empty() {
            tracing::error!(
                database = %path.display(),
                faults = faults.join("; "),
                "the database is damaged: stop Lar, then restore a backup (`lar backup restore`) or save what can \
                 still be read (`lar backup salvage`)"
            );
            state.faults = faults.to_vec();
        }
    }

    /// What was found wrong; empty when nothing was.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    /// Whether a write succeeded so recently that another needs not be tried.
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
    use crate::{Store, beside};

    #[test]
    fn a_write_proves_health_for_a_limited_time() {
        let health = Health::default();
        assert!(!health.has_recent_write(), "nothing was written yet");
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
        // As if the last write had been in the future, so that no pause of this machine ends what it vouches for.
        store.health.lock().written_at = Some(Instant::now().after(Duration::from_secs(3600)));
        store.ping().await.unwrap();
        assert_eq!(log_bytes(), 0, "a read is enough");
        store.health.lock().written_at = None;
        store.ping().await.unwrap();
        assert!(log_bytes() > 0, "only a write shows that writes succeed");
        assert!(store.health.lock().written_at.is_some(), "and vouches for the next ones");
    }
}
