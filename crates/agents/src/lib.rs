//! What a conversation does with a model. [`turn`] is the only way from one to the other.

mod recall;
pub mod turn;

pub use recall::ChatMemory;
pub use turn::{Turn, TurnRequest, Turns};
