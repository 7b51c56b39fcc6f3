//! Waits for an event in another process or thread by polling, up to a limit, and stops threads of a test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest wait of [`until`].
const UNTIL_MAX: Duration = Duration::from_secs(120);
/// The time between two polls.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// A guard that sets a flag when dropped. It ends the threads of a test even if the test fails.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until `done` returns a value, and returns it. `what` names the event in the panic message.
///
/// # Panics
/// If `done` returns nothing within 120 s.
pub fn until<T>(what: &str, done: impl FnMut() -> Option<T>) -> T {
    within(UNTIL_MAX, done).unwrap_or_else(|| panic!("{what} did not happen within {UNTIL_MAX:?}"))
}

/// Waits until `done` returns a value, and returns it; `None` if it returns nothing within `limit`.
pub(crate) fn within<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let started_at = lar_base::Instant::now();
    loop {
        let found = done();
        if found.is_some() || started_at.elapsed() >= limit {
            return found;
        }
        std::thread::sleep(POLL_EVERY);
    }
}
