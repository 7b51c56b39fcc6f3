//! Decides which models are unloaded, and which are drained first.
//!
//! A model is unloaded when a caller requests it, when nothing used the model for its keep-alive time, or
//! when another model needs its memory. The least recently used model goes first, and none while tasks run
//! on it.

use std::time::Duration;

use lar_base::{Bytes, Instant};

use super::Scheduler;
use super::events::{Action, PoolId};
use super::load_state::LoadPhase;
use super::pool::Pool;

impl Pool {
    /// Returns whether the model can be unloaded now.
    fn is_idle(&self) -> bool {
        self.is_ready() && self.active.is_empty() && (self.load_state.draining || !self.waits())
    }

    /// Returns the time at which the model is unloaded if it stays unused; `None` is never.
    pub(super) fn unloads_at(&self, now: Instant, limit: Option<Duration>) -> Option<Instant> {
        let keep_alive = self.load_state.keep_alive.or(limit)?;
        let goes = self.is_ready() && self.load_state.memory > Bytes(0);
        let since = if self.is_idle() { self.load_state.last_used } else { now };
        goes.then(|| since.after(keep_alive))
    }
}

impl Scheduler {
    /// Handles a request to unload a model. Its running tasks continue.
    pub(super) fn request_unload(&mut self, now: Instant, name: &PoolId, actions: &mut Vec<Action>) {
        let Some(pool) = self.pools.get_mut(name) else { return };
        pool.load_state.load_requested = false;
        match pool.load_state.phase {
            LoadPhase::Ready if pool.active.is_empty() => unload(now, name, pool, actions),
            LoadPhase::Loading | LoadPhase::Ready => pool.load_state.unload_requested = true,
            LoadPhase::Absent | LoadPhase::Unloading => {}
        }
    }

    /// Sets the time that a pool's model stays loaded after its last use.
    pub(super) fn set_keep_alive(&mut self, name: &PoolId, keep_alive: Option<Duration>) {
        if let Some(pool) = self.pools.get_mut(name) {
            pool.load_state.keep_alive = keep_alive;
        }
    }

    /// Lets drained pools accept tasks again once no model waits for their memory any more.
    pub(super) fn end_unneeded_draining(&mut self) {
        let mut short = false;
        for pool in self.pools.values_mut() {
            if pool.wants_to_load() {
                short |= pool.load_state.short_since.is_some();
            } else {
                pool.load_state.short_since = None;
            }
        }
        if !short {
            self.pools.values_mut().for_each(|pool| pool.load_state.draining = false);
        }
    }

    /// Unloads the models whose unloading was requested, and those that were unused for long.
    pub(super) fn unload_unneeded(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for (name, pool) in &mut self.pools {
            if pool.load_state.unload_requested && pool.is_idle() {
                unload(now, name, pool, actions);
            }
        }
        for (name, pool) in &mut self.pools {
            if pool.is_idle() && pool.unloads_at(now, self.limits.keep_alive).is_some_and(|at| at <= now) {
                unload(now, name, pool, actions);
            }
        }
    }

    /// Unloads idle models, least recently used first, if that frees enough memory. If it does not and
    /// `drain` is set, also drains models that are in use.
    pub(super) fn make_room(
        &mut self,
        now: Instant,
        name: &PoolId,
        need: u64,
        drain: bool,
        actions: &mut Vec<Action>,
    ) {
        let unloading = self.pools.values().filter(|pool| pool.load_state.phase == LoadPhase::Unloading);
        let mut missing = need.saturating_sub(unloading.map(|pool| pool.load_state.memory.get()).sum());
        let mut others: Vec<(Instant, PoolId)> = self
            .pools
            .iter()
            .filter(|(other, pool)| *other != name && pool.is_ready() && pool.load_state.memory > Bytes(0))
            .map(|(other, pool)| (pool.load_state.last_used, other.clone()))
            .collect();
        others.sort();
        let idle: u64 = others
            .iter()
            .filter(|(_, other)| self.pools[other].is_idle())
            .map(|(_, other)| self.pools[other].load_state.memory.get())
            .sum();
        let enough = idle >= missing;
        for (_, other) in others {
            let Some(pool) = self.pools.get_mut(&other).filter(|_| missing > 0) else { break };
            let memory = pool.load_state.memory.get();
            if pool.is_idle() && (enough || drain) {
                unload(now, &other, pool, actions);
            } else if !enough && drain {
                if !std::mem::replace(&mut pool.load_state.draining, true) {
                    pool.report_positions(now, actions);
                }
            } else {
                continue;
            }
            missing = missing.saturating_sub(memory);
        }
    }

    /// Returns the next time at which the passing of time changes which models are in memory.
    pub(super) fn next_eviction_deadline(&self) -> Option<Instant> {
        let idle = self.pools.values().filter(|pool| pool.is_idle());
        let idle = idle.filter_map(|pool| pool.unloads_at(pool.load_state.last_used, self.limits.keep_alive));
        let short = self.pools.values().filter(|pool| pool.wants_to_load());
        let drained = self.pools.values().any(|pool| pool.load_state.draining);
        let short = short.filter_map(|pool| pool.load_state.short_since).filter(move |_| !drained);
        idle.chain(short.map(|since| since.after(self.limits.swap_wait_max))).min()
    }
}

fn unload(now: Instant, name: &PoolId, pool: &mut Pool, actions: &mut Vec<Action>) {
    pool.load_state.set_phase(LoadPhase::Unloading, now);
    actions.push(Action::Unload { pool: name.clone() });
}
