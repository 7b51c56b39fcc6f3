//! Requests of OpenAI's Responses API.
//!
//! Most fields are optional here, because the `type` of an object decides which fields it needs. The decoder
//! checks that.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::token_limit::TokenLimit;

/// A request for a response: the supported fields.
///
/// The response repeats `text`, `tools` and `tool_choice` exactly as the request has them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ResponseRequest {
    /// The model's name or alias; the default chat model if absent or blank.
    pub model: Option<String>,
    /// The input: a string, or a list of [`InputItem`].
    ///
    /// The list is parsed separately, so that errors name the item.
    #[serde(default)]
    pub input: Value,
    /// The system message before the input. Instructions of a previous response do not apply again.
    pub instructions: Option<String>,
    /// The maximum number of generated tokens, including reasoning; no limit if absent.
    pub max_output_tokens: Option<TokenLimit>,
    /// The sampling temperature, from 0 to 2; 0.8 if absent.
    pub temperature: Option<f32>,
    /// The probability mass of the candidates, from 0 to 1; 0.95 if absent.
    pub top_p: Option<f32>,
    /// Whether the response is streamed; false if absent.
    pub stream: Option<bool>,
    /// The tools that the model may call.
    #[serde(default)]
    pub tools: Vec<ResponseTool>,
    /// The choice of tools; `auto` if absent.
    pub tool_choice: Option<ResponseToolChoice>,
    /// Whether the model may call several tools in one response; true if absent.
    pub parallel_tool_calls: Option<bool>,
    /// The settings for the text of the answer; plain text if absent.
    pub text: Option<TextConfig>,
    /// The id of the stored response that this one continues.
    pub previous_response_id: Option<String>,
    /// Whether the response is stored, so that it can be retrieved and continued; true if absent.
    pub store: Option<bool>,
    /// Whether the response runs without its client; false if absent.
    pub background: Option<bool>,
    /// Pairs of strings that are stored and returned with the response: at most 16.
    pub metadata: Option<Map<String, Value>>,
    /// The number of likeliest candidates in the logprobs of each token, from 0 to 20; 0 if absent.
    pub top_logprobs: Option<u32>,
    /// The names of additional output, such as `message.output_text.logprobs`.
    #[serde(default)]
    pub include: Vec<String>,
    /// The settings for the model's reasoning.
    pub reasoning: Option<Reasoning>,
    /// The name of a [`Truncation`]; `disabled` if absent.
    pub truncation: Option<String>,
}

/// The treatment of an input that exceeds the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// Lar drops the oldest items.
    Auto,
    /// Lar rejects the input.
    Disabled,
}

/// The settings for the model's reasoning.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Reasoning {
    /// The level of effort, from `none` to `max`; the chat template's default if absent.
    pub effort: Option<String>,
}

/// An input item of any kind. Its fields depend on the kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct InputItem {
    /// The kind, such as `function_call`; `message` if absent.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The author of a message: `user`, `assistant`, `system` or `developer`.
    pub role: Option<String>,
    /// The content of a message or of a reasoning item.
    pub content: Option<ResponseContent>,
    /// The id that connects a tool call with its result.
    pub call_id: Option<String>,
    /// The name of the called tool, without its namespace.
    pub name: Option<String>,
    /// The namespace of the called tool; absent for a tool without one.
    pub namespace: Option<String>,
    /// The arguments of a function call as a JSON text; absent or empty for a call without arguments.
    pub arguments: Option<String>,
    /// The input of a custom tool call.
    pub input: Option<String>,
    /// The result of a tool call.
    pub output: Option<ResponseContent>,
    /// The status of an item of an earlier output: `incomplete` for a truncated call.
    pub status: Option<String>,
    /// The summary of a reasoning item, which counts only if the item has no `content`.
    #[serde(default)]
    pub summary: Vec<InputPart>,
}

/// The content of an input item.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of parts, each with a `type`")]
pub enum ResponseContent {
    /// A single string.
    Text(String),
    /// A list of parts.
    Parts(Vec<InputPart>),
}

/// A part of an item's content.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct InputPart {
    /// The kind, such as `input_text`, `output_text` or `refusal`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text; absent in a refusal.
    pub text: Option<String>,
    /// The text of a refusal; absent in other parts.
    pub refusal: Option<String>,
}

/// A tool that the model may call, or a namespace of tools.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ResponseTool {
    /// The kind: `function`, `custom`, `namespace`, or a tool that runs at OpenAI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the tool or of the namespace; absent for tools that run at OpenAI.
    pub name: Option<String>,
    /// The description of the tool for the model.
    pub description: Option<String>,
    /// The JSON Schema of a function's arguments; any object is allowed if absent.
    pub parameters: Option<Value>,
    /// Whether a schema that the grammar cannot enforce exactly is an error; false if absent.
    pub strict: Option<bool>,
    /// The format of a custom tool's input; any text if absent.
    pub format: Option<ToolFormat>,
    /// The tools of a namespace; empty for other tools.
    #[serde(default)]
    pub tools: Vec<ResponseTool>,
}

/// The format of a custom tool's input.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ToolFormat {
    /// The language of the grammar: `lark` or `regex`.
    pub syntax: Option<String>,
    /// The grammar; absent for any text.
    pub definition: Option<String>,
}

/// The tools that the model may call, or must call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be none, auto, required, or an object with a `type`")]
pub enum ResponseToolChoice {
    /// A mode: `none`, `auto` or `required`.
    Mode(String),
    /// One tool, or several allowed tools.
    Named(NamedTool),
}

/// A tool by its name, or `allowed_tools`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct NamedTool {
    /// The kind: `function`, `custom` or `allowed_tools`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the tool, without its namespace; absent for `allowed_tools`.
    pub name: Option<String>,
    /// The namespace of the tool; absent for a tool without one.
    pub namespace: Option<String>,
    /// The mode of `allowed_tools`: `auto` or `required`; `auto` if absent.
    pub mode: Option<String>,
    /// The tools of `allowed_tools`; empty for other kinds.
    #[serde(default)]
    pub tools: Vec<NamedTool>,
}

/// The settings for the text of the answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct TextConfig {
    /// The required format; any text if absent.
    pub format: Option<TextFormat>,
}

/// The required format of the answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct TextFormat {
    /// The kind: `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The JSON Schema of the answer, required for `json_schema`.
    pub schema: Option<Value>,
    /// Whether a schema that the grammar cannot enforce exactly is an error; false if absent.
    pub strict: Option<bool>,
}
