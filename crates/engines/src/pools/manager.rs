//! The state that all pools share, behind one lock: the scheduler, the waiting tasks and the running ones.
//!
//! The code that causes an event also takes the scheduler's step, so that a free slot is granted without a
//! detour through another task. A step never waits. A lease that its task no longer wants frees itself with
//! another step, so the leases of a step are handed over after the lock is released.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Bytes, Instant, TaskGroup, TaskId};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::status::{PoolState, PoolStatus, QueuePosition};
use crate::driver::{Driver, Engine};
use crate::lease::{Lease, Stopper};
use crate::scheduler::{Action, Limits, PoolId, PoolView, Refusal, Request, Scheduler, SchedulerEvent};

/// The shortest interval of ticks, in which a step is taken without an event.
const TICK_MIN: Duration = Duration::from_millis(50);
/// The longest interval of ticks.
const TICK_MAX: Duration = Duration::from_secs(5);
/// The interval of checks, during a stop, whether every lease has been freed.
const STOPPING_TICK: Duration = Duration::from_millis(50);
/// The number of orders that may wait for a pool's supervisor. Except for a removal, the scheduler gives no
/// order before it knows the outcome of the last one.
const ORDERS_MAX: usize = 8;

/// An order for a pool's supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Start the engine and load the model.
    Load,
    /// Stop the engine, which frees the model's memory.
    Unload,
    /// Unload the model and end.
    Remove,
}

#[derive(Debug)]
pub(crate) struct PoolManager {
    state: Mutex<ManagerState>,
    /// Wakes [`PoolManager::tick`] when the next step is due earlier than planned.
    clock: Notify,
    tick: Duration,
    tasks: TaskGroup,
}

#[derive(Debug)]
struct ManagerState {
    scheduler: Scheduler,
    tickets: HashMap<TaskId, TicketSenders>,
    running: HashMap<TaskId, Stopper>,
    pools: BTreeMap<PoolId, PoolEntry>,
    /// The planned time of the next tick.
    ticks_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct TicketSenders {
    pub(super) position: watch::Sender<Option<QueuePosition>>,
    pub(super) outcome: oneshot::Sender<Result<Lease, Refusal>>,
}

#[derive(Debug)]
struct PoolEntry {
    driver: Arc<dyn Driver>,
    orders: mpsc::Sender<Order>,
    state: PoolState,
}

impl PoolEntry {
    fn order(&self, order: Order) {
        // A closed channel means that the supervisor ended because Lar stops.
        if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(order) {
            tracing::error!(?order, "the order queue of a pool's supervisor is full");
        }
    }
}

impl PoolManager {
    pub(super) fn new(limits: Limits, tasks: &TaskGroup) -> Self {
        // Unused models and models that wait for memory are checked at this interval.
        let tick = limits.keep_alive.unwrap_or(TICK_MAX).clamp(TICK_MIN, TICK_MAX);
        let state = ManagerState {
            scheduler: Scheduler::new(limits),
            tickets: HashMap::new(),
            running: HashMap::new(),
            pools: BTreeMap::new(),
            ticks_at: None,
        };
        Self { state: Mutex::new(state), clock: Notify::new(), tick, tasks: tasks.clone() }
    }

    /// Takes a step whenever the passing of time changes something. Ends when Lar stops and no task runs.
    pub(super) async fn tick(self: Arc<Self>) {
        let stopping = self.tasks.stopping();
        loop {
            let (next, idle) = {
                let mut state = self.lock();
                let next = state.scheduler.next_deadline();
                state.ticks_at = Some(next.unwrap_or(Instant::now().after(self.tick)));
                (next, state.running.is_empty())
            };
            if stopping.is_cancelled() && idle {
                return;
            }
            let mut wait = next.map_or(self.tick, |at| at.since(Instant::now()).min(self.tick));
            if stopping.is_cancelled() {
                wait = wait.min(STOPPING_TICK);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => self.step(SchedulerEvent::Tick),
                () = self.clock.notified() => {}
                () = stopping.cancelled(), if !stopping.is_cancelled() => {}
            }
        }
    }

    pub(super) fn add(
        self: &Arc<Self>,
        pool: PoolId,
        driver: Arc<dyn Driver>,
        memory: Bytes,
    ) -> Option<mpsc::Receiver<Order>> {
        let concurrency = driver.engine().concurrency;
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        self.update(|state| {
            if state.pools.contains_key(&pool) {
                return (None, None);
            }
            state.pools.insert(pool.clone(), PoolEntry { driver, orders, state: PoolState::Unloaded });
            (Some(inbox), Some(SchedulerEvent::PoolAdded { pool, concurrency, memory }))
        })
    }

    pub(super) fn remove(self: &Arc<Self>, pool: &PoolId) {
        self.update(|state| {
            if let Some(entry) = state.pools.remove(pool) {
                entry.order(Order::Remove);
            }
            ((), Some(SchedulerEvent::PoolRemoved { pool: pool.clone() }))
        });
    }

    pub(super) fn submit(self: &Arc<Self>, request: Request, ticket: TicketSenders) {
        self.update(|state| {
            state.tickets.insert(request.task, ticket);
            ((), Some(SchedulerEvent::Submit(request)))
        });
    }

    /// Handles a new state of a pool's engine, from its supervisor.
    pub(super) fn set_state(self: &Arc<Self>, pool: &PoolId, now: PoolState) {
        self.update(|state| {
            let Some(entry) = state.pools.get_mut(pool) else { return ((), None) };
            let pool = pool.clone();
            let event = match &now {
                PoolState::Ready => {
                    let Engine { concurrency, paused_max, .. } = entry.driver.engine();
                    Some(SchedulerEvent::PoolReady { pool, concurrency, paused_max })
                }
                PoolState::Unloaded => Some(SchedulerEvent::PoolDown { pool }),
                PoolState::Failed(reason) => {
                    Some(SchedulerEvent::PoolFailed { pool, reason: reason.clone() })
                }
                PoolState::Loading => None,
            };
            entry.state = now;
            ((), event)
        });
    }

    pub(super) fn driver(&self, pool: &str) -> Option<Arc<dyn Driver>> {
        self.lock().pools.get(pool).map(|entry| entry.driver.clone())
    }

    pub(super) fn memory_left(&self) -> Bytes {
        self.lock().scheduler.memory_left()
    }

    pub(super) fn limits(&self) -> Limits {
        self.lock().scheduler.limits()
    }

    pub(super) fn waiting(&self, pool: &str) -> usize {
        self.lock().scheduler.waiting(pool)
    }

    pub(super) fn status(&self) -> Vec<PoolStatus> {
        let state = self.lock();
        let views = state.scheduler.view(Instant::now()).into_iter();
        let status = |view: PoolView| {
            let entry = state.pools.get(&view.pool)?;
            Some(PoolStatus {
                engine: entry.driver.engine(),
                state: entry.state.clone(),
                active: view.active,
                waiting: view.waiting,
                memory: view.memory,
                threads: entry.driver.threads(),
                unloads_at: view.unloads_at,
                pool: view.pool,
            })
        };
        views.filter_map(status).collect()
    }

    /// Passes an event to the scheduler and carries out its actions.
    pub(crate) fn step(self: &Arc<Self>, event: SchedulerEvent) {
        self.update(|state| {
            if let SchedulerEvent::Stopped { task } = &event {
                state.running.remove(task);
            }
            ((), Some(event))
        });
    }

    /// Changes the state and takes the step for the resulting event, if any, under one lock.
    fn update<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut ManagerState) -> (T, Option<SchedulerEvent>),
    ) -> T {
        let mut decided = Vec::new();
        let mut state = self.lock();
        let (value, event) = change(&mut state);
        if let Some(event) = event {
            for action in state.scheduler.step(Instant::now(), event) {
                decided.extend(self.apply(&mut state, action));
            }
            let next = state.scheduler.next_deadline();
            if next.is_some_and(|next| state.ticks_at.is_none_or(|ticks_at| next < ticks_at)) {
                state.ticks_at = next;
                self.clock.notify_one();
            }
        }
        drop(state);
        for (ticket, outcome) in decided {
            // If nobody waits any more, the dropped lease frees itself.
            let _ = ticket.outcome.send(outcome);
        }
        value
    }

    fn apply(
        self: &Arc<Self>,
        state: &mut ManagerState,
        action: Action,
    ) -> Option<(TicketSenders, Result<Lease, Refusal>)> {
        match action {
            Action::Load { pool } => {
                state.pools.get(&pool)?.order(Order::Load);
            }
            Action::Unload { pool } => {
                state.pools.get(&pool)?.order(Order::Unload);
            }
            Action::Fail { pool, reason } => state.pools.get_mut(&pool)?.state = PoolState::Failed(reason),
            Action::ReportPosition { task, position, predicted_start, wait_reason } => {
                let ticket = state.tickets.get(&task)?;
                ticket.position.send_replace(Some(QueuePosition { position, predicted_start, wait_reason }));
            }
            Action::Grant { task, pool, predicted, waited } => {
                let driver = state.pools.get(&pool)?.driver.clone();
                let stopper = Stopper::default();
                state.running.insert(task, stopper.clone());
                let tasks = self.tasks.clone();
                let lease = Lease { task, driver, stopper, tasks, manager: self.clone(), predicted, waited };
                return Some((state.tickets.remove(&task)?, Ok(lease)));
            }
            Action::Refuse { task, refusal } => return Some((state.tickets.remove(&task)?, Err(refusal))),
            Action::Stop { task, cause } => state.running.get(&task)?.stop(cause),
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, ManagerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
