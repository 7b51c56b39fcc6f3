//! Tools that a chat completion offers to the model, and the choice among them.

use serde::Deserialize;
use serde_json::Value;

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ChatTool {
    /// The kind: `function` or `custom`; `function` if absent.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The function of the kind `function`.
    pub function: Option<FunctionDefinition>,
    /// The custom tool of the kind `custom`.
    pub custom: Option<CustomTool>,
    /// The function's name next to `type`, as in the Responses API; some clients send it here.
    pub name: Option<String>,
    /// The function's description next to `name`.
    pub description: Option<String>,
    /// The JSON Schema of the function's arguments next to `name`.
    pub parameters: Option<Value>,
    /// The function's `strict` next to `name`.
    pub strict: Option<bool>,
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FunctionDefinition {
    /// The name by which the model calls the function; must not be empty.
    pub name: String,
    /// The description of the function for the model.
    pub description: Option<String>,
    /// The JSON Schema of the arguments; any object is allowed if absent.
    pub parameters: Option<Value>,
    /// Whether a schema that the grammar cannot enforce exactly is an error; false if absent.
    pub strict: Option<bool>,
}

/// A tool whose input is plain text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct CustomTool {
    /// The name by which the model calls the tool; must not be empty.
    pub name: String,
    /// The description of the tool for the model.
    pub description: Option<String>,
    /// The format of the input; any text if absent.
    pub format: Option<CustomFormat>,
}

/// The format of a custom tool's input.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct CustomFormat {
    /// The grammar of the input; any text if absent.
    pub grammar: Option<CustomGrammar>,
}

/// The grammar of a custom tool's input. The model reads it in the tool's description; nothing enforces it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct CustomGrammar {
    /// The language of the grammar: `lark` or `regex`.
    pub syntax: Option<String>,
    /// The grammar; any text if absent.
    pub definition: Option<String>,
}

/// The tools that the model may call, or must call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be none, auto, required, or an object that names a tool")]
pub enum ChatToolChoice {
    /// A mode: `none`, `auto` or `required`.
    Mode(String),
    /// One tool, several allowed tools, or a mode in an object.
    Object(Box<ChosenTool>),
}

/// A tool choice in the form of an object. Its fields depend on its type.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ChosenTool {
    /// The kind: `function`, `custom`, `allowed_tools` or a mode; one tool if absent.
    ///
    /// Anthropic's `tool` and `any` are accepted for one tool and for `required`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The function's name, for the kind `function`.
    pub function: Option<FunctionName>,
    /// The custom tool's name, for the kind `custom`.
    pub custom: Option<FunctionName>,
    /// The name next to `type`, as in `function_call` and the Responses API.
    pub name: Option<String>,
    /// The tools of the kind `allowed_tools`.
    pub allowed_tools: Option<AllowedTools>,
}

impl ChosenTool {
    /// Returns the tool's name from the field that has it.
    pub(crate) fn into_name(self) -> Option<String> {
        self.function.or(self.custom).map(|named| named.name).or(self.name)
    }
}

/// The subset of the request's tools that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AllowedTools {
    /// The mode for the subset: `none`, `auto` or `required`; `auto` if absent.
    pub mode: Option<String>,
    /// The tools of the subset, each a tool of the request by its name.
    #[serde(default)]
    pub tools: Vec<ChosenTool>,
}

/// The function or the custom tool of a [`ChosenTool`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FunctionName {
    /// The name of a tool of the request.
    pub name: String,
}
