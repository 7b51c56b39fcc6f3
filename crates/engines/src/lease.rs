//! The right to use an engine for one task.
//!
//! A lease is consumed by using it. Its work runs on a separate tokio task, so that a client that disconnects
//! cannot free the lease early. The lease is freed only after the engine has sent its terminal event.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_base::{KeyId, TaskGroup, TaskId};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, Generation};
use crate::pools::manager::PoolManager;
use crate::scheduler;
use crate::scheduler::StopCause;
use lar_inference::Error;
use lar_inference::{Embeddings, Event, GenerationRequest, Ranking};

/// Requests the end of the work on a lease and stores the cause.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopper {
    pub(crate) token: CancellationToken,
    pub(crate) cause: Arc<OnceLock<StopCause>>,
}

impl Stopper {
    pub(crate) fn stop(&self, cause: StopCause) {
        let _ = self.cause.set(cause);
        self.token.cancel();
    }
}

/// A lease on one slot of an engine, granted by the scheduler.
#[derive(Debug)]
pub struct Lease {
    pub(crate) task: TaskId,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) stopper: Stopper,
    pub(crate) tasks: TaskGroup,
    pub(crate) manager: Arc<PoolManager>,
    /// The predicted wait, counted from the request for the lease.
    pub predicted: Duration,
    /// The actual wait, counted in the same way.
    pub waited: Duration,
}

impl Lease {
    /// Returns the cause for which the engine was asked to stop, once that has happened. It outlives the
    /// lease.
    #[must_use]
    pub fn stop_cause(&self) -> Arc<OnceLock<StopCause>> {
        self.stopper.cause.clone()
    }

    /// Runs a generation to its end. `sink` receives every event in order; the terminal event is the last,
    /// exactly once. Run the future on a separate tokio task: dropping it frees the lease before the engine
    /// has confirmed the stop.
    pub async fn generate(self, request: GenerationRequest, mut sink: impl FnMut(Event)) {
        let report_slot = |has_slot| {
            let task = self.task;
            self.manager.step(if has_slot {
                scheduler::SchedulerEvent::Started { task }
            } else {
                scheduler::SchedulerEvent::Paused { task }
            });
        };
        let end = match self.driver.generate(request) {
            Ok(generation) => forward_events(generation, &self.stopper.token, report_slot, &mut sink).await,
            Err(error) => Event::Failed(error),
        };
        drop(self);
        sink(end);
    }

    /// Computes embeddings. If the future is dropped, the engine still finishes its work before the lease is
    /// freed.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn embed(self, texts: Vec<String>, cache_of: Option<KeyId>) -> Result<Embeddings, Error> {
        self.compute(|driver| async move { driver.embed(texts, cache_of).await }).await
    }

    /// Scores texts for a query. Cancellation works as in [`Lease::embed`].
    ///
    /// # Errors
    /// The engine failed.
    pub async fn rank(self, query: String, texts: Vec<String>) -> Result<Ranking, Error> {
        self.compute(|driver| async move { driver.rank(query, texts).await }).await
    }

    async fn compute<T, F>(self, work: impl FnOnce(Arc<dyn Driver>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let (tasks, work) = (self.tasks.clone(), work(self.driver.clone()));
        tasks.spawn(async move {
            let result = work.await;
            drop(self);
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(Error::Failed("the engine's driver panicked".into())))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.manager.step(scheduler::SchedulerEvent::Stopped { task: self.task });
    }
}

async fn forward_events(
    mut generation: Generation,
    stop: &CancellationToken,
    report_slot: impl Fn(bool),
    sink: &mut impl FnMut(Event),
) -> Event {
    let mut slot = generation.has_slot.take();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !generation.stop.is_cancelled() => generation.stop.cancel(),
            has_slot = wait_for_slot_change(&mut slot) => report_slot(has_slot),
            event = generation.events.next() => match event {
                Some(event) if event.is_terminal() => return event,
                Some(event) => sink(event),
                None => {
                    let reason = "its event stream ended without a terminal event";
                    return Event::Failed(Error::Failed(reason.into()));
                }
            },
        }
    }
}

/// Waits until a generation gains or loses its slot, and returns whether it has one.
async fn wait_for_slot_change(slot: &mut Option<watch::Receiver<bool>>) -> bool {
    if let Some(slot) = slot
        && slot.changed().await.is_ok()
    {
        return *slot.borrow_and_update();
    }
    std::future::pending().await
}
