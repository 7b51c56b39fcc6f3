//! The part of a pool that one key, or one user with all their keys, may use while others wait.
//!
//! - Queue: a fixed share (`queue_share.rs`).
//! - Slots: all of them while nobody else waits. As soon as others wait, the next free slot goes to one of
//!   them.
//! - Extra leases, if the engine can pause generations: a caller without a slot who has waited for
//!   [`PAUSE_AFTER`] gets one. The engine pauses a generation of a caller with several, or one that has run
//!   for [`LONG`]. Half of the extra leases are reserved for users who have no task running.
//! - If the engine cannot pause, one key has all slots for at most [`Limits::slot_hold_max`] while others
//!   wait.

use std::time::Duration;

use lar_base::{Instant, TaskId};
use lar_inference::CallerIds;

use super::events::Limits;
use super::pool::{Active, Pool};
use super::running_counts::RunningCounts;

/// The wait before another generation is paused for a task: many end sooner, and a pause costs time.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// The run time after which a caller's only task is paused for another caller.
const LONG: Duration = Duration::from_secs(30);
/// The wait after which a caller most likely waits for a generation that cannot be paused, if the engine can
/// pause others. A turn takes ten seconds, or as long as a repeated prefill.
const UNPAUSED_AFTER: Duration = Duration::from_secs(300);

impl Pool {
    /// Returns the next task for which a running one is paused, and when.
    pub(super) fn next_pause(&self, now: Instant) -> Option<(TaskId, Instant)> {
        let load = self.running_counts();
        let first_of_each = self.interactive.first_of_each(&load);
        let pauses = first_of_each.filter_map(|(caller, waiting)| {
            let at = self.pause_for(now, caller, waiting.since, &load)?;
            Some((waiting.task, at))
        });
        pauses.min_by_key(|(_, at)| *at)
    }

    /// Estimates the wait until a running task is paused for a new one of this caller.
    pub(super) fn pause_for_newcomer(&self, now: Instant, caller: CallerIds) -> Option<Duration> {
        let load = self.running_counts();
        let waits = self.interactive.count(|other| other == caller) > 0;
        let at = self.pause_for(now, caller, now, &load).filter(|_| !waits)?;
        Some(at.since(now))
    }

    /// Returns when a running task is paused for a task of `caller` that has waited since `since`, if any is.
    fn pause_for(
        &self,
        now: Instant,
        caller: CallerIds,
        since: Instant,
        load: &RunningCounts,
    ) -> Option<Instant> {
        let slots = self.concurrency..self.concurrency + self.paused_max;
        if !self.takes_work() || !slots.contains(&self.active.len()) {
            return None;
        }
        // Users share the slots, and so do the keys of one user. A user's further keys leave half of the
        // extra leases to users who have no task running.
        let (of_person, of_key) = load.of(caller);
        if of_person > 0 && self.active.len() >= self.concurrency + self.paused_max / 2 {
            return None;
        }
        let others = self.active.values().filter(|active| match of_person {
            0 => true,
            _ => of_key == 0 && active.caller.person == caller.person,
        });
        let has_several = |active: &Active| match (of_person, load.of(active.caller)) {
            (0, (persons, _)) => persons > 1,
            (_, (_, keys)) => keys > 1,
        };
        // A batch task that has waited for its limit gets the slot of a caller's only task first.
        let overdue = self.batch.oldest().map(|oldest| oldest.since.after(self.batch_wait_max));
        let at = since.after(PAUSE_AFTER);
        let may_be_paused = |active: &Active| match has_several(active) {
            true => Some(at),
            false => {
                let at = at.max(active.since.after(LONG));
                Some(at).filter(|at| overdue.is_none_or(|overdue| now.max(*at) < overdue))
            }
        };
        others.filter_map(may_be_paused).min()
    }

    /// Returns the longest-running task of a user or key that has every slot while others wait, and when it
    /// must stop.
    pub(super) fn slot_hold_deadline(&self, limits: &Limits) -> Option<(TaskId, Instant)> {
        let hold_max = limits.slot_hold_max?;
        if !self.takes_work() {
            return None;
        }
        let CallerIds { person, key } = self.active.values().find(|active| self.has_slot(active))?.caller;
        let of_person = self.hold_deadline_of(hold_max, |other| other.person == person);
        let of_key = self.hold_deadline_of(hold_max, |other| other.key == key);
        [of_person, of_key].into_iter().flatten().min_by_key(|(_, at)| *at)
    }

    /// Returns the same as [`Self::slot_hold_deadline`] for the callers that `holds` selects.
    ///
    /// An engine that pauses generations soon gives others a slot, unless it has no memory to store the
    /// paused state. With such an engine, the others count only after they have waited for
    /// [`UNPAUSED_AFTER`], in the queue or with a lease for a slot.
    fn hold_deadline_of(
        &self,
        hold_max: Duration,
        holds: impl Fn(CallerIds) -> bool,
    ) -> Option<(TaskId, Instant)> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.active.iter().partition(|(_, active)| holds(active.caller));
        if own.len() < self.concurrency
            || own.iter().any(|(_, active)| active.stopping)
            || others.iter().any(|(_, active)| self.has_slot(active))
        {
            return None;
        }
        let queues = [&self.interactive, &self.batch];
        let queued = queues.into_iter().filter_map(|queue| queue.oldest_of(|caller| !holds(caller)));
        let without_slot = others.iter().filter_map(|(_, active)| active.without_slot);
        let waiting = queued.map(|waiting| waiting.since).chain(without_slot);
        let oldest = waiting.min()?;
        let (task, longest) = own.into_iter().min_by_key(|(_, active)| active.since)?;
        let at = longest.since.after(hold_max);
        Some((*task, if self.paused_max > 0 { at.max(oldest.after(UNPAUSED_AFTER)) } else { at }))
    }

    /// Returns whether a task has a slot of the engine and not only a lease.
    fn has_slot(&self, active: &Active) -> bool {
        active.without_slot.is_none() || self.paused_max == 0
    }
}
