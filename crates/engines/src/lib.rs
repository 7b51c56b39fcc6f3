//! Engines: the drivers that run models, and the scheduler that shares them between callers.
//!
//! The [`driver`] trait states what an engine must do. [`scheduler`] is pure and decides which task runs
//! next. [`pools`] carries out its decisions on real engines and grants [`Lease`]s. This crate knows no HTTP
//! format, no conversation and no database: it takes prompts and plain values, and returns tokens and events.
//! The worker process, which runs llama.cpp, is the `worker` crate.

mod confinement_policy;
pub mod device;
pub mod driver;
pub mod embedded;
mod embedding_steps;
pub mod encoder;
mod lease;
pub mod llama_server;
pub mod pools;
pub mod scheduler;
mod stderr;

pub use lease::Lease;
pub use pools::{Engines, PoolStatus, Ticket};
