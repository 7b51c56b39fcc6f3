//! The states of pools and of their queues, for people and metrics.

use std::time::Duration;

use lar_base::{Bytes, Instant};
use lar_inference::WaitReason;

use crate::driver::Engine;
use crate::scheduler::PoolId;

/// The position of a waiting task in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePosition {
    /// The number of tasks that start before it.
    pub position: usize,
    /// The estimated wait, from now.
    pub predicted_start: Duration,
    /// Why the task has not started: its model loads, memory is short, or others are ahead.
    pub wait_reason: WaitReason,
}

/// The state of a pool's engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolState {
    /// The model is not in memory.
    Unloaded,
    /// The engine starts and loads the model.
    Loading,
    /// The engine accepts tasks.
    Ready,
    /// The last attempt to load failed.
    Failed(String),
}

/// The status of a pool, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// The name of the model that it serves.
    pub pool: PoolId,
    /// The properties of its engine, such as the name and the number of slots.
    pub engine: Engine,
    /// Whether its model is loaded, loads, or could not be loaded.
    pub state: PoolState,
    /// The number of leases that are granted and not freed.
    pub active: usize,
    /// The numbers of interactive and of batch tasks that wait.
    pub waiting: [usize; 2],
    /// The memory that the model uses while it is loaded.
    pub memory: Bytes,
    /// The number of threads that decode, while the model is loaded and if the engine reports it.
    pub threads: Option<u32>,
    /// The time at which the model is unloaded if it stays unused.
    pub unloads_at: Option<Instant>,
}
