//! A grammar matcher with a time limit. Schemas come from callers, and while one answer's mask is computed,
//! all other answers of the model wait.
//!
//! The limit counts processor time: on a busy machine the same mask takes more wall time, but not more work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use lar_base::Instant;
use llguidance::toktrie::SimpleVob;
use llguidance::{CancellationHandle, Matcher};
use rustix::time::{ClockId, clock_gettime};

/// The most processor time of one mask.
pub(super) const MASK_TIME_MAX: Duration = Duration::from_millis(300);
/// The most wall time of one mask, as a multiple of that; beyond it the machine is too busy.
const BUSY_FACTOR: u32 = 4;
/// The most processor time of all masks of an answer, plus the second constant for each of its tokens.
const MASKS_TIME_MAX: Duration = Duration::from_secs(2);
const MASKS_TIME_PER_TOKEN: Duration = Duration::from_millis(20);
/// The interval of the watching thread's checks, and the number of idle checks before it sleeps.
const WATCH_EVERY: Duration = Duration::from_millis(50);
const WATCHED_IN_VAIN_MAX: u32 = 40;

/// The result of a mask or token, or the reason why it failed.
pub(super) type MatcherResult<T> = Result<T, String>;

/// A matcher with a time limit.
pub(super) struct TimedMatcher {
    matcher: Matcher,
    watch: Arc<Watch>,
    spent: Duration,
    tokens: u32,
    is_out_of_time: bool,
}

impl TimedMatcher {
    pub(super) fn new(matcher: Matcher, watch: Arc<Watch>) -> Self {
        Self {
            matcher: matcher.into_cancellable(),
            watch,
            spent: Duration::ZERO,
            tokens: 0,
            is_out_of_time: false,
        }
    }

    /// Returns the mask of the tokens that may come next.
    ///
    /// # Errors
    /// The grammar allows no next token, or takes too long.
    pub(super) fn mask(&mut self) -> MatcherResult<SimpleVob> {
        self.run_timed(Matcher::compute_mask_or_eos)
    }

    /// Consumes the longest matching prefix of the tokens and returns its length.
    ///
    /// # Errors
    /// The same as [`TimedMatcher::mask`].
    pub(super) fn take_fitting(&mut self, tokens: &[u32]) -> MatcherResult<usize> {
        self.run_timed(|matcher| matcher.try_consume_tokens(tokens))
    }

    /// Consumes a token that the mask allows.
    ///
    /// # Errors
    /// The same as [`TimedMatcher::mask`].
    pub(super) fn take(&mut self, token: u32) -> MatcherResult<()> {
        self.tokens += 1;
        self.run_timed(|matcher| matcher.consume_token(token))
    }

    /// Returns whether it failed because it took too long.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.is_out_of_time
    }

    /// Returns whether the answer is complete.
    pub(super) fn is_whole(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Returns whether the answer may end here.
    pub(super) fn may_end(&mut self) -> bool {
        self.matcher.is_accepting().unwrap_or(false)
    }

    /// Tokenizes bytes with the grammar's vocabulary.
    pub(super) fn tokenize(&self, bytes: &[u8]) -> Vec<u32> {
        self.matcher.tok_env().map(|tokens| tokens.tokenize_bytes(bytes)).unwrap_or_default()
    }

    fn run_timed<T, E: std::fmt::Display>(
        &mut self,
        work: impl FnOnce(&mut Matcher) -> Result<T, E>,
    ) -> MatcherResult<T> {
        let limit = MASKS_TIME_MAX + MASKS_TIME_PER_TOKEN * self.tokens;
        if self.spent > limit {
            self.is_out_of_time = true;
            return Err(format!("it took over {} ms of processor time", limit.as_millis()));
        }
        let started = thread_time();
        let done = self.watch.during(self.matcher.cancellation_handle(), || work(&mut self.matcher));
        self.spent += thread_time().saturating_sub(started);
        match done {
            Ok(value) => Ok(value),
            Err(_) if self.matcher.is_cancelled() => {
                self.is_out_of_time = true;
                Err(format!("one token took over {} ms of processor time", MASK_TIME_MAX.as_millis()))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A thread that cancels masks that take too long.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<WatchState>,
    thread: Thread,
}

#[derive(Debug)]
struct WatchState {
    started: Instant,
    /// When the current work started, in milliseconds since `started`; 0 if there is none.
    since_ms: AtomicU64,
    /// The process's processor time at that moment, in milliseconds.
    process_ms: AtomicU64,
    handle: Mutex<Option<CancellationHandle>>,
    sleeps: AtomicBool,
    over: AtomicBool,
}

impl Watch {
    pub(super) fn start() -> Self {
        let shared = Arc::new(WatchState {
            started: Instant::now(),
            since_ms: AtomicU64::new(0),
            process_ms: AtomicU64::new(0),
            handle: Mutex::new(None),
            sleeps: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let watched = shared.clone();
        let thread = std::thread::spawn(move || watched.watch()).thread().clone();
        Self { shared, thread }
    }

    fn during<T>(&self, handle: Option<CancellationHandle>, work: impl FnOnce() -> T) -> T {
        let shared = &self.shared;
        *shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = handle;
        shared.process_ms.store(millis(process_time()), Ordering::SeqCst);
        shared.since_ms.store(millis(shared.started.elapsed()), Ordering::SeqCst);
        if shared.sleeps.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        let done = work();
        shared.since_ms.store(0, Ordering::SeqCst);
        *shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
        done
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl WatchState {
    fn watch(&self) {
        let mut in_vain = 0;
        while !self.over.load(Ordering::SeqCst) {
            if in_vain > WATCHED_IN_VAIN_MAX {
                self.sleeps.store(true, Ordering::SeqCst);
                if self.since_ms.load(Ordering::SeqCst) == 0 {
                    std::thread::park();
                }
                self.sleeps.store(false, Ordering::SeqCst);
                in_vain = 0;
            }
            std::thread::park_timeout(WATCH_EVERY);
            let since = self.since_ms.load(Ordering::SeqCst);
            in_vain = if since == 0 { in_vain + 1 } else { 0 };
            if since > 0 && self.is_too_long(since) {
                // The work may have ended since. Then there is no handle, or that of later work, which has
                // another start.
                let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
                if self.since_ms.load(Ordering::SeqCst) == since
                    && let Some(handle) = handle.as_ref()
                {
                    handle.cancel();
                }
            }
        }
    }

    fn is_too_long(&self, since_ms: u64) -> bool {
        let since = |now: Duration, then_ms: u64| now.saturating_sub(Duration::from_millis(then_ms));
        let taken = since(self.started.elapsed(), since_ms);
        let computed = since(process_time(), self.process_ms.load(Ordering::SeqCst));
        is_too_long(taken, computed)
    }
}

/// Returns whether to cancel a mask after this wall time, during which all threads of the process used
/// `computed` of processor time. The mask's own thread used at most that.
fn is_too_long(taken: Duration, computed: Duration) -> bool {
    taken > MASK_TIME_MAX && (computed > MASK_TIME_MAX || taken > MASK_TIME_MAX * BUSY_FACTOR)
}

/// Returns the processor time of the calling thread.
pub(super) fn thread_time() -> Duration {
    processor_time(ClockId::ThreadCPUTime)
}

/// Returns the processor time of all threads of the process.
fn process_time() -> Duration {
    processor_time(ClockId::ProcessCPUTime)
}

fn processor_time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_waiting_for_the_processor_gets_more_wall_time() {
        let milliseconds = Duration::from_millis;
        for (taken, computed, expected) in
            [(299, 299, false), (310, 310, true), (310, 600, true), (1_000, 200, false), (1_300, 200, true)]
        {
            let found = is_too_long(milliseconds(taken), milliseconds(computed));
            assert_eq!(found, expected, "{taken} ms of wall time, {computed} ms of processor time");
        }
    }

    #[test]
    fn only_processor_time_counts() {
        let (started, clock) = (thread_time(), Instant::now());
        // The time of another thread does not count.
        std::thread::spawn(|| while thread_time() < Duration::from_millis(50) {}).join().unwrap();
        assert!(clock.elapsed() >= Duration::from_millis(50));
        assert!(thread_time().saturating_sub(started) < Duration::from_millis(50));
        assert!(process_time() >= Duration::from_millis(50));
    }
}
