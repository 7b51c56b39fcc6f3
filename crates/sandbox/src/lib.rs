//! Sandboxes: what a process may do on this machine.
//!
//! [`confine`](confine()) takes from the calling process, for good, every right that it does not need.
//! [`command`](command()) starts children without the server's environment, folder and descriptors.
//! [`restrict_child`] limits what a child that is another program may change and reach.
//! [`give_back_large_allocations`] has the C library keep no large memory that was freed.
//! Nothing here decides what a process needs.

mod child;
mod command;
mod confine;
mod graphics;
mod memory;
#[cfg(target_os = "linux")]
mod syscalls;

pub use child::{ChildLimits, restrict_child};
pub use command::{
    Inherit, become_program, close_descriptors, command, keep_descriptors_private, take_secret,
};
pub use confine::{Confinement, Means, Missing, Profile, confine, finish_loading};
pub use graphics::{Graphics, graphics};
pub use memory::give_back_large_allocations;
