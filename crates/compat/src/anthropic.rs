//! Anthropic's API, `/v1/messages`: messages, their streams, and the count of their tokens.

mod blocks;
mod decode;
mod encode;
pub mod error;
pub mod wire;

use lar_base::{Problem, TaskId};

pub use self::decode::{CountTokensInput, MessagesStyle, decode_count};
use self::encode::MessageEncoder;
use self::wire::AnthropicMessage;
use crate::{Answer, Codec, DecodedRequest, Head};

/// The codec of `POST /v1/messages`. A request has one answer.
#[derive(Debug)]
pub struct Messages;

impl Codec for Messages {
    type Input = DecodedRequest<MessagesStyle>;
    type Style = MessagesStyle;
    type Whole = AnthropicMessage;
    type Encoder = MessageEncoder;

    fn decode(body: &[u8], id: TaskId) -> Result<DecodedRequest<MessagesStyle>, Problem> {
        decode::decode(body, id)
    }

    fn encoder(head: Head, style: MessagesStyle) -> MessageEncoder {
        MessageEncoder::new(head, style)
    }

    fn whole(head: &Head, answers: Vec<Answer>, style: &MessagesStyle) -> AnthropicMessage {
        encode::whole(head, answers, style)
    }
}
