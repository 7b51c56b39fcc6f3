//! Whether a pool's model is loaded, when it was last used, and what was requested.
//!
//! `loading.rs` decides which models are loaded, and `eviction.rs` which are unloaded.

use std::time::Duration;

use lar_base::{Bytes, Instant};

/// Whether a pool's model is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadPhase {
    Absent,
    /// A load was ordered and has neither succeeded nor failed yet.
    Loading,
    Ready,
    /// An unload was ordered; the memory is not free yet.
    Unloading,
}

/// The state of a pool's model, from which loading and eviction are decided.
#[derive(Debug)]
pub(super) struct LoadState {
    pub(super) phase: LoadPhase,
    /// The memory that the model uses unless it is absent.
    pub(super) memory: Bytes,
    /// Whether a load was requested, with or without tasks.
    pub(super) load_requested: bool,
    /// Whether an unload was requested; it happens once nothing runs or waits.
    pub(super) unload_requested: bool,
    /// The time at which the last task ended or the model became ready.
    pub(super) last_used: Instant,
    /// The time that it stays loaded after that, if one was requested.
    pub(super) keep_alive: Option<Duration>,
    /// Since when the model has waited for memory.
    pub(super) short_since: Option<Instant>,
    /// Whether the pool accepts no new tasks, so that its model can be unloaded.
    pub(super) draining: bool,
}

impl LoadState {
    pub(super) fn new(memory: Bytes) -> Self {
        Self {
            phase: LoadPhase::Absent,
            memory,
            load_requested: false,
            unload_requested: false,
            last_used: Instant::from_millis(0),
            keep_alive: None,
            short_since: None,
            draining: false,
        }
    }

    pub(super) fn set_phase(&mut self, phase: LoadPhase, now: Instant) {
        self.phase = phase;
        self.draining = false;
        self.short_since = None;
        self.unload_requested &= phase == LoadPhase::Ready;
        if phase == LoadPhase::Unloading {
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
        self.load_requested = self.phase == LoadPhase::Absent || self.phase == LoadPhase::Unloading;
    }
}
