//! The results of requests for responses and for token counts.

use lar_compat::openai::responses::wire::Response;
use lar_memory::MemoryActivityIds;

use super::frames::ResponseFrames;

/// A created response, and facts about its request that are reported beside it.
pub struct CreatedResponse {
    /// The response or its stream.
    pub content: CreatedContent,
    /// The fields and schema keywords that have no effect.
    pub ignored: Vec<String>,
    /// The number of messages that were removed so that the input fits the context; `None` if it fits.
    pub removed_messages: Option<usize>,
    /// The ids of the memories that the request recalled and changed; `None` if there are none.
    pub memory_activity: Option<MemoryActivityIds>,
}

/// The content of a created response.
pub enum CreatedContent {
    /// The response: ended, or in the status `queued` if it runs in the background.
    Whole(Box<Response>),
    /// The stream of the response.
    Stream(Box<ResponseFrames>),
}

/// The number of tokens of a request's prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedInput {
    /// The number of prompt tokens.
    pub tokens: usize,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
    /// The number of messages that were removed so that the input fits the context; `None` if it fits.
    pub removed_messages: Option<usize>,
}
