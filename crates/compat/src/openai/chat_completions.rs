//! `POST /v1/chat/completions`.

mod decode;
mod encode;
mod tools;

pub use decode::{ChatInput, ChatStyle, decode};
pub use encode::{ChatEncoder, whole};
