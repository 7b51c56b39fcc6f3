//! Decides which models are in memory.
//!
//! Models are loaded when requested, and unloaded when they are unused for long or another model needs their
//! memory. The least recently used model goes first, and none while tasks run on it.

use std::time::Duration;

use lar_base::{Bytes, Instant};

use super::{Action, Pool, PoolId, Scheduler};

/// The state of a pool's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resident {
    Absent,
    /// A load was ordered and has neither succeeded nor failed yet.
    Loading,
    Ready,
    /// An unload was ordered; the memory is not free yet.
    Unloading,
}

/// The memory use of a pool's model.
#[derive(Debug)]
pub(super) struct Residency {
    pub(super) state: Resident,
    /// The memory that the model uses unless it is absent.
    pub(super) memory: Bytes,
    /// Whether a load was requested, with or without tasks.
    load_requested: bool,
    /// Whether an unload was requested; it happens once nothing runs or waits.
    unload_requested: bool,
    /// The time at which the last task ended or the model became ready.
    last_used: Instant,
    /// The time that it stays loaded after that, if one was requested.
    keep_alive: Option<Duration>,
    /// Since when the model has waited for memory.
    pub(super) short_since: Option<Instant>,
    /// Whether the pool accepts no new tasks, so that its model can be unloaded.
    pub(super) draining: bool,
}

impl Residency {
    pub(super) fn new(memory: Bytes) -> Self {
        Self {
            state: Resident::Absent,
            memory,
            load_requested: false,
            unload_requested: false,
            last_used: Instant::from_millis(0),
            keep_alive: None,
            short_since: None,
            draining: false,
        }
    }

    pub(super) fn set_state(&mut self, state: Resident, now: Instant) {
        self.state = state;
        self.draining = false;
        self.short_since = None;
        self.unload_requested &= state == Resident::Ready;
        if state == Resident::Unloading {
            self.keep_alive = None;
        }
        // A requested load has succeeded or failed.
        self.load_requested = false;
        self.touch(now);
    }

    pub(super) fn touch(&mut self, now: Instant) {
        self.last_used = now;
    }

    pub(super) fn request_load(&mut self, now: Instant) {
        self.touch(now);
        self.load_requested = self.state == Resident::Absent || self.state == Resident::Unloading;
    }
}

impl Pool {
    /// Returns whether the model can be unloaded now.
    fn is_idle(&self) -> bool {
        self.is_ready() && self.active.is_empty() && (self.residency.draining || !self.waits())
    }

    /// Returns the time at which the model is unloaded if it stays unused; `None` is never.
    pub(super) fn unloads_at(&self, now: Instant, limit: Option<Duration>) -> Option<Instant> {
        let keep_alive = self.residency.keep_alive.or(limit)?;
        let goes = self.is_ready() && self.residency.memory > Bytes(0);
        let since = if self.is_idle() { self.residency.last_used } else { now };
        goes.then(|| since.after(keep_alive))
    }

    fn wants_to_load(&self) -> bool {
        self.residency.state == Resident::Absent && (self.waits() || self.residency.load_requested)
    }
}

impl Scheduler {
    /// Handles a request to unload a model. Its running tasks continue.
    pub(super) fn request_unload(&mut self, now: Instant, name: &PoolId, actions: &mut Vec<Action>) {
        let Some(pool) = self.pools.get_mut(name) else { return };
        pool.residency.load_requested = false;
        match pool.residency.state {
            Resident::Ready if pool.active.is_empty() => unload(now, name, pool, actions),
            Resident::Loading | Resident::Ready => pool.residency.unload_requested = true,
            Resident::Absent | Resident::Unloading => {}
        }
    }

    /// Sets the time that a pool's model stays loaded after its last use.
    pub(super) fn set_keep_alive(&mut self, name: &PoolId, keep_alive: Option<Duration>) {
        if let Some(pool) = self.pools.get_mut(name) {
            pool.residency.keep_alive = keep_alive;
        }
    }

    /// Lets drained pools accept tasks again once no model waits for their memory any more.
    pub(super) fn end_unneeded_draining(&mut self) {
        let mut short = false;
        for pool in self.pools.values_mut() {
            if pool.wants_to_load() {
                short |= pool.residency.short_since.is_some();
            } else {
                pool.residency.short_since = None;
            }
        }
        if !short {
            self.pools.values_mut().for_each(|pool| pool.residency.draining = false);
        }
    }

    /// Loads the models that are needed and unloads those that are not.
    pub(super) fn plan_loads(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for (name, pool) in &mut self.pools {
            if pool.residency.unload_requested && pool.is_idle() {
                unload(now, name, pool, actions);
            }
        }
        for (name, pool) in &mut self.pools {
            if pool.is_idle() && pool.unloads_at(now, self.limits.keep_alive).is_some_and(|at| at <= now) {
                unload(now, name, pool, actions);
            }
        }
        let mut wanting: Vec<PoolId> = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.wants_to_load())
            .map(|(name, _)| name.clone())
            .collect();
        // The model that has waited for memory longest goes first.
        wanting.sort_by_key(|name| self.pools[name].residency.short_since.unwrap_or(now));
        for name in wanting {
            self.load(now, &name, actions);
        }
    }

    fn load(&mut self, now: Instant, name: &PoolId, actions: &mut Vec<Action>) {
        let need = self.pools[name].residency.memory.get();
        let budget = self.limits.memory.get();
        if need > budget {
            let reason = format!(
                "the model needs {} of memory with its context; models may use {} (`engines.memory`)",
                Bytes(need),
                Bytes(budget),
            );
            self.fail(now, name, &reason, actions);
            actions.push(Action::Fail { pool: name.clone(), reason });
            return;
        }
        let taken = self.resident();
        let Some(pool) = self.pools.get_mut(name) else { return };
        if taken.saturating_add(need) <= budget {
            pool.residency.set_state(Resident::Loading, now);
            actions.push(Action::Load { pool: name.clone() });
            return;
        }
        let since = *pool.residency.short_since.get_or_insert(now);
        if since == now {
            pool.report_positions(now, actions);
        }
        let drain = now.since(since) >= self.limits.swap_wait_max;
        self.make_room(now, name, taken.saturating_add(need) - budget, drain, actions);
    }

    /// Unloads idle models, least recently used first, if that frees enough memory. If it does not and
    /// `drain` is set, also drains models that are in use.
    fn make_room(&mut self, now: Instant, name: &PoolId, need: u64, drain: bool, actions: &mut Vec<Action>) {
        let unloading = self.pools.values().filter(|pool| pool.residency.state == Resident::Unloading);
        let mut missing = need.saturating_sub(unloading.map(|pool| pool.residency.memory.get()).sum());
        let mut others: Vec<(Instant, PoolId)> = self
            .pools
            .iter()
            .filter(|(other, pool)| *other != name && pool.is_ready() && pool.residency.memory > Bytes(0))
            .map(|(other, pool)| (pool.residency.last_used, other.clone()))
            .collect();
        others.sort();
        let idle: u64 = others
            .iter()
            .filter(|(_, other)| self.pools[other].is_idle())
            .map(|(_, other)| self.pools[other].residency.memory.get())
            .sum();
        let enough = idle >= missing;
        for (_, other) in others {
            let Some(pool) = self.pools.get_mut(&other).filter(|_| missing > 0) else { break };
            let memory = pool.residency.memory.get();
            if pool.is_idle() && (enough || drain) {
                unload(now, &other, pool, actions);
            } else if !enough && drain {
                if !std::mem::replace(&mut pool.residency.draining, true) {
                    pool.report_positions(now, actions);
                }
            } else {
                continue;
            }
            missing = missing.saturating_sub(memory);
        }
    }

    /// Returns the memory that models use now.
    pub(super) fn resident(&self) -> u64 {
        let there = self.pools.values().filter(|pool| pool.residency.state != Resident::Absent);
        there.fold(0, |sum, pool| sum.saturating_add(pool.residency.memory.get()))
    }

    /// Returns the memory that further models may use.
    #[must_use]
    pub fn memory_left(&self) -> Bytes {
        Bytes(self.limits.memory.get().saturating_sub(self.resident()))
    }

    /// Returns the next time at which the passing of time changes which models are in memory.
    pub(super) fn next_load_deadline(&self) -> Option<Instant> {
        let idle = self.pools.values().filter(|pool| pool.is_idle());
        let idle = idle.filter_map(|pool| pool.unloads_at(pool.residency.last_used, self.limits.keep_alive));
        let short = self.pools.values().filter(|pool| pool.wants_to_load());
        let drained = self.pools.values().any(|pool| pool.residency.draining);
        let short = short.filter_map(|pool| pool.residency.short_since).filter(move |_| !drained);
        idle.chain(short.map(|since| since.after(self.limits.swap_wait_max))).min()
    }
}

fn unload(now: Instant, name: &PoolId, pool: &mut Pool, actions: &mut Vec<Action>) {
    pool.residency.set_state(Resident::Unloading, now);
    actions.push(Action::Unload { pool: name.clone() });
}
