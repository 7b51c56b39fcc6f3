//! Pools of engines: carries out what the [`crate::scheduler`] decides.
//!
//! A [`manager`] owns the scheduler and hears of everything that happens; each pool has a [`supervisor`] that
//! loads its engine when asked, notices its death and waits longer after every one. Handles are cheap
//! clones; dropping all of them does not stop the pools, [`TaskGroup::stop`] does.

pub(crate) mod manager;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use lar_base::{Bytes, Instant, KeyId, TaskGroup, TaskId};
use tokio::sync::{oneshot, watch};

use crate::Error;
use crate::driver::{
    CheckedConstraint, Constraint, Driver, Engine, PreparedPrompt, Prompt, TokenizerAnswer, TokenizerQuery,
};
use crate::lease::Lease;
use crate::scheduler::{Limits, PoolId, Refusal, Request, SchedulerEvent, WaitReason};
use manager::{PoolManager, TicketSenders};

/// Where a waiting task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePosition {
    /// How many start before it.
    pub position: usize,
    /// In how long it will probably start.
    pub predicted_start: Duration,
    /// What it waits for.
    pub wait_reason: WaitReason,
}

/// What a pool's engine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolState {
    /// Nothing is in memory.
    Unloaded,
    /// The model is on its way into memory.
    Loading,
    /// Work can be taken.
    Ready,
    /// The last attempt to load failed.
    Failed(String),
}

/// A pool as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// The model it serves.
    pub pool: PoolId,
    /// What its engine is.
    pub engine: Engine,
    /// What its engine is doing.
    pub state: PoolState,
    /// Leases given out.
    pub active: usize,
    /// Tasks that wait, interactive and batch.
    pub waiting: [usize; 2],
    /// What its model takes of the memory while it is loaded.
    pub memory: Bytes,
    /// Threads that compute single tokens, while it is loaded and where the engine tells.
    pub threads: Option<u32>,
    /// When its model goes if nobody uses it until then.
    pub unloads_at: Option<Instant>,
}

/// A handle to all pools.
#[derive(Debug, Clone)]
pub struct Engines {
    manager: Arc<PoolManager>,
    tasks: TaskGroup,
}

impl Engines {
    /// No pools yet. When `tasks` is told to stop, every engine is unloaded.
    #[must_use]
    pub fn run(limits: Limits, tasks: &TaskGroup) -> Self {
        let manager = Arc::new(PoolManager::new(limits, tasks));
        tasks.spawn(manager.clone().tick());
        Self { manager, tasks: tasks.clone() }
    }

    /// Adds a pool for the model `pool`, not loaded yet; one of that name that is there stays as it is.
    /// `memory` is what the model takes while it is loaded; none, when it runs elsewhere.
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

    /// Takes a pool away: what waits for it is refused, its engine is unloaded, and what runs on it fails.
    pub fn remove(&self, pool: &PoolId) {
        self.manager.remove(pool);
    }

    /// Loads a model before anyone asks for it, as soon as there is memory for it.
    pub fn load(&self, pool: &str) {
        self.manager.step(SchedulerEvent::PoolLoadRequested { pool: pool.to_owned() });
    }

    /// Lets a model go that no task runs on; the next task loads it again.
    pub fn unload(&self, pool: &str) {
        self.manager.step(SchedulerEvent::PoolUnloadRequested { pool: pool.to_owned() });
    }

    /// How long a model stays after its last use where nobody says so; none is for good.
    #[must_use]
    pub fn keep_alive(&self) -> Option<Duration> {
        self.manager.limits().keep_alive
    }

    /// Lets a model stay for this long after its last use, rather than as long as is set, until it is let go.
    pub fn set_keep_alive(&self, pool: &str, keep_alive: Option<Duration>) {
        self.manager.step(SchedulerEvent::PoolKeepAliveSet { pool: pool.to_owned(), keep_alive });
    }

    /// Memory that loaded models leave of what they may take.
    #[must_use]
    pub fn memory_left(&self) -> Bytes {
        self.manager.memory_left()
    }

    /// Asks for a place. The ticket tells where the task stands until it has a lease or a refusal.
    #[must_use]
    pub fn acquire(&self, request: Request) -> Ticket {
        let (position, positions) = watch::channel(None);
        let (outcome, decision) = oneshot::channel();
        let task = request.task;
        self.manager.submit(request, TicketSenders { position, outcome });
        Ticket { positions, decision, withdraw: Withdraw { task: Some(task), manager: self.manager.clone() } }
    }

    /// Takes a task back, whether it waits or runs. A running one ends when its engine confirms.
    pub fn cancel(&self, task: TaskId) {
        self.manager.step(SchedulerEvent::Cancel { task });
    }

    /// Stops a task that runs and whose answer nobody takes.
    pub fn stop_unread(&self, task: TaskId) {
        self.manager.step(SchedulerEvent::Unread { task });
    }

    /// Tasks that wait for a pool.
    #[must_use]
    pub fn waiting(&self, pool: &str) -> usize {
        self.manager.waiting(pool)
    }

    /// What the engine of a pool is, if there is such a pool.
    #[must_use]
    pub fn engine(&self, pool: &str) -> Option<Engine> {
        self.manager.driver(pool).map(|driver| driver.engine())
    }

    /// Tasks of one key that a pool can have at once: those in its slots and those in the key's share of its queue. `None`
    /// where there is no such pool, or its engine has not told its slots yet.
    #[must_use]
    pub fn tasks_of_key_max(&self, pool: &str) -> Option<usize> {
        let slots = self.engine(pool)?.concurrency as usize;
        (slots > 0).then(|| slots + self.manager.limits().key_share())
    }

    /// Leaves of texts to be embedded or ranked no more than the model of `pool` can read of them, where it tells how much
    /// that is. What was cut is told by [`crate::driver::Embeddings::truncated`] as before.
    pub fn shorten(&self, pool: &str, texts: &mut [String]) {
        if let Some(engine) = self.engine(pool).filter(|engine| engine.context_tokens > 0) {
            crate::embedding_cache::shorten(texts, engine.context_tokens);
        }
    }

    /// Counts a prompt's tokens with the model of `pool`, without taking a place. `caller` is the key that asks,
    /// which takes turns with others; `None` is Lar itself.
    ///
    /// # Errors
    /// When there is no such pool, or its vocabulary or template fails.
    pub async fn count(&self, pool: &str, caller: Option<KeyId>, prompt: &Prompt) -> Result<usize, Error> {
        self.driver(pool)?.count_for(caller, prompt).await
    }

    /// Makes a prompt ready for the model of `pool`, without taking a place. `caller` is as in [`Engines::count`].
    ///
    /// # Errors
    /// When there is no such pool, or its vocabulary or template fails.
    pub async fn prepare(
        &self,
        pool: &str,
        caller: Option<KeyId>,
        prompt: Prompt,
    ) -> Result<PreparedPrompt, Error> {
        self.driver(pool)?.prepare_for(caller, prompt).await
    }

    /// Answers a question about the vocabulary or the template of `pool`'s model, without taking a place. `caller` is as in
    /// [`Engines::count`].
    ///
    /// # Errors
    /// When there is no such pool, or the question has no answer.
    pub async fn query_tokenizer(
        &self,
        pool: &str,
        caller: Option<KeyId>,
        question: TokenizerQuery,
    ) -> Result<TokenizerAnswer, Error> {
        self.driver(pool)?.query_tokenizer_for(caller, question).await
    }

    /// Says how far the model of `pool` can keep an answer to a constraint, without taking a place; see [`Driver::check`].
    /// `caller` is as in [`Engines::count`].
    ///
    /// # Errors
    /// When there is no such pool, or what the constraint says that cannot be expressed.
    pub async fn check(
        &self,
        pool: &str,
        caller: Option<KeyId>,
        constraint: Constraint,
        strict: bool,
    ) -> Result<CheckedConstraint, Error> {
        self.driver(pool)?.check_for(caller, constraint, strict).await
    }

    /// Every pool as it stands, by name.
    #[must_use]
    pub fn status(&self) -> Vec<PoolStatus> {
        self.manager.status()
    }

    fn driver(&self, pool: &str) -> Result<Arc<dyn Driver>, Error> {
        self.manager.driver(pool).ok_or_else(|| Error::Failed(format!("there is no pool `{pool}`")))
    }
}

/// A task's stand in a queue. Dropping it takes the task back.
#[derive(Debug)]
pub struct Ticket {
    positions: watch::Receiver<Option<QueuePosition>>,
    decision: oneshot::Receiver<Result<Lease, Refusal>>,
    withdraw: Withdraw,
}

impl Ticket {
    /// Waits for the decision, telling `on_position` of every change of position until then.
    ///
    /// # Errors
    /// Why the task never gets a lease.
    pub async fn wait(mut self, mut on_position: impl FnMut(QueuePosition)) -> Result<Lease, Refusal> {
        loop {
            tokio::select! {
                biased;
                outcome = &mut self.decision => {
                    self.withdraw.task = None;
                    return outcome.unwrap_or(Err(Refusal::Cancelled));
                }
                // Once its sender is gone, the decision is on its way.
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
