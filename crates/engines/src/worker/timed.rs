//! A grammar's matcher whose work is bounded in time: schemas come from callers, and while the mask of one answer's next
//! token is computed all other answers of the model wait.
//!
//! The time is the processor's: on a machine that is busy with other programs a mask takes longer by the clock, and is the
//! same work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use lar_base::Instant;
use llguidance::toktrie::SimpleVob;
use llguidance::{CancellationHandle, Matcher};
use rustix::time::{ClockId, clock_gettime};

/// One mask may compute this long.
pub(super) const MASK_TIME_MAX: Duration = Duration::from_millis(300);
/// By the clock, it may take so many times as long: then the machine is too busy for it.
const BUSY_FACTOR: u32 = 4;
/// All masks of an answer may take this long together, and so much more for each of its tokens.
const MASKS_TIME_MAX: Duration = Duration::from_secs(2);
const MASKS_TIME_PER_TOKEN: Duration = Duration::from_millis(20);
/// How often the watching thread looks, and how often in vain before it sleeps.
const WATCH_EVERY: Duration = Duration::from_millis(50);
const WATCHED_IN_VAIN_MAX: u32 = 40;

/// What a mask or a token came to, in words where it failed.
pub(super) type MatcherResult<T> = Result<T, String>;

/// A matcher with a limit on its time.
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

    /// The tokens that may come next.
    ///
    /// # Errors
    /// Where the grammar lets nothing follow, or takes too long.
    pub(super) fn mask(&mut self) -> MatcherResult<SimpleVob> {
        self.run_timed(Matcher::compute_mask_or_eos)
    }

    /// Takes in tokens as far as they fit; says how many did.
    ///
    /// # Errors
    /// As [`TimedMatcher::mask`].
    pub(super) fn take_fitting(&mut self, tokens: &[u32]) -> MatcherResult<usize> {
        self.run_timed(|matcher| matcher.try_consume_tokens(tokens))
    }

    /// Takes in a token that the mask allows.
    ///
    /// # Errors
    /// As [`TimedMatcher::mask`].
    pub(super) fn take(&mut self, token: u32) -> MatcherResult<()> {
        self.tokens += 1;
        self.run_timed(|matcher| matcher.consume_token(token))
    }

    /// Whether it failed because it took too long.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.is_out_of_time
    }

    /// Whether nothing can follow.
    pub(super) fn is_whole(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Whether the answer may end here.
    pub(super) fn may_end(&mut self) -> bool {
        self.matcher.is_accepting().unwrap_or(false)
    }

    /// Tokens of some bytes, as the grammar's vocabulary has them.
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
            return Err(format!("it took over {} ms of computing", limit.as_millis()));
        }
        let started = thread_time();
        let done = self.watch.during(self.matcher.cancellation_handle(), || work(&mut self.matcher));
        self.spent += thread_time().saturating_sub(started);
        match done {
            Ok(value) => Ok(value),
            Err(_) if self.matcher.is_cancelled() => {
                self.is_out_of_time = true;
                Err(format!("one token took over {} ms of computing", MASK_TIME_MAX.as_millis()))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A thread that breaks off what takes too long.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<WatchState>,
    thread: Thread,
}

#[derive(Debug)]
struct WatchState {
    started: Instant,
    /// When the present work began, in milliseconds from `started`; 0 where there is none.
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
                // The work may have ended in between; then there is no handle, or that of later work, whose beginning is
                // looked at again.
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

/// Whether a mask is broken off that has taken so long by the clock, while all threads of the process computed for
/// `computed`: the mask's own thread computed for no longer.
fn is_too_long(taken: Duration, computed: Duration) -> bool {
    taken > MASK_TIME_MAX && (computed > MASK_TIME_MAX || taken > MASK_TIME_MAX * BUSY_FACTOR)
}

/// Processor time of the calling thread.
pub(super) fn thread_time() -> Duration {
    processor_time(ClockId::ThreadCPUTime)
}

/// Processor time of all threads of the process.
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
            assert_eq!(found, expected, "{taken} ms, of which it computed {computed} ms");
        }
    }

    #[test]
    fn only_processor_time_counts() {
        let (started, clock) = (thread_time(), Instant::now());
        // Another thread's work is none of this one's.
        std::thread::spawn(|| while thread_time() < Duration::from_millis(50) {}).join().unwrap();
        assert!(clock.elapsed() >= Duration::from_millis(50));
        assert!(thread_time().saturating_sub(started) < Duration::from_millis(50));
        assert!(process_time() >= Duration::from_millis(50));
    }
}
