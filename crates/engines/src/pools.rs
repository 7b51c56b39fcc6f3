//! Pools of engines: carries out what the [`crate::scheduler`] decides.
//!
//! One task owns the scheduler and hears of everything that happens; each pool has a [`supervisor`] that
//! loads its engine when asked, notices its death and waits longer after every one. Handles are cheap
//! clones; dropping all of them does not stop the pools, [`Tasks::stop`] does.

mod supervisor;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Instant, TaskId, Tasks};
use tokio::sync::{mpsc, oneshot, watch};

use crate::Error;
use crate::driver::{Driver, Engine, Prepared, Prompt};
use crate::lease::{Lease, Stopper};
use crate::scheduler::{Action, Event, Limits, PoolId, PoolView, Refusal, Request, Scheduler, Why};
use supervisor::Order;

/// Where a waiting task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How many start before it.
    pub position: usize,
    /// In how long it will probably start.
    pub predicted_start: Duration,
    /// What it waits for.
    pub why: Why,
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
}

pub(crate) enum Command {
    Add { pool: PoolId, driver: Arc<dyn Driver>, added: oneshot::Sender<()> },
    Remove { pool: PoolId },
    Acquire { request: Request, waiter: Waiter },
    Order { pool: PoolId, order: Order },
    State { pool: PoolId, state: PoolState },
    Step(Event),
}

pub(crate) struct Waiter {
    place: watch::Sender<Option<Place>>,
    outcome: oneshot::Sender<Result<Lease, Refusal>>,
}

#[derive(Debug, Clone)]
struct Entry {
    driver: Arc<dyn Driver>,
    orders: mpsc::UnboundedSender<Order>,
    state: PoolState,
    view: PoolView,
}

type Entries = Arc<Mutex<BTreeMap<PoolId, Entry>>>;

/// A handle to all pools.
#[derive(Debug, Clone)]
pub struct Engines {
    commands: mpsc::UnboundedSender<Command>,
    entries: Entries,
}

impl Engines {
    /// Starts the task that owns the scheduler. When `tasks` is told to stop, every engine is unloaded.
    #[must_use]
    pub fn run(limits: Limits, tasks: &Tasks) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let entries = Entries::default();
        let host = Host {
            scheduler: Scheduler::new(limits),
            waiters: HashMap::new(),
            running: HashMap::new(),
            entries: entries.clone(),
            commands: commands.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(host.run(inbox));
        Self { commands, entries }
    }

    /// Adds a pool for the model `pool`, not loaded yet; one of that name that is there stays as it is.
    /// Returns once the pool can be asked for.
    pub async fn add(&self, pool: PoolId, driver: Arc<dyn Driver>) {
        let (added, done) = oneshot::channel();
        self.send(Command::Add { pool, driver, added });
        let _ = done.await;
    }

    /// Takes a pool away: what waits for it is refused, its engine is unloaded once nothing runs.
    pub fn remove(&self, pool: PoolId) {
        self.send(Command::Remove { pool });
    }

    /// Loads a model before anyone asks for it.
    pub fn load(&self, pool: PoolId) {
        self.send(Command::Order { pool, order: Order::Load });
    }

    /// Lets a model go; the next task loads it again. What runs on it fails.
    pub fn unload(&self, pool: PoolId) {
        self.send(Command::Order { pool, order: Order::Unload });
    }

    /// Asks for a place. The ticket tells where the task stands until it has a lease or a refusal.
    #[must_use]
    pub fn acquire(&self, request: Request) -> Ticket {
        let (place, places) = watch::channel(None);
        let (outcome, decided) = oneshot::channel();
        let task = request.task;
        self.send(Command::Acquire { request, waiter: Waiter { place, outcome } });
        Ticket { task, places, decided: Some(decided), commands: self.commands.clone() }
    }

    /// Takes a task back, whether it waits or runs. A running one ends when its engine confirms.
    pub fn cancel(&self, task: TaskId) {
        self.send(Command::Step(Event::Cancel { task }));
    }

    /// What the engine of a pool is, if there is such a pool.
    #[must_use]
    pub fn engine(&self, pool: &str) -> Option<Engine> {
        self.lock().get(pool).map(|entry| entry.driver.engine())
    }

    /// Counts a prompt's tokens with the model of `pool`, without taking a place.
    ///
    /// # Errors
    /// When there is no such pool, or its vocabulary or template fails.
    pub async fn count(&self, pool: &str, prompt: &Prompt) -> Result<usize, Error> {
        self.driver(pool)?.count(prompt).await
    }

    /// Makes a prompt ready for the model of `pool`, without taking a place.
    ///
    /// # Errors
    /// When there is no such pool, or its vocabulary or template fails.
    pub async fn prepare(&self, pool: &str, prompt: Prompt) -> Result<Prepared, Error> {
        self.driver(pool)?.prepare(prompt).await
    }

    fn driver(&self, pool: &str) -> Result<Arc<dyn Driver>, Error> {
        let driver = self.lock().get(pool).map(|entry| entry.driver.clone());
        driver.ok_or_else(|| Error::Failed(format!("there is no pool `{pool}`")))
    }

    /// Every pool as it stands, by name.
    #[must_use]
    pub fn status(&self) -> Vec<PoolStatus> {
        let status = |(pool, entry): (&PoolId, &Entry)| PoolStatus {
            pool: pool.clone(),
            engine: entry.driver.engine(),
            state: entry.state.clone(),
            active: entry.view.active,
            waiting: entry.view.waiting,
        };
        self.lock().iter().map(status).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PoolId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: Command) {
        // The host ends only when the process does.
        let _ = self.commands.send(command);
    }
}

/// A task's stand in a queue. Dropping it takes the task back.
#[derive(Debug)]
pub struct Ticket {
    task: TaskId,
    places: watch::Receiver<Option<Place>>,
    decided: Option<oneshot::Receiver<Result<Lease, Refusal>>>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Ticket {
    /// Waits for the decision, telling `on_place` of every change of place until then.
    ///
    /// # Errors
    /// Why the task never gets a lease.
    pub async fn decided(mut self, mut on_place: impl FnMut(Place)) -> Result<Lease, Refusal> {
        let Some(mut decided) = self.decided.take() else { return Err(Refusal::Cancelled) };
        let mut guard = Withdraw { task: Some(self.task), commands: self.commands.clone() };
        loop {
            tokio::select! {
                biased;
                outcome = &mut decided => {
                    guard.task = None;
                    return outcome.unwrap_or(Err(Refusal::Cancelled));
                }
                changed = self.places.changed() => {
                    let place = *self.places.borrow_and_update();
                    match (changed, place) {
                        (Ok(()), Some(place)) => on_place(place),
                        (Ok(()), None) => {}
                        // The sender is gone: the decision is on its way.
                        (Err(_), _) => {
                            guard.task = None;
                            return decided.await.unwrap_or(Err(Refusal::Cancelled));
                        }
                    }
                }
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.decided.is_some() {
            let _ = self.commands.send(Command::Step(Event::Cancel { task: self.task }));
        }
    }
}

struct Withdraw {
    task: Option<TaskId>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Drop for Withdraw {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            let _ = self.commands.send(Command::Step(Event::Cancel { task }));
        }
    }
}

struct Host {
    scheduler: Scheduler,
    waiters: HashMap<TaskId, Waiter>,
    running: HashMap<TaskId, Stopper>,
    entries: Entries,
    commands: mpsc::UnboundedSender<Command>,
    tasks: Tasks,
}

impl Host {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let stopping = self.tasks.stopping();
        loop {
            let tick = self.scheduler.next_deadline().map(|at| at.since(Instant::now()));
            let wait = tokio::time::sleep(tick.unwrap_or(Duration::from_secs(3600)));
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                () = wait => self.step(Event::Tick),
                // Leases that are still out keep the inbox in use until the group's own limit.
                () = stopping.cancelled(), if self.running.is_empty() => return,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Add { pool, driver, added } => {
                self.add(pool, driver);
                let _ = added.send(());
            }
            Command::Remove { pool } => {
                self.step(Event::PoolRemoved { pool: pool.clone() });
                if let Some(entry) = self.lock().remove(&pool) {
                    let _ = entry.orders.send(Order::Remove);
                }
            }
            Command::Acquire { request, waiter } => {
                self.waiters.insert(request.task, waiter);
                self.step(Event::Submit(request));
            }
            Command::Order { pool, order } => {
                if let Some(entry) = self.lock().get(&pool) {
                    let _ = entry.orders.send(order);
                }
            }
            Command::State { pool, state } => {
                let concurrency = self.lock().get(&pool).map_or(1, |entry| entry.driver.engine().concurrency);
                let event = match &state {
                    PoolState::Ready => Some(Event::PoolReady { pool: pool.clone(), concurrency }),
                    PoolState::Unloaded => Some(Event::PoolDown { pool: pool.clone() }),
                    PoolState::Failed(reason) => {
                        Some(Event::PoolFailed { pool: pool.clone(), reason: reason.clone() })
                    }
                    PoolState::Loading => None,
                };
                if let Some(entry) = self.lock().get_mut(&pool) {
                    entry.state = state;
                }
                if let Some(event) = event {
                    self.step(event);
                }
            }
            Command::Step(event) => {
                if let Event::Stopped { task } = &event {
                    self.running.remove(task);
                }
                self.step(event);
            }
        }
    }

    fn add(&mut self, pool: PoolId, driver: Arc<dyn Driver>) {
        if self.lock().contains_key(&pool) {
            return;
        }
        let (orders, inbox) = mpsc::unbounded_channel();
        let concurrency = driver.engine().concurrency;
        let view = PoolView { pool: pool.clone(), ready: false, active: 0, waiting: [0, 0] };
        let entry = Entry { driver: driver.clone(), orders, state: PoolState::Unloaded, view };
        self.lock().insert(pool.clone(), entry);
        self.step(Event::PoolAdded { pool: pool.clone(), concurrency });
        let stopping = self.tasks.stopping();
        self.tasks.spawn(supervisor::run(pool, driver, inbox, self.commands.clone(), stopping));
    }

    fn step(&mut self, event: Event) {
        for action in self.scheduler.step(Instant::now(), event) {
            self.act(action);
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for view in self.scheduler.view() {
            if let Some(entry) = entries.get_mut(&view.pool) {
                entry.view = view;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Load { pool } => {
                if let Some(entry) = self.lock().get(&pool) {
                    let _ = entry.orders.send(Order::Load);
                }
            }
            Action::Place { task, position, predicted_start, why } => {
                if let Some(waiter) = self.waiters.get(&task) {
                    waiter.place.send_replace(Some(Place { position, predicted_start, why }));
                }
            }
            Action::Grant { task, pool, predicted, waited } => {
                let Some(driver) = self.lock().get(&pool).map(|entry| entry.driver.clone()) else { return };
                let stopper = Stopper::default();
                self.running.insert(task, stopper.clone());
                let (tasks, commands) = (self.tasks.clone(), self.commands.clone());
                let lease = Lease { task, driver, stopper, tasks, commands, predicted, waited };
                // When nobody waits any more, dropping the lease gives it back.
                if let Some(waiter) = self.waiters.remove(&task) {
                    let _ = waiter.outcome.send(Ok(lease));
                }
            }
            Action::Refuse { task, refusal } => {
                if let Some(waiter) = self.waiters.remove(&task) {
                    let _ = waiter.outcome.send(Err(refusal));
                }
            }
            Action::Stop { task, cause } => {
                if let Some(stopper) = self.running.get(&task) {
                    stopper.stop(cause);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PoolId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
