//! A chat: its messages, the tools that the model may call, and the model's chat template.

use serde::{Deserialize, Serialize};

use crate::Constraint;

/// One message of a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text; empty if the message has only tool calls.
    pub content: String,
    /// The assistant's reasoning before its answer; empty in other roles.
    pub reasoning: String,
    /// The assistant's tool calls; empty in other roles.
    pub tool_calls: Vec<ToolCall>,
    /// The [`ToolCall::id`] that a tool result answers; `None` in other roles.
    pub tool_call_id: Option<String>,
    /// The author: the tool that answers, or one of several users. Some templates show it.
    pub name: Option<String>,
}

impl ChatMessage {
    /// Makes a message that has only text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }
}

/// A tool call of an assistant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id that the tool's result refers to.
    pub id: String,
    /// The [`Tool::name`] of the called tool.
    pub name: String,
    /// The arguments as JSON text, usually of an object.
    pub arguments: String,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The name by which the model calls it.
    pub name: String,
    /// A description for the model, if the client gave one.
    pub description: Option<String>,
    /// The JSON Schema of its arguments, as JSON text.
    pub parameters: String,
    /// Whether a schema that no grammar can express is an error rather than loosened.
    pub strict: bool,
}

/// A variable that a request passes to the chat template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateVariable {
    /// The name by which the chat template reads the variable.
    pub name: String,
    /// The value as JSON text, such as `false` or `"high"`.
    pub value: String,
    /// The request field that set it, such as `chat_template_kwargs.enable_thinking`.
    pub field: String,
}

/// The format of an answer that is not a tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerFormat {
    /// The format: [`Constraint::JsonObject`] or [`Constraint::JsonSchema`].
    pub constraint: Constraint,
    /// Whether a schema that no grammar can express is an error rather than loosened.
    pub strict: bool,
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// The model decides whether it calls a tool.
    #[default]
    Auto,
    /// The model must call at least one tool.
    Required,
    /// The model must call this tool.
    Named(String),
}

/// A conversation, and the tools and format of its next answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// The messages, oldest first.
    pub messages: Vec<ChatMessage>,
    /// The tools that the model may call; empty if it may call none.
    pub tools: Vec<Tool>,
    /// Whether the model must call one.
    pub tool_choice: ToolChoice,
    /// Whether one answer may have several tool calls.
    pub parallel_calls: bool,
    /// Assistant prefill: the start of the answer, which the model continues. Usually empty.
    pub assistant_prefill: String,
    /// Whether the prompt ends with the template's generation prompt (the default). If not, the prompt ends
    /// after the last message.
    pub adds_generation_prompt: bool,
    /// Variables for the chat template, from the request; empty for the template's own defaults.
    pub variables: Vec<TemplateVariable>,
    /// The format of an answer that is not a tool call, when there are tools.
    pub format: Option<AnswerFormat>,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_calls: true,
            assistant_prefill: String::new(),
            adds_generation_prompt: true,
            variables: Vec::new(),
            format: None,
        }
    }
}

impl Chat {
    /// Returns the bytes of text in the chat, tools included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let messages = self.messages.iter().map(|message| {
            let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
            let names = [&message.name, &message.tool_call_id].into_iter().flatten().map(String::len);
            message.content.len() + message.reasoning.len() + calls.sum::<usize>() + names.sum::<usize>()
        });
        let tools = self.tools.iter().map(|tool| {
            tool.name.len() + tool.description.as_ref().map_or(0, String::len) + tool.parameters.len()
        });
        let variables = self.variables.iter().map(|variable| variable.name.len() + variable.value.len());
        let texts = messages.sum::<usize>() + tools.sum::<usize>() + variables.sum::<usize>();
        texts + self.assistant_prefill.len()
    }
}

impl From<Vec<ChatMessage>> for Chat {
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self { messages, ..Self::default() }
    }
}

/// A model's chat template. `chat-format` renders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatTemplate {
    /// The Jinja source. It comes from the model file and is not trusted.
    pub source: String,
    /// The text of the model's start token; empty if the model has none.
    pub start: String,
    /// The text of the model's end token; empty if the model has none.
    pub end: String,
}
