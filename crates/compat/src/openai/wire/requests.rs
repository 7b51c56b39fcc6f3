//! Requests for chat completions and completions, without their sampling fields.
//!
//! [`Sampling`](super::Sampling) has the sampling fields. It is parsed separately, so that errors name them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::messages::ChatCompletionMessage;
use super::tools::{ChatTool, ChatToolChoice, FunctionDefinition};
use crate::token_limit::TokenLimit;

/// A request for a chat completion: the supported fields without those of [`Sampling`](super::Sampling).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ChatCompletionRequest {
    /// The model's name or alias; the default chat model if absent or blank.
    pub model: Option<String>,
    /// The messages of the chat, oldest first: 1 to 10,000.
    pub messages: Vec<ChatCompletionMessage>,
    /// Whether the response is streamed; false if absent.
    pub stream: Option<bool>,
    /// The additional contents of a stream; none if absent.
    pub stream_options: Option<StreamOptions>,
    /// OpenAI's older name for `max_completion_tokens`, which has priority over this field.
    pub max_tokens: Option<TokenLimit>,
    /// The maximum number of generated tokens of each answer, including reasoning; no limit if absent.
    pub max_completion_tokens: Option<TokenLimit>,
    /// llama.cpp's name for `max_tokens`, which has priority over this field.
    pub n_predict: Option<TokenLimit>,
    /// The number of answers, 1 to 16; 1 if absent.
    pub n: Option<u32>,
    /// Whether choices have the logprobs of their tokens; false if absent.
    pub logprobs: Option<bool>,
    /// The number of likeliest candidates in the logprobs of each token, 0 to 20; 0 if absent.
    ///
    /// A number above 0 needs `logprobs`.
    pub top_logprobs: Option<u32>,
    /// The required format of the answer; any text if absent.
    pub response_format: Option<ResponseFormat>,
    /// The tools that the model may call, at most 512; none if absent.
    pub tools: Option<Vec<ChatTool>>,
    /// The choice of tools; `auto` if absent.
    pub tool_choice: Option<ChatToolChoice>,
    /// Whether the model may call several tools in one answer; true if absent.
    pub parallel_tool_calls: Option<bool>,
    /// The level of reasoning effort, from `none` to `max`; the chat template's default if absent.
    pub reasoning_effort: Option<String>,
    /// The variables for the chat template by name, at most 32; llama.cpp and vLLM have this field.
    #[serde(default)]
    pub chat_template_kwargs: Map<String, Value>,
    /// The functions of older clients. They count only without `tools`; the answer has a `function_call`.
    pub functions: Option<Vec<FunctionDefinition>>,
    /// The choice among `functions`; `auto` if absent.
    pub function_call: Option<ChatToolChoice>,
    /// Whether the answer continues a final assistant message.
    ///
    /// If absent, it does, unless it is constrained or must be a tool call. True is then an error. vLLM has
    /// this field.
    pub continue_final_message: Option<bool>,
    /// Whether the prompt ends with the header of an assistant message; true if absent.
    ///
    /// A continued message has no such header. llama.cpp and vLLM have this field.
    pub add_generation_prompt: Option<bool>,
    /// Whether every chunk of a stream except the first has timings; false if absent.
    ///
    /// llama.cpp has this field.
    pub timings_per_token: Option<bool>,
}

/// A request for a completion: the supported fields without those of [`Sampling`](super::Sampling).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CompletionRequest {
    /// The model's name or alias; the default chat model if absent or blank.
    pub model: Option<String>,
    /// Strings, token ids or both: one prompt, or a list of up to 128.
    ///
    /// The field is parsed separately, so that errors name the prompt.
    #[serde(default)]
    pub prompt: Value,
    /// Whether the response is streamed; false if absent.
    pub stream: Option<bool>,
    /// The additional contents of a stream; none if absent.
    pub stream_options: Option<StreamOptions>,
    /// The maximum number of generated tokens of each answer; 16 if absent. 0 only reads the prompt.
    pub max_tokens: Option<TokenLimit>,
    /// The number of answers to each prompt, 1 to 16; 1 if absent.
    pub n: Option<u32>,
    /// The number of likeliest candidates in the logprobs of each token, 0 to 20; no logprobs if absent.
    pub logprobs: Option<u32>,
    /// The text after the answer, which fills the gap; absent or empty for none.
    ///
    /// The prompt must then be a single string.
    pub suffix: Option<String>,
    /// Whether each answer starts with its prompt; false if absent.
    pub echo: Option<bool>,
    /// The number of answers to choose the best `n` from, at most `n`: Lar returns all answers.
    pub best_of: Option<u32>,
}

/// The additional contents of a stream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct StreamOptions {
    /// Whether the last chunk has the token usage; false if absent.
    #[serde(default)]
    pub include_usage: bool,
}

/// The required format of the answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResponseFormat {
    /// The kind: `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema of the kind `json_schema`; may be absent if `schema` has it.
    pub json_schema: Option<JsonSchema>,
    /// The JSON Schema in llama.cpp's form of the field, for `json_object` and `json_schema`.
    pub schema: Option<Value>,
}

/// A JSON schema for the answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct JsonSchema {
    /// The JSON Schema, an object; the `schema` of [`ResponseFormat`] if absent.
    pub schema: Option<Value>,
    /// Whether a schema that the grammar cannot enforce exactly is an error; false if absent.
    pub strict: Option<bool>,
}
