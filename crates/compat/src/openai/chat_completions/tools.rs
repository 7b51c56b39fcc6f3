//! Tools of chat completions: functions, custom tools, and the `functions` of older clients.

use std::collections::BTreeSet;

use lar_base::{Code, Problem};
use lar_inference::Chat;
use serde_json::Value;

use crate::call_id::earlier_call_id;
use crate::message_builder;
use crate::openai::custom_tools;
use crate::openai::wire::{
    CalledCustom, ChatCompletionMessage, ChatTool, ChatToolChoice, ChosenTool, FunctionDefinition,
    MessageFunction, MessageToolCall, ToolCall,
};
use crate::tools::{add_tool, choose_mode, choose_named};

/// The form of the tool calls in a response, which follows the form of the request's tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CallShape {
    /// The names of the custom tools, whose input is a text.
    custom: BTreeSet<String>,
    /// Whether the request has `functions`. The response then has one `function_call`.
    pub(super) legacy: bool,
}

impl CallShape {
    pub(super) fn is_custom(&self, name: &str) -> bool {
        self.custom.contains(name)
    }

    /// Converts a tool call to the form of the response.
    pub(super) fn call(&self, call: lar_inference::ToolCall) -> MessageToolCall {
        let lar_inference::ToolCall { id, name, arguments } = call;
        if self.is_custom(&name) {
            let custom = Some(CalledCustom { name, input: custom_tools::input(&arguments) });
            return MessageToolCall { id, kind: "custom", function: None, custom };
        }
        MessageToolCall {
            id,
            kind: "function",
            function: Some(MessageFunction { name, arguments }),
            custom: None,
        }
    }

    /// Returns the finish reason in the form of the response.
    pub(super) fn finish_reason(&self, reason: &'static str) -> &'static str {
        if self.legacy && reason == "tool_calls" { "function_call" } else { reason }
    }
}

/// Adds a request's tools, or its functions if it has no tools, to the chat and applies the tool choice.
pub(super) fn offer(
    chat: &mut Chat,
    tools: Vec<ChatTool>,
    choice: Option<ChatToolChoice>,
    functions: Vec<FunctionDefinition>,
    function_call: Option<ChatToolChoice>,
) -> Result<CallShape, Problem> {
    let mut shape = CallShape::default();
    if tools.is_empty() && !functions.is_empty() {
        shape.legacy = true;
        for (index, function) in functions.into_iter().enumerate() {
            offer_function(chat, &format!("functions[{index}]"), function)?;
        }
        choose(chat, "function_call", function_call)?;
        chat.parallel_calls = false;
        return Ok(shape);
    }
    for (index, tool) in tools.into_iter().enumerate() {
        let field = format!("tools[{index}]");
        let ChatTool { kind, function, custom, name, description, parameters, strict } = tool;
        match (kind.as_deref().unwrap_or("function"), function, custom, name) {
            ("function", Some(function), ..) => {
                shape.custom.remove(&function.name);
                offer_function(chat, &format!("{field}.function"), function)?;
            }
            ("function", None, _, Some(name)) => {
                shape.custom.remove(&name);
                offer_function(chat, &field, FunctionDefinition { name, description, parameters, strict })?;
            }
            ("function", ..) => return Err(Problem::invalid(format!("{field}.function"), "is missing")),
            ("custom", _, Some(custom), _) => {
                let grammar = custom.format.and_then(|format| format.grammar).unwrap_or_default();
                let (description, parameters) =
                    custom_tools::as_function(custom.description, grammar.syntax, grammar.definition);
                let names = ["name", "format"].map(|name| format!("{field}.custom.{name}"));
                let schema = Some(parameters);
                add_tool(&mut chat.tools, names, custom.name.clone(), description, schema, None)?;
                shape.custom.insert(custom.name);
            }
            ("custom", ..) => return Err(Problem::invalid(format!("{field}.custom"), "is missing")),
            _ => {
                let reason = "must be `function` or `custom`";
                return Err(Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason));
            }
        }
    }
    choose(chat, "tool_choice", choice)?;
    Ok(shape)
}

fn offer_function(chat: &mut Chat, field: &str, function: FunctionDefinition) -> Result<(), Problem> {
    let FunctionDefinition { name, description, parameters, strict } = function;
    let names = ["name", "parameters"].map(|name| format!("{field}.{name}"));
    add_tool(&mut chat.tools, names, name, description, parameters, strict)
}

fn choose(chat: &mut Chat, field: &'static str, choice: Option<ChatToolChoice>) -> Result<(), Problem> {
    let tool = match choice {
        None => return Ok(()),
        Some(ChatToolChoice::Mode(mode)) => return choose_mode(chat, &mode),
        Some(ChatToolChoice::Object(tool)) => *tool,
    };
    match tool.kind.as_deref() {
        // Anthropic's clients and some of OpenAI's write modes as objects.
        Some(mode @ ("auto" | "none" | "required")) => choose_mode(chat, mode),
        Some("any") => choose_mode(chat, "required"),
        Some("allowed_tools") => {
            let allowed = tool.allowed_tools.unwrap_or_default();
            let names: Vec<String> = allowed.tools.into_iter().filter_map(ChosenTool::into_name).collect();
            if let Some(unknown) = names.iter().find(|name| chat.tools.iter().all(|tool| tool.name != **name))
            {
                let reason = format!("names `{unknown:.128}`, which is not a tool of the request");
                return Err(Problem::invalid("tool_choice.allowed_tools.tools", reason));
            }
            chat.tools.retain(|tool| names.contains(&tool.name));
            choose_mode(chat, allowed.mode.as_deref().unwrap_or("auto"))
        }
        None | Some("function" | "custom" | "tool") => match tool.into_name() {
            Some(name) => choose_named(chat, name),
            None => Err(Problem::invalid(field, "must name a tool")),
        },
        Some(_) => {
            let reason = "must be auto, none, required, function, custom or allowed_tools";
            Err(Problem::invalid(format!("{field}.type"), reason))
        }
    }
}

/// Takes the tool calls and the legacy `function_call` of the message with this index.
pub(super) fn calls(
    index: usize,
    message: &mut ChatCompletionMessage,
) -> Result<Vec<lar_inference::ToolCall>, Problem> {
    let mut calls = Vec::new();
    for (call_index, call) in message.tool_calls.take().unwrap_or_default().into_iter().enumerate() {
        let ToolCall { id, function, custom } = call;
        let (name, arguments) = match (function, custom) {
            (Some(function), _) => (function.name, text_of(function.arguments)),
            (None, Some(custom)) => (custom.name, custom_tools::arguments(&custom.input)),
            (None, None) => {
                let field = format!("messages[{index}].tool_calls[{call_index}].function");
                return Err(Problem::invalid(field, "is missing"));
            }
        };
        calls.push(lar_inference::ToolCall { id, name, arguments });
    }
    if let Some(function) = message.function_call.take() {
        // A legacy call has no id, and a message has at most one.
        let (id, arguments) = (earlier_call_id(index), text_of(function.arguments));
        calls.push(lar_inference::ToolCall { id, name: function.name, arguments });
    }
    Ok(calls)
}

/// Returns arguments as text. They may be any text, even invalid JSON; other JSON values are serialized.
fn text_of(arguments: Value) -> String {
    message_builder::arguments(match arguments {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    })
}
