//! Anthropic's API, `/v1/messages`: messages, their streams, and the count of their tokens.

mod blocks;
mod decode;
mod encode;
pub mod error;
pub mod wire;

pub use decode::{CountTokensInput, MessagesInput, MessagesStyle, decode, decode_count};
pub use encode::{MessageEncoder, whole};
