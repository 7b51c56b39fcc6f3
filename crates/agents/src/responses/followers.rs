//! The followers of background responses. Each reads the events of a task to its end and stores the response.
//!
//! Invariant: a background response has a follower from before it is stored as running until its end is
//! stored. A running response without a follower has lost its end: storing it failed, or the follower panicked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Code, Problem, TaskId, error_chain};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The maximum number of attempts to store the end of a response.
const ATTEMPTS_MAX: u32 = 5;
/// The delay between the first two attempts. Each delay is twice the one before, so all take 15 seconds.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The outcome of storing the end of a response; the error is shown to the client.
type StoringResult = Result<(), Problem>;

/// The followers that run now. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Followers {
    /// The signal of each follower, by the task of its response. The number of running tasks limits it.
    signals: Arc<Mutex<HashMap<TaskId, StoredSignal>>>,
}

/// The registration of a follower. Dropping it without storing the end means that the end is lost.
#[derive(Debug)]
pub(super) struct Follower {
    followers: Followers,
    task: TaskId,
    /// `None` until the end is stored, or storing it failed.
    outcome: watch::Sender<Option<StoringResult>>,
}

/// The signal that the end of a background response is stored. Clones wait for the same end.
#[derive(Debug, Clone)]
pub(super) struct StoredSignal(watch::Receiver<Option<StoringResult>>);

impl Followers {
    /// Registers the follower of a task's response.
    pub(super) fn register(&self, task: TaskId) -> Follower {
        let (outcome, receiver) = watch::channel(None);
        self.lock().insert(task, StoredSignal(receiver));
        Follower { followers: self.clone(), task, outcome }
    }

    /// Returns the signal of a task's follower, or `None` if none runs.
    pub(super) fn signal(&self, task: TaskId) -> Option<StoredSignal> {
        self.lock().get(&task).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, StoredSignal>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Returns the signal that other code waits for.
    pub(super) fn signal(&self) -> StoredSignal {
        StoredSignal(self.outcome.subscribe())
    }

    /// Stores the end of the response with `store` and signals the outcome.
    ///
    /// A failed attempt is repeated up to [`ATTEMPTS_MAX`] attempts, or until `stopping` is cancelled. The last
    /// error is logged, and redacted for clients.
    pub(super) async fn store_end<F>(
        self,
        stopping: &CancellationToken,
        redact: fn(Problem) -> Problem,
        store: impl FnMut() -> F,
    ) where
        F: Future<Output = Result<(), lar_store::Error>>,
    {
        let stored = with_retries(FIRST_DELAY, stopping, store).await;
        let outcome = stored.map_err(|error| {
            let task = self.task;
            tracing::error!(error = %error_chain(&error), %task, "could not store the end of a response");
            redact(error.into())
        });
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.lock().remove(&self.task);
    }
}

impl StoredSignal {
    /// Waits until the end of the response is stored.
    ///
    /// # Errors
    /// The error of storing it; [`end_not_stored`] if the follower panicked.
    pub(super) async fn wait(mut self) -> StoringResult {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            Err(_) => Err(end_not_stored()),
        }
    }
}

/// Returns the error of a response whose end could not be stored.
pub(super) fn end_not_stored() -> Problem {
    let detail = "the end of the response could not be stored; send the request again";
    Problem::new(Code::StoreUnavailable, detail)
}

/// Calls `attempt` until it succeeds, at most [`ATTEMPTS_MAX`] times. Returns the last error.
///
/// Once `stopping` is cancelled, there is one more attempt, without a delay.
async fn with_retries<F, E>(
    first_delay: Duration,
    stopping: &CancellationToken,
    mut attempt: impl FnMut() -> F,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let mut delay = first_delay;
    for _ in 1..ATTEMPTS_MAX {
        let Err(error) = attempt().await else { return Ok(()) };
        tracing::warn!(error = %error_chain(&error), "could not store the end of a response; trying again");
        tokio::select! {
            () = tokio::time::sleep(delay) => delay *= 2,
            () = stopping.cancelled() => break,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_signal_waits_until_the_end_is_stored() {
        let (followers, task) = (Followers::default(), TaskId::new());
        let follower = followers.register(task);
        let signals = [follower.signal(), followers.signal(task).unwrap()];
        assert_eq!(signals[0].clone().wait().now_or_never(), None);
        follower.store_end(&CancellationToken::new(), |problem| problem, || async { Ok(()) }).await;
        for signal in signals {
            assert_eq!(signal.wait().await, Ok(()));
        }
        assert!(followers.signal(task).is_none(), "the follower has ended");
    }

    #[tokio::test]
    async fn a_failure_and_a_panic_are_signalled() {
        let (followers, task) = (Followers::default(), TaskId::new());
        let (follower, stopping) = (followers.register(task), CancellationToken::new());
        let signal = follower.signal();
        stopping.cancel();
        let redact = |problem: Problem| Problem { detail: "redacted".into(), ..problem };
        follower.store_end(&stopping, redact, || async { Err(lar_store::Error::Closed) }).await;
        assert_eq!(signal.wait().await, Err(Problem::new(Code::StoreUnavailable, "redacted")));

        let follower = followers.register(task);
        let signal = follower.signal();
        drop(follower);
        assert_eq!(signal.wait().await, Err(end_not_stored()));
    }

    /// Returns how many attempts are made if the first `failures` fail, and whether the last one succeeds.
    async fn attempts(failures: u32, first_delay: Duration, stopping: &CancellationToken) -> (u32, bool) {
        let mut attempts = 0;
        let result = with_retries(first_delay, stopping, || {
            attempts += 1;
            let outcome = if attempts > failures { Ok(()) } else { Err(std::io::Error::other("no")) };
            std::future::ready(outcome)
        });
        let is_stored = result.await.is_ok();
        (attempts, is_stored)
    }

    #[tokio::test]
    async fn storing_is_tried_again_a_limited_number_of_times() {
        let stopping = CancellationToken::new();
        for (failures, expected) in
            [(0, (1, true)), (2, (3, true)), (4, (5, true)), (9, (ATTEMPTS_MAX, false))]
        {
            assert_eq!(attempts(failures, Duration::ZERO, &stopping).await, expected);
        }
        stopping.cancel();
        let hour = Duration::from_secs(3600);
        assert_eq!(attempts(9, hour, &stopping).await, (2, false), "a server that stops does not wait");
    }
}
