//! The number of running tasks of each caller, by which free slots are shared.

use std::collections::BTreeMap;

use lar_base::{KeyId, UserId};
use lar_inference::CallerIds;

/// The number of running tasks of each user and key.
#[derive(Debug, Default)]
pub(super) struct RunningCounts {
    persons: BTreeMap<UserId, usize>,
    keys: BTreeMap<KeyId, usize>,
}

impl RunningCounts {
    /// Counts tasks, given the caller of each.
    pub(super) fn new(callers: impl Iterator<Item = CallerIds>) -> Self {
        let mut counts = Self::default();
        callers.for_each(|caller| counts.add(caller));
        counts
    }

    fn add(&mut self, caller: CallerIds) {
        *self.persons.entry(caller.person).or_default() += 1;
        *self.keys.entry(caller.key).or_default() += 1;
    }

    /// Returns the number of tasks of the user, and of the key.
    pub(super) fn of(&self, caller: CallerIds) -> (usize, usize) {
        let persons = self.persons.get(&caller.person).copied().unwrap_or(0);
        (persons, self.keys.get(&caller.key).copied().unwrap_or(0))
    }
}
