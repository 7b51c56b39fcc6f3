//! The share of a queue that the tasks of one key, or of one user, may fill.

use std::time::Duration;

use lar_base::TaskId;
use lar_inference::CallerIds;

use super::events::{Limits, Refusal, ShareOwner};
use super::queue::Queue;

/// A share of a queue that is used up.
#[derive(Debug)]
pub(super) struct FullShare {
    owner: ShareOwner,
    waiting: usize,
    /// The task of the share that has waited longest.
    pub(super) oldest: Option<TaskId>,
}

impl FullShare {
    /// Returns the caller's share of a queue if it is used up.
    pub(super) fn find(queue: &Queue, caller: CallerIds, limits: &Limits) -> Option<Self> {
        let of_key = |other: CallerIds| other.key == caller.key;
        let of_person = |other: CallerIds| other.person == caller.person;
        let (key, person) = (queue.count(of_key), queue.count(of_person));
        if key >= limits.key_share() {
            let oldest = queue.oldest_of(of_key).map(|waiting| waiting.task);
            return Some(Self { owner: ShareOwner::Key, waiting: key, oldest });
        }
        if person >= limits.person_share() {
            let oldest = queue.oldest_of(of_person).map(|waiting| waiting.task);
            return Some(Self { owner: ShareOwner::Person, waiting: person, oldest });
        }
        None
    }

    pub(super) fn refusal(&self, retry_after: Duration) -> Refusal {
        Refusal::ShareFull { owner: self.owner, waiting: self.waiting, retry_after }
    }
}
