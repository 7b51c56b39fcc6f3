//! Decides which models are loaded, within the memory that models may use.
//!
//! A model is loaded when a task waits for it or a load is requested. If its memory is not free,
//! `eviction.rs` decides which other models are unloaded for it.

use lar_base::{Bytes, Instant};

use super::Scheduler;
use super::events::{Action, PoolId};
use super::load_state::LoadPhase;
use super::pool::Pool;

impl Pool {
    /// Returns whether the model should be loaded once its memory is free.
    pub(super) fn wants_to_load(&self) -> bool {
        self.load_state.phase == LoadPhase::Absent && (self.waits() || self.load_state.load_requested)
    }
}

impl Scheduler {
    /// Unloads the models that are not needed and loads those that are.
    pub(super) fn plan_loads(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.unload_unneeded(now, actions);
        let mut wanting: Vec<PoolId> = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.wants_to_load())
            .map(|(name, _)| name.clone())
            .collect();
        // The model that has waited for memory longest goes first.
        wanting.sort_by_key(|name| self.pools[name].load_state.short_since.unwrap_or(now));
        for name in wanting {
            self.load(now, &name, actions);
        }
    }

    fn load(&mut self, now: Instant, name: &PoolId, actions: &mut Vec<Action>) {
        let need = self.pools[name].load_state.memory.get();
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
        let taken = self.memory_used();
        let Some(pool) = self.pools.get_mut(name) else { return };
        if taken.saturating_add(need) <= budget {
            pool.load_state.set_phase(LoadPhase::Loading, now);
            actions.push(Action::Load { pool: name.clone() });
            return;
        }
        let since = *pool.load_state.short_since.get_or_insert(now);
        if since == now {
            pool.report_positions(now, actions);
        }
        let drain = now.since(since) >= self.limits.swap_wait_max;
        self.make_room(now, name, taken.saturating_add(need) - budget, drain, actions);
    }

    /// Returns the memory that models use now.
    fn memory_used(&self) -> u64 {
        let there = self.pools.values().filter(|pool| pool.load_state.phase != LoadPhase::Absent);
        there.fold(0, |sum, pool| sum.saturating_add(pool.load_state.memory.get()))
    }

    /// Returns the memory that further models may use.
    #[must_use]
    pub fn memory_left(&self) -> Bytes {
        Bytes(self.limits.memory.get().saturating_sub(self.memory_used()))
    }
}
