//! `/v1/responses`: OpenAI's Responses API.
//!
//! A request can refer to stored responses, so its fields are read first and its items are decoded later:
//! [`UndecodedResponseRequest`] names the stored items that it needs. [`ResponsesEncoder`] encodes the events
//! of the task as a response and as the events of its stream.
//!
//! It has no [`Codec`](crate::Codec), because its requests are decoded in two steps, and because the encoder
//! also builds the responses that are not streamed.
//!
//! This module stores nothing: `lar-agents` stores responses and runs those in the background.

mod decode;
mod encode;
mod input_items;
mod offered_tools;
mod response_ids;
pub mod wire;

pub use decode::{ResponsesInput, UndecodedResponseRequest, decode, decode_to_count};
pub use encode::{ResponsesEncoder, failure};
pub use input_items::read_stored_items;
pub use offered_tools::OfferedTools;
pub use response_ids::{id_of, input_item_id, task_of, task_of_item};
