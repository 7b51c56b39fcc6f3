//! Sandboxes: what a process may do on this machine.
//!
//! [`confine`](confine()) takes from the calling process, for good, every right that it does not need.
//! [`command`](command()) starts children without the server's environment, folder and descriptors.
//! Nothing here decides what a process needs.

mod command;
mod confine;
mod graphics;
#[cfg(target_os = "linux")]
mod syscalls;

pub use command::{
    Inherit, become_program, close_descriptors, command, keep_descriptors_private, take_secret,
};
pub use confine::{Confinement, Means, Missing, Profile, confine, finish_loading};
pub use graphics::{Graphics, graphics};
