//! Waits for what happens in another process or thread: looks again and again, up to a limit.

use std::time::Duration;

/// How long [`until`] waits at most.
const UNTIL_MAX: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `done` finds something, and returns that.
///
/// # Panics
/// When it does not within 30 s.
pub fn until<T>(what: &str, done: impl FnMut() -> Option<T>) -> T {
    within(UNTIL_MAX, done).unwrap_or_else(|| panic!("{what} did not happen within {UNTIL_MAX:?}"))
}

/// Waits until `done` finds something; none when it does not within `limit`.
pub(crate) fn within<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let started_at = lar_base::Instant::now();
    loop {
        let found = done();
        if found.is_some() || started_at.elapsed() >= limit {
            return found;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
