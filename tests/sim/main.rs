//! A seeded simulation of the scheduler: a million steps with random events. Invariants are checked after
//! each step.
//!
//! A failure prints its seed. To reproduce it, put that seed into `SEEDS`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lar_base::{Bytes, Instant, KeyId, TaskId, UserId};
use lar_engines::scheduler::{Action, FullPolicy, Limits, Request, Scheduler, SchedulerEvent, StopCause};
use lar_inference::Priority;

const SEEDS: [u64; 5] = [1, 2, 3, 0xfeed, 0x9e37_79b9];
const STEPS_PER_SEED: u64 = 200_000;
/// The name, concurrency, number of tasks that can be paused, and memory of each pool.
const POOLS: [(&str, u32, u32, u64); 4] =
    [("small", 4, 4, 30), ("large", 1, 0, 60), ("broken", 2, 1, 50), ("remote", 2, 0, 0)];
/// The memory limit. Not all pools fit at the same time.
const MEMORY: u64 = 100;
const SWAP_WAIT_MAX: Duration = Duration::from_millis(3_000);
const BATCH_WAIT_MAX: Duration = Duration::from_millis(5_000);
const QUEUE_LEN_MAX: usize = 8;
/// The time after which a running task may be paused for a task of another caller.
const LONG_MS: u64 = 30_000;
/// The time after which a running task may be stopped, if tasks of its key or user hold all slots.
const SLOT_HOLD_MAX_MS: u64 = 500;
/// In a pool that can pause tasks, others must also have waited this long before a task is stopped.
const UNPAUSED_AFTER_MS: u64 = 300_000;
/// The shares of a queue for one key and for one user, in tasks.
const SHARES: (usize, usize) = (4, 6);

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// The ids of a user and of one of their keys.
type Caller = (UserId, KeyId);

struct Waiting {
    pool: String,
    caller: Caller,
    priority: Priority,
    since: u64,
}

/// The simulated world. It tracks tasks and pools independently of the scheduler.
struct World {
    seed: u64,
    now: u64,
    scheduler: Scheduler,
    waiting: BTreeMap<TaskId, Waiting>,
    running: BTreeMap<TaskId, (String, Caller)>,
    /// The start times of running tasks.
    started: BTreeMap<TaskId, u64>,
    /// The times since which running tasks have no slot of the engine.
    without_slot: BTreeMap<TaskId, u64>,
    ended: BTreeSet<TaskId>,
    loading: BTreeSet<String>,
    ready: BTreeSet<String>,
    leaving: BTreeSet<String>,
    grants: u64,
    unloads: u64,
    slots_taken: u64,
    pauses: u64,
}

impl World {
    fn step(&mut self, event: SchedulerEvent) {
        let context = format!("seed {} at {} ms: {event:?}", self.seed, self.now);
        match &event {
            SchedulerEvent::Submit(request) => {
                let waiting = Waiting {
                    pool: request.pool.clone(),
                    caller: (request.person, request.caller),
                    priority: request.priority,
                    since: self.now,
                };
                self.waiting.insert(request.task, waiting);
            }
            SchedulerEvent::Stopped { task } => {
                assert!(self.running.remove(task).is_some(), "{context}");
                assert!(self.ended.insert(*task), "two ends: {context}");
            }
            SchedulerEvent::PoolReady { pool, .. } => {
                self.loading.remove(pool);
                self.ready.insert(pool.clone());
            }
            SchedulerEvent::PoolDown { pool } | SchedulerEvent::PoolFailed { pool, .. } => {
                for state in [&mut self.loading, &mut self.ready, &mut self.leaving] {
                    state.remove(pool);
                }
            }
            _ => {}
        }
        for action in self.scheduler.step(Instant::from_millis(self.now), event) {
            match action {
                Action::Grant { task, pool, .. } => {
                    let was = self
                        .waiting
                        .remove(&task)
                        .unwrap_or_else(|| panic!("granted without waiting: {context}"));
                    assert_eq!(was.pool, pool, "{context}");
                    assert!(self.ready.contains(&pool), "granted on a pool that is not ready: {context}");
                    let overdue = |other: &Waiting| {
                        other.pool == pool
                            && other.priority == Priority::Batch
                            && self.now - other.since >= BATCH_WAIT_MAX.as_millis() as u64
                    };
                    let running = self.running.values().filter(|(other, _)| *other == pool).count();
                    let pauses = running >= concurrency_of(&pool) as usize;
                    let is_overdue = self.waiting.values().any(overdue);
                    if was.priority == Priority::Interactive && !pauses {
                        assert!(!is_overdue, "a batch task starves: {context}");
                        let load = self.load(&pool, was.caller);
                        let mut others = self
                            .waiting
                            .values()
                            .filter(|other| other.pool == pool && other.priority == Priority::Interactive);
                        let fewer = others.any(|other| self.load(&pool, other.caller) < load);
                        assert!(!fewer, "a caller with fewer slots waits: {context}");
                    }
                    if pauses {
                        assert_eq!(was.priority, Priority::Interactive, "{context}");
                        assert!(
                            self.may_pause(&pool, was.caller, is_overdue),
                            "paused without need: {context}"
                        );
                        assert!(self.now - was.since >= 1000, "paused too early: {context}");
                        self.pauses += 1;
                    }
                    self.running.insert(task, (pool, was.caller));
                    self.started.insert(task, self.now);
                    self.without_slot.insert(task, self.now);
                    self.grants += 1;
                }
                Action::Refuse { task, .. } => {
                    assert!(self.waiting.remove(&task).is_some(), "refused without waiting: {context}");
                    assert!(self.ended.insert(task), "two ends: {context}");
                }
                Action::Stop { task, cause } => {
                    let (pool, caller) = self.running.get(&task).unwrap_or_else(|| panic!("{context}"));
                    if cause == StopCause::SlotHoldLimit {
                        let holders = self.running.iter().filter(|(_, (other, _))| other == pool);
                        let holders: Vec<_> = holders.collect();
                        let pauses = paused_max_of(pool) > 0;
                        let keeps_others_waiting = |same: &dyn Fn(Caller) -> bool| {
                            let (own, others): (Vec<_>, Vec<_>) =
                                holders.iter().partition(|(_, (_, other))| same(*other));
                            let waiting = self.waiting.values().filter(|waiting| waiting.pool == *pool);
                            let queued =
                                waiting.filter(|waiting| !same(waiting.caller)).map(|waiting| waiting.since);
                            let without_slot: Vec<u64> = others
                                .iter()
                                .filter_map(|(task, _)| self.without_slot.get(*task).copied())
                                .collect();
                            let has_slot =
                                if pauses { without_slot.len() < others.len() } else { !others.is_empty() };
                            let oldest = queued.chain(without_slot).min();
                            own.len() >= concurrency_of(pool) as usize
                                && !has_slot
                                && oldest
                                    .is_some_and(|oldest| !pauses || self.now - oldest >= UNPAUSED_AFTER_MS)
                        };
                        assert!(
                            self.now - self.started[&task] >= SLOT_HOLD_MAX_MS,
                            "the stopped task has not run for long: {context}"
                        );
                        let is_justified = keeps_others_waiting(&|other| other.0 == caller.0)
                            || keeps_others_waiting(&|other| other.1 == caller.1);
                        assert!(
                            is_justified,
                            "no other caller waits, or another caller has a slot: {context}"
                        );
                        self.slots_taken += 1;
                    }
                }
                Action::ReportPosition { task, .. } => {
                    assert!(
                        self.waiting.contains_key(&task),
                        "position of a task that does not wait: {context}"
                    );
                }
                Action::Load { pool } => {
                    assert!(!self.ready.contains(&pool) && !self.leaving.contains(&pool), "{context}");
                    assert!(self.loading.insert(pool), "loaded twice: {context}");
                }
                Action::Unload { pool } => {
                    assert!(
                        !self.running.values().any(|(other, _)| *other == pool),
                        "unloaded while tasks run: {context}"
                    );
                    if self.ready.remove(&pool) {
                        self.leaving.insert(pool);
                    }
                    self.unloads += 1;
                }
                Action::Fail { .. } => panic!("a load failed although every pool fits alone: {context}"),
            }
        }
        let resident = self.loading.iter().chain(&self.ready).chain(&self.leaving);
        assert!(resident.map(|pool| memory_of(pool)).sum::<u64>() <= MEMORY, "{context}");
        for view in self.scheduler.view(Instant::from_millis(self.now)) {
            let concurrency = concurrency_of(&view.pool) as usize;
            let running = self.running.values().filter(|(pool, _)| *pool == view.pool).count();
            assert_eq!(view.active, running, "{context}");
            assert!(running <= concurrency + paused_max_of(&view.pool) as usize, "{context}");
            assert!(view.waiting.iter().all(|waiting| *waiting <= QUEUE_LEN_MAX), "{context}");
            let waiting = self.waiting.values().filter(|waiting| waiting.pool == view.pool).count();
            assert_eq!(view.waiting.iter().sum::<usize>(), waiting, "{context}");
            let idle = view.ready && !view.draining && running < concurrency;
            assert!(!idle || waiting == 0, "a task waits while a slot is free: {context}");
        }
        let mut shares: BTreeMap<(&str, Priority, String), usize> = BTreeMap::new();
        for waiting in self.waiting.values() {
            for holder in [waiting.caller.0.to_string(), waiting.caller.1.to_string()] {
                *shares.entry((&waiting.pool, waiting.priority, holder)).or_default() += 1;
            }
        }
        for ((_, _, holder), count) in shares {
            let share = if holder.starts_with("key_") { SHARES.0 } else { SHARES.1 };
            assert!(count <= share, "{holder} has {count} tasks in a queue: {context}");
        }
    }

    /// Returns whether a task may be paused for this caller, who has no slot: another caller must have
    /// several slots, or have had one for long. If a batch task is overdue, only several slots count.
    fn may_pause(&self, pool: &str, caller: Caller, is_overdue: bool) -> bool {
        let (of_person, of_key) = self.load(pool, caller);
        let active = self.running.values().filter(|(other, _)| other == pool).count();
        if of_person > 0 && active >= (concurrency_of(pool) + paused_max_of(pool) / 2) as usize {
            return false;
        }
        let mut others = self
            .running
            .iter()
            .filter(|(_, (other, _))| other == pool)
            .filter(|(_, (_, other))| of_person == 0 || (of_key == 0 && other.0 == caller.0));
        others.any(|(task, (_, other))| {
            let (persons, keys) = self.load(pool, *other);
            let has = if of_person == 0 { persons } else { keys };
            has > 1 || (!is_overdue && self.now - self.started[task] >= LONG_MS)
        })
    }

    /// Returns the slots of a pool that a caller's user and key have.
    fn load(&self, pool: &str, caller: Caller) -> (usize, usize) {
        let of = self.running.values().filter(|(other, _)| other == pool).map(|(_, caller)| caller);
        let person = of.clone().filter(|other| other.0 == caller.0).count();
        (person, of.filter(|other| other.1 == caller.1).count())
    }
}

fn concurrency_of(pool: &str) -> u32 {
    POOLS.iter().find(|(name, ..)| *name == pool).map_or(0, |(_, concurrency, ..)| *concurrency)
}

fn paused_max_of(pool: &str) -> u32 {
    POOLS.iter().find(|(name, ..)| *name == pool).map_or(0, |(_, _, paused_max, _)| *paused_max)
}

fn ready(pool: String) -> SchedulerEvent {
    SchedulerEvent::PoolReady { concurrency: concurrency_of(&pool), paused_max: paused_max_of(&pool), pool }
}

fn memory_of(pool: &str) -> u64 {
    POOLS.iter().find(|(name, ..)| *name == pool).map_or(0, |(.., memory)| *memory)
}

#[test]
fn the_invariants_hold_for_a_million_steps() {
    let mut steps = 0;
    for seed in SEEDS {
        steps += simulate(seed);
    }
    assert!(steps >= 1_000_000, "{steps} steps");
}

fn simulate(seed: u64) -> u64 {
    let mut random = Random(seed);
    let full_policy = random.pick(&[FullPolicy::Reject, FullPolicy::DropOldest]);
    let limits = Limits {
        queue_len_max: QUEUE_LEN_MAX,
        full_policy,
        batch_wait_max: BATCH_WAIT_MAX,
        memory: Bytes(MEMORY),
        keep_alive: random.pick(&[None, Some(Duration::ZERO), Some(Duration::from_secs(2))]),
        swap_wait_max: SWAP_WAIT_MAX,
        slot_hold_max: random.pick(&[None, Some(Duration::from_millis(SLOT_HOLD_MAX_MS))]),
    };
    let mut world = World {
        seed,
        now: 0,
        scheduler: Scheduler::new(limits),
        waiting: BTreeMap::new(),
        running: BTreeMap::new(),
        started: BTreeMap::new(),
        without_slot: BTreeMap::new(),
        pauses: 0,
        ended: BTreeSet::new(),
        loading: BTreeSet::new(),
        ready: BTreeSet::new(),
        leaving: BTreeSet::new(),
        grants: 0,
        unloads: 0,
        slots_taken: 0,
    };
    for (pool, concurrency, _, memory) in POOLS {
        world.step(SchedulerEvent::PoolAdded { pool: pool.into(), concurrency, memory: Bytes(memory) });
    }
    let persons: Vec<UserId> = (0..3).map(|_| UserId::new()).collect();
    let callers: Vec<Caller> = (0..5).map(|number| (persons[number % 3], KeyId::new())).collect();
    let mut submitted = 0u64;
    for _ in 0..STEPS_PER_SEED {
        world.now += random.below(40);
        let pool = random.pick(&POOLS).0.to_owned();
        let event = match random.below(100) {
            0..40 => {
                submitted += 1;
                let deadline = random.below(4) == 0;
                let (person, caller) = random.pick(&callers);
                SchedulerEvent::Submit(Request {
                    task: TaskId::new(),
                    pool,
                    caller,
                    person,
                    priority: random.pick(&[Priority::Interactive, Priority::Interactive, Priority::Batch]),
                    deadline: deadline.then(|| Instant::from_millis(world.now + random.below(20_000))),
                })
            }
            40..75 => match nth(&mut random, world.running.keys()) {
                Some(task) => SchedulerEvent::Stopped { task },
                None => SchedulerEvent::Tick,
            },
            75..82 => match nth(&mut random, world.waiting.keys().chain(world.running.keys())) {
                Some(task) => SchedulerEvent::Cancel { task },
                None => SchedulerEvent::Tick,
            },
            82..90 if world.loading.contains(&pool) => ready(pool),
            82..90 if world.leaving.contains(&pool) => SchedulerEvent::PoolDown { pool },
            90..91 if world.ready.contains(&pool) => SchedulerEvent::PoolDown { pool },
            91..92 if world.loading.contains(&pool) => {
                SchedulerEvent::PoolFailed { pool, reason: "broken".into() }
            }
            92 => SchedulerEvent::PoolLoadRequested { pool },
            93 => SchedulerEvent::PoolUnloadRequested { pool },
            95..97 => match nth(&mut random, world.running.keys()) {
                Some(task) if random.below(3) == 0 => {
                    world.without_slot.insert(task, world.now);
                    SchedulerEvent::Paused { task }
                }
                Some(task) => {
                    world.without_slot.remove(&task);
                    SchedulerEvent::Started { task }
                }
                None => SchedulerEvent::Tick,
            },
            94 => match nth(&mut random, world.running.keys()) {
                Some(task) => SchedulerEvent::Unread { task },
                None => SchedulerEvent::Tick,
            },
            _ => SchedulerEvent::Tick,
        };
        world.step(event);
    }
    // Lets all tasks end: pools load and unload as the scheduler asks, and tasks run and stop.
    let mut left = 20_000;
    while !(world.waiting.is_empty() && world.running.is_empty()) {
        left -= 1;
        assert!(left > 0, "seed {seed}: {} tasks wait forever", world.waiting.len());
        world.now += 100;
        if let Some(pool) = world.loading.first().cloned() {
            world.step(ready(pool));
        } else if let Some(pool) = world.leaving.first().cloned() {
            world.step(SchedulerEvent::PoolDown { pool });
        } else if let Some(task) = world.running.keys().next().copied() {
            world.step(SchedulerEvent::Stopped { task });
        } else {
            world.step(SchedulerEvent::Tick);
        }
    }
    assert!(world.waiting.is_empty(), "seed {seed}");
    assert_eq!(world.ended.len() as u64, submitted, "seed {seed}: a task has not exactly one end");
    assert!(world.grants > submitted / 10, "seed {seed}: only {} tasks started", world.grants);
    assert!(world.unloads > 100, "seed {seed}: only {} unloads", world.unloads);
    assert!(world.pauses > 0, "seed {seed}: no task was paused for another");
    let is_limited = limits.slot_hold_max.is_some();
    assert_eq!(world.slots_taken > 0, is_limited, "seed {seed}: {} slots were taken", world.slots_taken);
    STEPS_PER_SEED
}

fn nth<'a>(random: &mut Random, tasks: impl Iterator<Item = &'a TaskId>) -> Option<TaskId> {
    let tasks: Vec<TaskId> = tasks.copied().collect();
    (!tasks.is_empty()).then(|| random.pick(&tasks))
}
