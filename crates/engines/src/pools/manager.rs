//! What all pools share: the scheduler, who waits and what runs, behind one lock.
//!
//! Whoever causes an event takes the step itself, so that a free place is granted without a detour through
//! another task. Steps wait for nothing. A lease that nobody takes any more gives itself back with a step of
//! its own, so leases leave the lock before they are handed over.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Bytes, Instant, TaskGroup, TaskId};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::supervisor::Order;
use super::{PoolState, PoolStatus, QueuePosition};
use crate::driver::{Driver, Engine};
use crate::lease::{Lease, Stopper};
use crate::scheduler::{Action, Limits, PoolId, PoolView, Refusal, Request, Scheduler, SchedulerEvent};

/// How often a step is taken although nothing happens.
const TICK_MIN: Duration = Duration::from_millis(50);
const TICK_MAX: Duration = Duration::from_secs(5);
/// How often it is looked, while stopping, whether the last lease is back.
const STOPPING_TICK: Duration = Duration::from_millis(50);
/// Orders that wait for a pool's supervisor. The scheduler gives none before it has heard of the last one's outcome,
/// but for a removal.
const ORDERS_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct PoolManager {
    state: Mutex<ManagerState>,
    /// A task with a deadline came.
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
    /// When the next tick is, unless [`PoolManager::clock`] rings.
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
        // A closed channel means that the supervisor ended: Lar stops.
        if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(order) {
            tracing::error!(?order, "a pool's supervisor takes no orders");
        }
    }
}

impl PoolManager {
    pub(super) fn new(limits: Limits, tasks: &TaskGroup) -> Self {
        // Whether a model is idle for too long, or waits for memory, is looked at now and then.
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

    /// Takes a step whenever time alone changes something; ends when told to stop and nothing runs.
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

    /// What the supervisor of a pool has to say.
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

    /// Tells the scheduler what happened and does what it says.
    pub(crate) fn step(self: &Arc<Self>, event: SchedulerEvent) {
        self.update(|state| {
            if let SchedulerEvent::Stopped { task } = &event {
                state.running.remove(task);
            }
            ((), Some(event))
        });
    }

    /// Changes the state and takes the step for what happened, if anything did, under one lock.
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
            // When nobody waits any more, dropping the lease gives it back.
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
