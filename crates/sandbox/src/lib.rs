//! Sandboxes: what a process may do on this machine.
//!
//! [`confine`](confine()) takes from the calling process, for good, every right that it does not need.
//! [`command`](command()) starts children without the server's environment, folder and descriptors.
//! [`restrict_child`] limits what a child that is another program may change and reach.
//! [`return_large_allocations`] has the C library keep no large memory that was freed.
//! Nothing here decides what a process needs.

mod child;
mod command;
mod confine;
mod gpu;
mod memory;
#[cfg(target_os = "linux")]
mod syscalls;

pub use child::{ChildLimits, restrict_child};
pub use command::{Inherit, close_descriptors, command, exec_program, set_close_on_exec, take_secret};
pub use confine::{Confinement, Mechanism, MissingMechanism, Profile, confine, finish_loading};
pub use gpu::{GpuFiles, find_gpu_files};
pub use memory::return_large_allocations;
