//! The state of consolidation, and the requests to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lar_base::{RunId, SpaceId};
use tokio::sync::Notify;

/// Whether Lar compares memories in idle hours and on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsolidationMode {
    /// It does.
    #[default]
    On,
    /// It compares nothing. Open proposals stay.
    Off,
}

/// The present work of consolidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsolidationState {
    /// The setting turns it off.
    Off,
    /// There is nothing to compare, or too many findings wait for a person.
    #[default]
    Idle,
    /// There are memories to compare. It waits until nothing else has run for a while.
    Waiting,
    /// It compares memories.
    Comparing,
}

/// The turn of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nobody waits for the result.
    Idle,
    /// A person started its run.
    Requested,
    /// A person started a run of another space.
    OfOthers,
}

/// The state of consolidation and the requests to it. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consolidation(Arc<ConsolidationShared>);

#[derive(Debug, Default)]
struct ConsolidationShared {
    state: Mutex<ConsolidationState>,
    wake: Notify,
    /// The runs that people started, at most one for each space.
    requested: Mutex<HashMap<SpaceId, RunId>>,
}

impl Consolidation {
    /// Waits until a person starts a run.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    pub(super) fn set(&self, state: ConsolidationState) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn state(&self) -> ConsolidationState {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the request for a run and wakes consolidation.
    pub(super) fn request(&self, space: SpaceId, run: RunId) {
        self.requested().insert(space, run);
        self.0.wake.notify_one();
    }

    /// Returns a requested run.
    pub(super) fn next_request(&self) -> Option<(SpaceId, RunId)> {
        self.requested().iter().next().map(|(space, run)| (*space, *run))
    }

    /// Removes the request for a run, unless a person started another one meanwhile.
    pub(super) fn finish(&self, space: SpaceId, run: RunId) {
        let mut requested = self.requested();
        if requested.get(&space) == Some(&run) {
            requested.remove(&space);
        }
    }

    /// Returns whether a space may be compared now, and how urgently.
    pub(super) fn turn_of(&self, space: SpaceId) -> Turn {
        let requested = self.requested();
        match requested.contains_key(&space) {
            true => Turn::Requested,
            false if requested.is_empty() => Turn::Idle,
            false => Turn::OfOthers,
        }
    }

    fn requested(&self) -> MutexGuard<'_, HashMap<SpaceId, RunId>> {
        self.0.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
