//! Conversation turns and the use of memory in chats.
//!
//! [`turn`] runs one turn of a conversation that Lar stores; no other code connects a conversation to a
//! model. [`compat_memory`] adds memory to requests of the compatible APIs, whose clients store their own
//! chats.

mod background;
pub mod compat_memory;
mod recall;
pub mod turn;

pub use background::is_background;
pub use compat_memory::CompatMemory;
pub use recall::ChatMemory;
pub use turn::{Turn, TurnRequest, Turns};
