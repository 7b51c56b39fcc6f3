//! What is known of the database while it serves: whether damage was found, and when it last took a write.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::Instant;

/// How long a successful write vouches for the next ones.
const WRITE_VOUCHES_FOR: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<String>,
    written_at: Option<Instant>,
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
    pub(crate) fn was_written(&self) -> bool {
        self.lock().written_at.is_some_and(|at| at.elapsed() < WRITE_VOUCHES_FOR)
    }

    pub(crate) fn note_write(&self) {
        self.lock().written_at = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
