//! Sandboxes: what a process may do on this machine.
//!
//! [`confine`](confine()) is the first module: a process gives up, for itself and for good, what it does not
//! need. Processes of agents, containers and micro-VMs will stand beside it. Nothing here starts a process or
//! decides what one needs.

mod confine;
#[cfg(target_os = "linux")]
mod syscalls;

pub use confine::{Confinement, Means, Missing, confine};
