//! A grammar's matcher whose work is bounded in time: schemas come from callers, and while the mask of one answer's next
//! token is computed all other answers of the model wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use lar_base::Instant;
use llguidance::toktrie::SimpleVob;
use llguidance::{CancellationHandle, Matcher};

/// One mask may take this long.
pub(super) const MASK_TIME_MAX: Duration = Duration::from_millis(300);
/// All masks of an answer may take this long together, and so much more for each of its tokens.
const MASKS_TIME_MAX: Duration = Duration::from_secs(2);
const MASKS_TIME_PER_TOKEN: Duration = Duration::from_millis(20);
/// How often the watching thread looks, and how often in vain before it sleeps.
const WATCH_EVERY: Duration = Duration::from_millis(50);
const WATCHED_IN_VAIN_MAX: u32 = 40;

/// What a mask or a token came to, in words where it failed.
pub(super) type Outcome<T> = Result<T, String>;

/// A matcher with a limit on its time.
pub(super) struct TimedMatcher {
    matcher: Matcher,
    watch: Arc<Watch>,
    spent: Duration,
    tokens: u32,
}

impl TimedMatcher {
    pub(super) fn new(matcher: Matcher, watch: Arc<Watch>) -> Self {
        Self { matcher: matcher.into_cancellable(), watch, spent: Duration::ZERO, tokens: 0 }
    }

    /// The tokens that may come next.
    ///
    /// # Errors
    /// Where the grammar lets nothing follow, or takes too long.
    pub(super) fn mask(&mut self) -> Outcome<SimpleVob> {
        self.timed(Matcher::compute_mask_or_eos)
    }

    /// Takes in tokens as far as they fit; says how many did.
    ///
    /// # Errors
    /// As [`TimedMatcher::mask`].
    pub(super) fn take_fitting(&mut self, tokens: &[u32]) -> Outcome<usize> {
        self.timed(|matcher| matcher.try_consume_tokens(tokens))
    }

    /// Takes in a token that the mask allows.
    ///
    /// # Errors
    /// As [`TimedMatcher::mask`].
    pub(super) fn take(&mut self, token: u32) -> Outcome<()> {
        self.tokens += 1;
        self.timed(|matcher| matcher.consume_token(token))
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

    fn timed<T, E: std::fmt::Display>(
        &mut self,
        work: impl FnOnce(&mut Matcher) -> Result<T, E>,
    ) -> Outcome<T> {
        let limit = MASKS_TIME_MAX + MASKS_TIME_PER_TOKEN * self.tokens;
        if self.spent > limit {
            return Err(format!("it took over {} ms of computing", limit.as_millis()));
        }
        let begun = Instant::now();
        let done = self.watch.during(self.matcher.cancellation_handle(), || work(&mut self.matcher));
        self.spent += begun.elapsed();
        match done {
            Ok(value) => Ok(value),
            Err(_) if self.matcher.is_cancelled() => {
                Err(format!("one token took over {} ms of computing", MASK_TIME_MAX.as_millis()))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A thread that breaks off what takes too long.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    /// When the present work must be done, in milliseconds from `started`; 0 where there is none.
    deadline_ms: AtomicU64,
    handle: Mutex<Option<CancellationHandle>>,
    sleeps: AtomicBool,
    over: AtomicBool,
}

impl Watch {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            deadline_ms: AtomicU64::new(0),
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
        let deadline = shared.started.elapsed() + MASK_TIME_MAX;
        shared.deadline_ms.store(millis(deadline), Ordering::SeqCst);
        if shared.sleeps.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        let done = work();
        shared.deadline_ms.store(0, Ordering::SeqCst);
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

impl Shared {
    fn watch(&self) {
        let mut in_vain = 0;
        while !self.over.load(Ordering::SeqCst) {
            if in_vain > WATCHED_IN_VAIN_MAX {
                self.sleeps.store(true, Ordering::SeqCst);
                if self.deadline_ms.load(Ordering::SeqCst) == 0 {
                    std::thread::park();
                }
                self.sleeps.store(false, Ordering::SeqCst);
                in_vain = 0;
            }
            std::thread::park_timeout(WATCH_EVERY);
            let deadline = self.deadline_ms.load(Ordering::SeqCst);
            in_vain = if deadline == 0 { in_vain + 1 } else { 0 };
            if deadline > 0 && millis(self.started.elapsed()) > deadline {
                // The work may have ended in between; then there is no handle, or that of later work, whose deadline is
                // looked at again.
                let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
                if self.deadline_ms.load(Ordering::SeqCst) == deadline
                    && let Some(handle) = handle.as_ref()
                {
                    handle.cancel();
                }
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
