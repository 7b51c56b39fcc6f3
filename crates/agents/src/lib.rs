//! What a conversation does with a model. [`turn`] is the only way from one to the other.

pub mod turn;

pub use turn::{Turn, TurnRequest, Turns};
