//! Pools of engines, which carry out the decisions of the [`crate::scheduler`].
//!
//! A [`manager`] owns the scheduler and passes every event to it. Each pool has a [`supervisor`] that loads
//! its engine when ordered and notices its death; after each death it waits longer before the next load.
//! Handles are cheap clones. Dropping all of them does not stop the pools; [`TaskGroup::stop`] does.

pub(crate) mod manager;
mod status;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use lar_base::{Bytes, KeyId, TaskGroup, TaskId};
use tokio::sync::{oneshot, watch};

use crate::driver::{Driver, Engine, PreparedPrompt};
use crate::lease::Lease;
use crate::scheduler::{Limits, PoolId, Refusal, Request, SchedulerEvent};
use lar_inference::{CheckedConstraint, Constraint, Error, Prompt, TokenizerAnswer, TokenizerQuery};
use manager::{PoolManager, TicketSenders};
pub use status::{PoolState, PoolStatus, QueuePosition};

/// A handle to all pools.
#[derive(Debug, Clone)]
pub struct Engines {
    manager: Arc<PoolManager>,
    tasks: TaskGroup,
}

impl Engines {
    /// Starts without pools. When `tasks` is stopped, every engine is unloaded.
    #[must_use]
    pub fn run(limits: Limits, tasks: &TaskGroup) -> Self {
        let manager = Arc::new(PoolManager::new(limits, tasks));
        tasks.spawn(manager.clone().tick());
        Self { manager, tasks: tasks.clone() }
    }

    /// Adds a pool for the model `pool`, not loaded yet. A pool that has the name already stays unchanged.
    /// `memory` is the memory that the model uses while it is loaded; 0 if it runs elsewhere.
    pub fn add(&self, pool: PoolId, driver: Arc<dyn Driver>, memory: Bytes) {
        if let Some(orders) = self.manager.add(pool.clone(), driver.clone(), memory) {
            self.tasks.spawn(supervisor::run(
                pool,
                driver,
                orders,
                self.manager.clone(),
                self.tasks.stopping(),
            ));
        }
    }

    /// Removes a pool: its waiting tasks are refused, its engine is unloaded, and its running tasks fail.
    pub fn remove(&self, pool: &PoolId) {
        self.manager.remove(pool);
    }

    /// Loads a model before a task needs it, as soon as there is memory for it.
    pub fn load(&self, pool: &str) {
        self.manager.step(SchedulerEvent::PoolLoadRequested { pool: pool.to_owned() });
    }

    /// Unloads a model when no task runs on it or waits for it. The next task loads it again.
    pub fn unload(&self, pool: &str) {
        self.manager.step(SchedulerEvent::PoolUnloadRequested { pool: pool.to_owned() });
    }

    /// Returns the default time that an unused model stays loaded; `None` is forever.
    #[must_use]
    pub fn keep_alive(&self) -> Option<Duration> {
        self.manager.limits().keep_alive
    }

    /// Sets how long a model stays loaded after its last use, instead of the default, until its next unload.
    pub fn set_keep_alive(&self, pool: &str, keep_alive: Option<Duration>) {
        self.manager.step(SchedulerEvent::PoolKeepAliveSet { pool: pool.to_owned(), keep_alive });
    }

    /// Returns the memory that further models may use.
    #[must_use]
    pub fn memory_left(&self) -> Bytes {
        self.manager.memory_left()
    }

    /// Requests a lease. The ticket reports the queue position until the task has a lease or a refusal.
    #[must_use]
    pub fn acquire(&self, request: Request) -> Ticket {
        let (position, positions) = watch::channel(None);
        let (outcome, decision) = oneshot::channel();
        let task = request.task;
        self.manager.submit(request, TicketSenders { position, outcome });
        Ticket { positions, decision, withdraw: Withdraw { task: Some(task), manager: self.manager.clone() } }
    }

    /// Cancels a waiting or running task. A running one ends when its engine confirms the stop.
    pub fn cancel(&self, task: TaskId) {
        self.manager.step(SchedulerEvent::Cancel { task });
    }

    /// Stops a running task whose output nobody reads.
    pub fn stop_unread(&self, task: TaskId) {
        self.manager.step(SchedulerEvent::Unread { task });
    }

    /// Returns the number of tasks that wait for a pool.
    #[must_use]
    pub fn waiting(&self, pool: &str) -> usize {
        self.manager.waiting(pool)
    }

    /// Returns the properties of a pool's engine, if the pool exists.
    #[must_use]
    pub fn engine(&self, pool: &str) -> Option<Engine> {
        self.manager.driver(pool).map(|driver| driver.engine())
    }

    /// Returns the number of tasks of one key that a pool can have at the same time: those in its slots and
    /// in the key's share of its queue. `None` if the pool does not exist, or its engine has not reported its
    /// slots yet.
    #[must_use]
    pub fn tasks_of_key_max(&self, pool: &str) -> Option<usize> {
        let slots = self.engine(pool)?.concurrency as usize;
        (slots > 0).then(|| slots + self.manager.limits().key_share())
    }

    /// Shortens texts to what the model of `pool` can read of them, if its engine reports that.
    /// [`lar_inference::Embeddings::truncated`] still lists these texts.
    pub fn shorten(&self, pool: &str, texts: &mut [String]) {
        if let Some(engine) = self.engine(pool).filter(|engine| engine.context_tokens > 0) {
            crate::embedding_steps::shorten(texts, engine.context_tokens);
        }
    }

    /// Counts a prompt's tokens with the model of `pool`, without a lease. `caller` is the key on whose
    /// behalf Lar asks; keys take turns. `None` is Lar itself.
    ///
    /// # Errors
    /// The pool does not exist, or its vocabulary or template fails.
    pub async fn count(&self, pool: &str, caller: Option<KeyId>, prompt: &Prompt) -> Result<usize, Error> {
        self.driver(pool)?.count_for(caller, prompt).await
    }

    /// Prepares a prompt for the model of `pool`, without a lease. `caller` is the same as in
    /// [`Engines::count`].
    ///
    /// # Errors
    /// The pool does not exist, or its vocabulary or template fails.
    pub async fn prepare(
        &self,
        pool: &str,
        caller: Option<KeyId>,
        prompt: Prompt,
    ) -> Result<PreparedPrompt, Error> {
        self.driver(pool)?.prepare_for(caller, prompt).await
    }

    /// Answers a query about the vocabulary or the template of `pool`'s model, without a lease. `caller` is
    /// the same as in [`Engines::count`].
    ///
    /// # Errors
    /// The pool does not exist, or the query has no answer.
    pub async fn query_tokenizer(
        &self,
        pool: &str,
        caller: Option<KeyId>,
        query: TokenizerQuery,
    ) -> Result<TokenizerAnswer, Error> {
        self.driver(pool)?.query_tokenizer_for(caller, query).await
    }

    /// Checks how much of a constraint the engine of `pool` can apply, without a lease; see
    /// [`Driver::check`]. `caller` is the same as in [`Engines::count`].
    ///
    /// # Errors
    /// The pool does not exist, or the engine cannot express the constraint.
    pub async fn check(
        &self,
        pool: &str,
        caller: Option<KeyId>,
        constraint: Constraint,
        strict: bool,
    ) -> Result<CheckedConstraint, Error> {
        self.driver(pool)?.check_for(caller, constraint, strict).await
    }

    /// Returns the status of every pool, by name.
    #[must_use]
    pub fn status(&self) -> Vec<PoolStatus> {
        self.manager.status()
    }

    fn driver(&self, pool: &str) -> Result<Arc<dyn Driver>, Error> {
        self.manager.driver(pool).ok_or_else(|| Error::Failed(format!("the pool `{pool}` does not exist")))
    }
}

/// A task's request for a lease. Dropping it cancels the task.
#[derive(Debug)]
pub struct Ticket {
    positions: watch::Receiver<Option<QueuePosition>>,
    decision: oneshot::Receiver<Result<Lease, Refusal>>,
    withdraw: Withdraw,
}

impl Ticket {
    /// Waits for the decision, and calls `on_position` with every new position until then.
    ///
    /// # Errors
    /// The reason why the task gets no lease.
    pub async fn wait(mut self, mut on_position: impl FnMut(QueuePosition)) -> Result<Lease, Refusal> {
        loop {
            tokio::select! {
                biased;
                outcome = &mut self.decision => {
                    self.withdraw.task = None;
                    return outcome.unwrap_or(Err(Refusal::Cancelled));
                }
                // If the sender is gone, the decision has been sent.
                Ok(()) = self.positions.changed() => {
                    let position = *self.positions.borrow_and_update();
                    position.into_iter().for_each(&mut on_position);
                }
            }
        }
    }
}

#[derive(Debug)]
struct Withdraw {
    task: Option<TaskId>,
    manager: Arc<PoolManager>,
}

impl Drop for Withdraw {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            self.manager.step(SchedulerEvent::Cancel { task });
        }
    }
}
