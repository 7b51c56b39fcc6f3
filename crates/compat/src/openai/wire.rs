//! OpenAI's wire types, as its SDKs send and expect them, and the support of each request field.
//!
//! [`completions`](super::completions), [`rerank`](super::rerank) and [`responses`](super::responses) have
//! further types of their own.

mod answers;
mod chunks;
mod embeddings;
mod errors;
mod field_support;
mod logprobs;
mod messages;
mod models;
mod one_or_many;
mod requests;
mod sampling;
mod tools;
mod usage;

pub use answers::{AnswerMessage, ChatChoice, ChatCompletion, MessageFunction, MessageToolCall};
pub use chunks::{ChatChunk, ChatChunkChoice, ChatDelta, FunctionDelta, ToolCallDelta};
pub use embeddings::{Embedding, EmbeddingList, EmbeddingRequest, EmbeddingValue};
pub use errors::{OpenAiErrorBody, OpenAiErrorDetail};
pub use field_support::{CHAT_FIELDS, COMPLETION_FIELDS, EMBEDDING_FIELDS};
pub use logprobs::{ChatLogprobs, CompletionLogprobs, TokenLogprob, TopLogprob};
pub use messages::{CalledCustom, CalledFunction, ChatCompletionMessage, ChatContent, ContentPart, ToolCall};
pub use models::{OpenAiModel, OpenAiModelList};
pub use one_or_many::OneOrMany;
pub use requests::{ChatCompletionRequest, CompletionRequest, JsonSchema, ResponseFormat, StreamOptions};
pub use sampling::{Sampling, StructuredOutputs};
pub use tools::{
    AllowedTools, ChatTool, ChatToolChoice, ChosenTool, CustomFormat, CustomGrammar, CustomTool,
    FunctionDefinition, FunctionName,
};
pub use usage::{CompletionUsage, PromptProgress, PromptTokensDetails, Timings};
