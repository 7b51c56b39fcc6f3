//! The wire types of OpenAI's Responses API, and the support of each request field.

mod field_support;
mod request;
mod response;
mod stream_event;

pub use field_support::{INPUT_TOKENS_FIELDS, RESPONSE_FIELDS};
pub use request::{
    InputItem, InputPart, NamedTool, Reasoning, ResponseContent, ResponseRequest, ResponseTool,
    ResponseToolChoice, TextConfig, TextFormat, ToolFormat, Truncation,
};
pub use response::{
    Deleted, IncompleteDetails, InputItems, InputTokens, InputTokensDetails, OutputItem, OutputPart,
    OutputTokensDetails, Response, ResponseError, ResponseUsage, Status,
};
pub use stream_event::{EventKind, ResponseStreamEvent};
