//! Integration tests on the real thing, laid out as the paths of the API are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod bad_input;
mod batching;
mod cli;
mod confinement;
mod connect;
mod conversations;
mod disk;
mod downloads;
mod encoder;
mod engines;
mod health;
mod held_calls;
mod idempotency;
mod keys;
mod llama_server;
mod memories;
mod models;
mod openai;
mod reach;
mod rerank;
mod residency;
mod structure;
mod tasks;
mod upgrade;
