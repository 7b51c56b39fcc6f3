//! The sender of a request of the compatible APIs, and the time of the request's arrival.

use lar_base::{Caller, Instant, MemoryMode, Timestamp};

/// The sender of a request, and its choices about memory.
#[derive(Debug, Clone)]
pub struct Requester {
    /// The authenticated caller.
    pub caller: Caller,
    /// The name of the API in usage records.
    pub api: &'static str,
    /// The memory mode of the request; `None` for the default of the model's name or of the key.
    pub memory_mode: Option<MemoryMode>,
    /// The agent whose memories the request uses, if it names one.
    pub agent: Option<String>,
    /// The memory space that the request uses, if it names one.
    pub space: Option<String>,
    /// The time at which the request arrived.
    pub arrival: Arrival,
}

/// The time at which a request arrived, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The wall-clock time, which responses show.
    pub at: Timestamp,
    /// The monotonic time, from which durations are measured.
    pub instant: Instant,
}

impl Arrival {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { at: Timestamp::now(), instant: Instant::now() }
    }
}
