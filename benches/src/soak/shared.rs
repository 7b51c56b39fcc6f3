//! The state that all threads of a soak run share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::progress::progress;

/// The most failed uses whose errors are printed.
const FAILURES_SHOWN: usize = 20;

pub(super) struct Shared {
    /// The number of clients.
    pub(super) clients: usize,
    /// The requests of all clients so far.
    pub(super) requests: AtomicU64,
    /// The runs of each use, in the order of the uses.
    pub(super) uses: Vec<UseCounter>,
    /// Locked for reading during each use. Locked for writing while models are unloaded, because no task may
    /// run then.
    pub(super) quiet: RwLock<()>,
    is_over: AtomicBool,
    failed: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// The runs of one use.
#[derive(Default)]
pub(super) struct UseCounter {
    pub(super) times: AtomicU64,
    /// The longest time of a request until its answer was complete or the client gave up.
    longest_ms: AtomicU64,
}

impl UseCounter {
    /// Records the time of a request.
    pub(super) fn record_request(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.longest_ms.fetch_max(millis, Ordering::Relaxed);
    }

    /// Returns the longest time of a request, in seconds.
    pub(super) fn longest_seconds(&self) -> f64 {
        count(&self.longest_ms) as f64 / 1000.0
    }
}

impl Shared {
    /// Creates the state for a number of clients that run a number of different uses.
    pub(super) fn new(clients: usize, uses: usize) -> Self {
        Self {
            clients,
            requests: AtomicU64::default(),
            uses: std::iter::repeat_with(UseCounter::default).take(uses).collect(),
            quiet: RwLock::default(),
            is_over: AtomicBool::default(),
            failed: AtomicU64::default(),
            failures: Mutex::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Records and prints a failed use. `state` describes the server at that time.
    pub(super) fn record_failure(&self, what: &str, error: &anyhow::Error, state: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_SHOWN {
            let text = format!("{what}: {error:#}{state}");
            progress(&format!("  {text}"));
            failures.push(text);
        }
    }

    /// Returns the number of failed uses, and the errors of the first ones.
    pub(super) fn failures(&self) -> (u64, String) {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        (count(&self.failed), failures.join("; "))
    }
}

/// A guard that ends the run for all threads when one of them ends, also after a panic.
pub(super) struct EndsRun<'a>(pub(super) &'a Shared);

impl Drop for EndsRun<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Returns the value of a counter.
pub(super) fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
