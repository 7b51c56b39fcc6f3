//! Sandboxing of Lar's processes and their children.
//!
//! [`confine`](confine()) permanently removes every right that the calling process does not need.
//! [`command`](command()) creates children without the server's environment, working directory and
//! descriptors. [`restrict_child`] limits the file writes and TCP connections of a child that runs another
//! program. [`return_large_allocations`] makes the C library return large freed allocations to the system.
//! The callers decide which rights a process needs.

mod child;
mod command;
mod confine;
mod gpu;
mod malloc_threshold;
#[cfg(target_os = "linux")]
mod syscalls;

pub use child::{ChildLimits, restrict_child};
pub use command::{Inherit, close_descriptors, command, exec_program, set_close_on_exec, take_secret};
pub use confine::{Confinement, Mechanism, MissingMechanism, Profile, confine, finish_loading};
pub use gpu::{GpuFiles, find_gpu_files};
pub use malloc_threshold::{return_freed_allocations, return_large_allocations};
