//! `POST /v1/chat/completions`.

mod decode;
mod encode;
mod tools;

use lar_base::{Problem, TaskId};

pub use self::decode::ChatStyle;
use self::encode::ChatEncoder;
use crate::openai::wire::ChatCompletion;
use crate::{Answer, Codec, DecodedRequest, Head};

/// The codec of `POST /v1/chat/completions`.
#[derive(Debug)]
pub struct ChatCompletions;

impl Codec for ChatCompletions {
    type Input = DecodedRequest<ChatStyle>;
    type Style = ChatStyle;
    type Whole = ChatCompletion;
    type Encoder = ChatEncoder;

    fn decode(body: &[u8], id: TaskId) -> Result<DecodedRequest<ChatStyle>, Problem> {
        decode::decode(body, id)
    }

    fn encoder(head: Head, style: ChatStyle) -> ChatEncoder {
        ChatEncoder::new(head, style)
    }

    fn whole(head: &Head, answers: Vec<Answer>, style: &ChatStyle) -> ChatCompletion {
        encode::whole(head, answers, style)
    }
}
