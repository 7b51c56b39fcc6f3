//! Messages of a chat completion's request, and the tool calls in them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message of a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ChatCompletionMessage {
    /// The author: `system`, `developer`, `user`, `assistant`, `tool` or `function`.
    pub role: String,
    /// The name of the author among several, or of the function whose result this is.
    pub name: Option<String>,
    /// The text; required for `user`, `system` and `developer`.
    pub content: Option<ChatContent>,
    /// The text of a refusal, which counts only without `content`.
    pub refusal: Option<String>,
    /// The tool calls of an assistant message; an error in other messages.
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The id of the call whose result this is; the last call if absent.
    pub tool_call_id: Option<String>,
    /// The assistant's reasoning, by the name that llama.cpp and vLLM use.
    pub reasoning_content: Option<String>,
    /// The assistant's reasoning, by the name that OpenRouter and Ollama use.
    pub reasoning: Option<String>,
    /// The function call that older clients send instead of `tool_calls`.
    pub function_call: Option<CalledFunction>,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of parts, each with a `type`")]
pub enum ChatContent {
    /// A single string.
    Text(String),
    /// A list of parts.
    Parts(Vec<ContentPart>),
}

/// A part of a message's content.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ContentPart {
    /// The kind: `text`, `input_text`, `output_text` or `refusal`. Lar rejects others, such as `image_url`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text; absent in a refusal.
    pub text: Option<String>,
    /// The text of a refusal; absent in other parts.
    pub refusal: Option<String>,
}

/// An earlier tool call of the model, as clients send it back.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ToolCall {
    /// The id that connects the call with its result; empty if absent.
    #[serde(default)]
    pub id: String,
    /// The function of the call; absent for a custom tool.
    pub function: Option<CalledFunction>,
    /// The custom tool of the call, which counts only without `function`.
    pub custom: Option<CalledCustom>,
}

/// The function of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct CalledFunction {
    /// The function's name.
    pub name: String,
    /// The arguments as a JSON text; null or empty for none. Some clients send the object itself.
    #[serde(default)]
    pub arguments: Value,
}

/// The custom tool of a tool call, in requests and answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledCustom {
    /// The tool's name.
    pub name: String,
    /// The input, any text; empty if absent.
    #[serde(default)]
    pub input: String,
}
