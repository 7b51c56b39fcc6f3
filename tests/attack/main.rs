//! What somebody hostile would try, by the hundreds, against a real Lar. Each corpus says how much of it there is, so that none
//! grows smaller unseen.
//!
//! What a taken-over worker would try is in `tests/src/escapes.rs`; `tests/it/confinement.rs` and `tests/it/llama_server.rs`
//! try it. The texts in `prompts/` are tried by `tests/it/prompts.rs`, the bodies in `bodies/` by
//! `crates/server/src/lenient/corpus.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archives;
mod bodies;
mod connections;
mod fairness;
mod heads;
mod models;
mod ownership;
mod wheels;
