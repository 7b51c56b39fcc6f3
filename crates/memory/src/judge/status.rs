//! The state of the judge, and the requests to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lar_base::Caller;
use tokio::sync::Notify;

/// The model that judges links.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JudgeModel {
    /// None: links wait for a person.
    Off,
    /// The default chat model, while it is loaded and if it runs on this machine.
    #[default]
    WhileLoaded,
    /// The model with this name or alias. It is loaded for the judge.
    Named(String),
}

/// The present work of the judge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JudgeState {
    /// There is nothing to judge, no model is loaded, or the model is not fit.
    #[default]
    Idle,
    /// It judges the built-in pairs.
    Calibrating {
        /// The model's name.
        model: String,
        /// The number of pairs that it has judged.
        judged: usize,
        /// The number of all pairs.
        pairs: usize,
    },
    /// It judges links.
    Judging {
        /// The model's name.
        model: String,
    },
}

/// The judge's state and the requests to it. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judge(Arc<JudgeShared>);

#[derive(Debug, Default)]
struct JudgeShared {
    state: Mutex<JudgeState>,
    wake: Notify,
    /// A model to calibrate, and who asked for that.
    requested: Mutex<Option<(String, Caller)>>,
}

impl Judge {
    /// Starts the next look for links at once.
    pub(crate) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Waits until something wakes the judge.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    pub(super) fn set(&self, state: JudgeState) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn state(&self) -> JudgeState {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn requested(&self) -> MutexGuard<'_, Option<(String, Caller)>> {
        self.0.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
