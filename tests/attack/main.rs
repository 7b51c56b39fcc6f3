//! Hundreds of attacks on a real Lar. Each test asserts the size of its corpus, so that no case gets lost
//! unnoticed.
//!
//! The system calls of a compromised worker are in `tests/src/escapes.rs`; `tests/it/confinement.rs` and
//! `tests/it/llama_server.rs` try them. `tests/it/prompts.rs` sends the texts in `prompts/`, and
//! `crates/server/src/recorded_bodies.rs` decodes the bodies in `bodies/`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archives;
mod bodies;
mod connections;
mod fairness;
mod heads;
mod models;
mod ownership;
mod wheels;
