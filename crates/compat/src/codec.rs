//! The interface of the codecs of endpoints that generate text.

use lar_base::{Problem, TaskId};
use serde::Serialize;

use crate::{Answer, Encoder, Head, Request};

/// The codec of an endpoint that generates text.
///
/// The implementing type only names the codec. The response to a request is either a stream, which the encoder
/// makes from the events of its answers, or one whole body.
pub trait Codec {
    /// A decoded and validated request. It includes the style of its response.
    type Input;
    /// The parts of a request that its response depends on.
    type Style;
    /// The body of a response that is not streamed.
    type Whole: Serialize;
    /// The encoder of a streamed response.
    type Encoder: Encoder + Send + 'static;

    /// Decodes a request body; `id` is the id of the task of the first answer.
    ///
    /// # Errors
    /// If the body is not a valid request. The error names the field.
    fn decode(body: &[u8], id: TaskId) -> Result<Self::Input, Problem>;

    /// Creates the encoder of the streamed response to a request.
    fn encoder(head: Head, style: Self::Style) -> Self::Encoder;

    /// Returns the body with the complete answers to a request.
    fn whole(head: &Head, answers: Vec<Answer>, style: &Self::Style) -> Self::Whole;
}

/// A decoded and validated request that is complete: it needs no model's tokenizer and no stored data.
#[derive(Debug)]
pub struct DecodedRequest<S> {
    /// The request for text.
    pub request: Request,
    /// The parts of the request that its response depends on.
    pub style: S,
}
