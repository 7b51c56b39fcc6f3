//! The sender of a request of the compatible APIs.

use lar_base::{Caller, Instant, MemoryMode};

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
    pub received_at: Instant,
}
