//! What somebody hostile would try, by the hundreds, against a real Lar. Each corpus says how much of it there is, so that none
//! grows smaller unseen.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archives;
mod bodies;
mod connections;
mod fairness;
mod heads;
mod models;
mod ownership;
mod wheels;
