//! What a conversation does with a model, and what memory adds to it. [`turn`] is the only way from one to the other;
//! [`request`] is memory for chats that others keep.

mod background;
pub mod compat_memory;
mod recall;
pub mod turn;

pub use background::is_background;
pub use compat_memory::CompatMemory;
pub use recall::ChatMemory;
pub use turn::{Turn, TurnRequest, Turns};
