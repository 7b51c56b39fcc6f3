//! What all pools share: the scheduler, who waits and what runs, behind one lock.
//!
//! Whoever causes an event takes the step itself, so that a free place is granted without a detour through
//! another task. Steps wait for nothing. A lease that nobody takes any more gives itself back with a step of
//! its own, so leases leave the lock before they are handed over.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Bytes, Instant, TaskId, Tasks};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::supervisor::Order;
use super::{Place, PoolState, PoolStatus};
use crate::driver::{Driver, Engine};
use crate::lease::{Lease, Stopper};
use crate::scheduler::{Action, Event, Limits, PoolId, PoolView, Refusal, Request, Scheduler};

/// How often a step is taken although nothing happens.
const TICK_MIN: Duration = Duration::from_millis(50);
const TICK_MAX: Duration = Duration::from_secs(5);
/// How often it is looked, while stopping, whether the last lease is back.
const STOPPING_TICK: Duration = Duration::from_millis(50);
/// Orders that wait for a pool's supervisor. The scheduler gives none before it has heard of the last one's outcome,
/// but for a removal.
const ORDERS_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Host {
    state: Mutex<State>,
    /// A task with a deadline came.
    clock: Notify,
    tick: Duration,
    tasks: Tasks,
}

#[derive(Debug)]
struct State {
    scheduler: Scheduler,
    waiters: HashMap<TaskId, Waiter>,
    running: HashMap<TaskId, Stopper>,
    pools: BTreeMap<PoolId, Entry>,
    /// When the next tick is, unless [`Host::clock`] rings.
    ticks_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) place: watch::Sender<Option<Place>>,
    pub(super) outcome: oneshot::Sender<Result<Lease, Refusal>>,
}

#[derive(Debug)]
struct Entry {
    driver: Arc<dyn Driver>,
    orders: mpsc::Sender<Order>,
    state: PoolState,
}

impl Entry {
    fn order(&self, order: Order) {
        // A closed channel means that the supervisor ended: Lar stops.
        if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(order) {
            tracing::error!(?order, "a pool's supervisor takes no orders");
        }
    }
}

impl Host {
    pub(super) fn new(limits: Limits, tasks: &Tasks) -> Self {
        // Whether a model is idle for too long, or waits for memory, is looked at now and then.
        let tick = limits.keep_alive.unwrap_or(TICK_MAX).clamp(TICK_MIN, TICK_MAX);
        let state = State {
            scheduler: Scheduler::new(limits),
            waiters: HashMap::new(),
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
                () = tokio::time::sleep(wait) => self.step(Event::Tick),
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
        self.with(|state| {
            if state.pools.contains_key(&pool) {
                return (None, None);
            }
            state.pools.insert(pool.clone(), Entry { driver, orders, state: PoolState::Unloaded });
            (Some(inbox), Some(Event::PoolAdded { pool, concurrency, memory }))
        })
    }

    pub(super) fn remove(self: &Arc<Self>, pool: &PoolId) {
        self.with(|state| {
            if let Some(entry) = state.pools.remove(pool) {
                entry.order(Order::Remove);
            }
            ((), Some(Event::PoolRemoved { pool: pool.clone() }))
        });
    }

    pub(super) fn submit(self: &Arc<Self>, request: Request, waiter: Waiter) {
        self.with(|state| {
            state.waiters.insert(request.task, waiter);
            ((), Some(Event::Submit(request)))
        });
    }

    /// What the supervisor of a pool has to say.
    pub(super) fn is_now(self: &Arc<Self>, pool: &PoolId, now: PoolState) {
        self.with(|state| {
            let Some(entry) = state.pools.get_mut(pool) else { return ((), None) };
            let pool = pool.clone();
            let event = match &now {
                PoolState::Ready => {
                    let Engine { concurrency, paused_max, .. } = entry.driver.engine();
                    Some(Event::PoolReady { pool, concurrency, paused_max })
                }
                PoolState::Unloaded => Some(Event::PoolDown { pool }),
                PoolState::Failed(reason) => Some(Event::PoolFailed { pool, reason: reason.clone() }),
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
                goes_at: view.goes_at,
                pool: view.pool,
            })
        };
        views.filter_map(status).collect()
    }

    /// Tells the scheduler what happened and does what it says.
    pub(crate) fn step(self: &Arc<Self>, event: Event) {
        self.with(|state| {
            if let Event::Stopped { task } = &event {
                state.running.remove(task);
            }
            ((), Some(event))
        });
    }

    /// Changes the state and takes the step for what happened, if anything did, under one lock.
    fn with<T>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> (T, Option<Event>)) -> T {
        let mut decided = Vec::new();
        let mut state = self.lock();
        let (value, event) = change(&mut state);
        if let Some(event) = event {
            for action in state.scheduler.step(Instant::now(), event) {
                decided.extend(self.act(&mut state, action));
            }
            let next = state.scheduler.next_deadline();
            if next.is_some_and(|next| state.ticks_at.is_none_or(|ticks_at| next < ticks_at)) {
                state.ticks_at = next;
                self.clock.notify_one();
            }
        }
        drop(state);
        for (waiter, outcome) in decided {
            // When nobody waits any more, dropping the lease gives it back.
            let _ = waiter.outcome.send(outcome);
        }
        value
    }

    fn act(self: &Arc<Self>, state: &mut State, action: Action) -> Option<(Waiter, Result<Lease, Refusal>)> {
        match action {
            Action::Load { pool } => {
                state.pools.get(&pool)?.order(Order::Load);
            }
            Action::Unload { pool } => {
                state.pools.get(&pool)?.order(Order::Unload);
            }
            Action::Fail { pool, reason } => state.pools.get_mut(&pool)?.state = PoolState::Failed(reason),
            Action::Place { task, position, predicted_start, why } => {
                let waiter = state.waiters.get(&task)?;
                waiter.place.send_replace(Some(Place { position, predicted_start, why }));
            }
            Action::Grant { task, pool, predicted, waited } => {
                let driver = state.pools.get(&pool)?.driver.clone();
                let stopper = Stopper::default();
                state.running.insert(task, stopper.clone());
                let tasks = self.tasks.clone();
                let lease = Lease { task, driver, stopper, tasks, host: self.clone(), predicted, waited };
                return Some((state.waiters.remove(&task)?, Ok(lease)));
            }
            Action::Refuse { task, refusal } => return Some((state.waiters.remove(&task)?, Err(refusal))),
            Action::Stop { task, cause } => state.running.get(&task)?.stop(cause),
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
