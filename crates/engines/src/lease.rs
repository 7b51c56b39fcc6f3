//! The right to use an engine for one job.
//!
//! A lease is used by consuming it. What runs on it runs in a task of its own, so that a caller who goes
//! away cannot free it early: it is freed when the engine has sent its terminal event, and only then.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_base::{KeyId, TaskGroup, TaskId};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::driver::{Driver, Embeddings, Event, Generation, GenerationRequest, Ranking};
use crate::pools::manager::PoolManager;
use crate::scheduler::{self, StopCause};

/// Asks for the end of what runs on a lease, and says who asked.
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

/// A place on an engine, granted by the scheduler.
#[derive(Debug)]
pub struct Lease {
    pub(crate) task: TaskId,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) stopper: Stopper,
    pub(crate) tasks: TaskGroup,
    pub(crate) manager: Arc<PoolManager>,
    /// When it was predicted to be granted, counted from its request.
    pub predicted: Duration,
    /// How long it was waited for.
    pub waited: Duration,
}

impl Lease {
    /// Why the engine was asked to stop, once it was. Outlives the lease.
    #[must_use]
    pub fn stop_cause(&self) -> Arc<OnceLock<StopCause>> {
        self.stopper.cause.clone()
    }

    /// Runs a job to its end. `sink` hears every event of it in order, the terminal one last and exactly once.
    /// The future belongs in a task of its own: when it is dropped, the place is free before the engine has
    /// confirmed that it stopped.
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

    /// Computes vectors. When the future is dropped the engine still ends its work before the lease does.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn embed(self, texts: Vec<String>, cache_of: Option<KeyId>) -> Result<Embeddings, Error> {
        self.compute(|driver| async move { driver.embed(texts, cache_of).await }).await
    }

    /// Scores texts for a query; as [`Lease::embed`].
    ///
    /// # Errors
    /// When the engine fails.
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
        answered.await.unwrap_or_else(|_| Err(Error::Failed("it panicked".into())))
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
                    return Event::Failed(Error::Failed("it went away without an end".into()));
                }
            },
        }
    }
}

/// Whether a job has a slot, once that changes.
async fn wait_for_slot_change(slot: &mut Option<watch::Receiver<bool>>) -> bool {
    if let Some(slot) = slot
        && slot.changed().await.is_ok()
    {
        return *slot.borrow_and_update();
    }
    std::future::pending().await
}
