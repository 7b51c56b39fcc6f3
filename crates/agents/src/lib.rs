//! What a conversation does with a model, and what memory adds to it. [`turn`] is the only way from one to the other;
//! [`request`] is memory for chats that others keep.

mod background;
mod recall;
pub mod request;
pub mod turn;

pub use background::is_background;
pub use recall::ChatMemory;
pub use request::RequestMemory;
pub use turn::{Turn, TurnRequest, Turns};
