//! Describes tools to a model without its own tool call format, and builds the grammar for Lar's format.

use serde_json::{Map, Value, json};

use super::names::plain;
use crate::bound_whitespace;
use crate::schema_loosening::close;
use crate::template::{arguments, spaced_json};
use lar_inference::{Chat, ChatMessage, Constraint, Tool, ToolChoice};

/// The most calls in one answer that a grammar constrains.
const CALLS_MAX: usize = 8;

/// Rewrites a chat for a template that does not support tools: the system message describes them, and calls
/// and results become text.
pub fn explain_tools(chat: &Chat) -> Vec<ChatMessage> {
    let mut explained = Vec::with_capacity(chat.messages.len() + 1);
    let mut introduction = String::new();
    if !chat.tools.is_empty() {
        introduction.push_str(
            "You may call these functions to answer the user. Each is described by a JSON object:\n<tools>\n",
        );
        for tool in &chat.tools {
            introduction.push_str(&spaced_json(&tool_json(tool)));
            introduction.push('\n');
        }
        introduction.push_str(
            "</tools>\nTo call a function, answer with its name and arguments as a JSON object between tags:\n\
             <tool_call>\n{\"name\": \"NAME\", \"arguments\": {}}\n</tool_call>\n\
             Call a function only when it helps; otherwise answer in plain words.",
        );
    }
    let mut messages = chat.messages.iter().peekable();
    if !introduction.is_empty() {
        let system = messages.next_if(|message| message.role == "system");
        let system = system.map(|message| format!("{}\n\n", message.content)).unwrap_or_default();
        explained.push(ChatMessage::new("system", system + &introduction));
    }
    for message in messages {
        let mut content = message.content.clone();
        let mut role = message.role.as_str();
        for call in &message.tool_calls {
            if !content.is_empty() {
                content.push('\n');
            }
            let call = json!({ "name": call.name, "arguments": arguments(&call.arguments) });
            content.push_str(&format!("<tool_call>\n{}\n</tool_call>", spaced_json(&call)));
        }
        if role == "tool" {
            role = "user";
            content = format!("<tool_response>\n{content}\n</tool_response>");
        }
        explained.push(ChatMessage::new(role, content));
    }
    explained
}

/// Returns the definition of a tool in the form that templates and models expect.
pub fn tool_json(tool: &Tool) -> Value {
    let parameters: Value = serde_json::from_str(&tool.parameters).unwrap_or_else(|_| json!({}));
    let mut function = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    function["parameters"] = parameters;
    json!({ "type": "function", "function": function })
}

/// Returns the tools that the chat's tool choice allows.
fn callable_tools(chat: &Chat) -> Vec<&Tool> {
    match &chat.tool_choice {
        ToolChoice::Named(name) => chat.tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Auto | ToolChoice::Required => chat.tools.iter().collect(),
    }
}

/// Returns the JSON schema of one call, for engines without other grammars. If the model may choose, the
/// format of the answer is the alternative. A reference inside a tool's schema breaks when it is nested, so
/// such arguments become any object.
pub(super) fn call_schema(chat: &Chat) -> Constraint {
    Constraint::JsonSchema(call_or_format_schema(chat, "arguments").to_string())
}

fn call_or_format_schema(chat: &Chat, arguments_name: &str) -> Value {
    let call = |tool: &Tool| {
        let arguments = if tool.parameters.contains("\"$ref\"") {
            json!({ "type": "object" })
        } else {
            arguments_schema(tool)
        };
        json!({
            "type": "object",
            "properties": { "name": { "const": plain(&tool.name) }, arguments_name: arguments },
            "required": ["name", arguments_name],
            "additionalProperties": false,
        })
    };
    let mut choices: Vec<Value> = callable_tools(chat).into_iter().map(call).collect();
    let mut definitions = Map::new();
    if let (ToolChoice::Auto, Some(format)) = (&chat.tool_choice, &chat.format) {
        let mut format = format_schema(&format.constraint);
        // References are resolved from the root.
        for name in ["$defs", "definitions"] {
            definitions.extend(format.as_object_mut().and_then(|format| format.remove_entry(name)));
        }
        choices.push(format);
    }
    definitions.insert("anyOf".into(), choices.into());
    Value::Object(definitions)
}

/// Returns the JSON schema of an answer's format.
fn format_schema(format: &Constraint) -> Value {
    match format {
        Constraint::JsonSchema(schema) => serde_json::from_str(schema).unwrap_or_else(|_| json!({})),
        _ => json!({ "type": "object" }),
    }
}

/// Builds a grammar of one call, or of text in the answer's format, for a model that writes calls as JSON
/// objects without marks.
pub(super) fn bare_grammar(chat: &Chat, reasoning: Option<(&'static str, &'static str)>) -> Constraint {
    let either = bound_whitespace(call_or_format_schema(chat, "parameters"));
    Constraint::Lark(start_rule(reasoning, "answer") + &format!("answer: %json {either}\n"))
}

/// Builds the start rule of a whole answer; `reasoning` must end first.
fn start_rule(reasoning: Option<(&'static str, &'static str)>, answer: &str) -> String {
    match reasoning {
        // Any text up to the closing mark.
        Some((_, end)) => {
            format!(
                "start: thought /\\n{{0,2}}/ ({answer})\nthought[suffix={}]: /(?s:.*)/\n",
                quote_json(end)
            )
        }
        None => format!("start: {answer}\n"),
    }
}

/// Builds the rules of one call, after its opening mark.
fn call_rules(chat: &Chat) -> String {
    let callable = callable_tools(chat);
    let any = (0..callable.len()).map(|index| format!("tool_{index}")).collect::<Vec<_>>().join(" | ");
    let mut lark = format!("call: \"\\n\" ({any}) \"\\n</tool_call>\"\n");
    for (index, tool) in callable.iter().enumerate() {
        let begin = format!("{{\"name\": {}, \"arguments\": ", quote_json(&plain(&tool.name)));
        lark.push_str(&format!("tool_{index}: {} arguments_{index} \"}}\"\n", quote_json(&begin)));
        lark.push_str(&format!("arguments_{index}: %json {}\n", bound_whitespace(arguments_schema(tool))));
    }
    lark
}

/// Builds the grammar of an answer: calls of the tools with arguments that match their schemas. If the model
/// may choose, text that does not look like a call, or that matches the answer's format, is also allowed.
/// `reasoning` must end first.
pub(super) fn grammar(chat: &Chat, reasoning: Option<(&'static str, &'static str)>) -> Constraint {
    let more = format!(" (\"\\n<tool_call>\" call){{0,{}}}", CALLS_MAX - 1);
    let several = format!("call{}", if chat.parallel_calls { more.as_str() } else { "" });
    let mut lark = String::new();
    let answer = match (&chat.tool_choice, &chat.format) {
        (ToolChoice::Auto, Some(format)) => {
            lark.push_str(&format!(
                "format: %json {}\n",
                bound_whitespace(format_schema(&format.constraint))
            ));
            format!("format | \"<tool_call>\" {several}")
        }
        (ToolChoice::Auto, None) => {
            lark.push_str("TEXT: /(?s:.+)/ & ~/(?s:.*)<tool_call>(?s:.*)/\n");
            lark.push_str("lead[suffix=\"<tool_call>\"]: /(?s:.*)/\n");
            format!("TEXT | lead {several}")
        }
        (ToolChoice::Required | ToolChoice::Named(_), _) => format!("\"<tool_call>\" {several}"),
    };
    Constraint::Lark(start_rule(reasoning, &answer) + &lark + &call_rules(chat))
}

/// Quotes a text as in Lark and JSON.
pub(super) fn quote_json(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns the schema of a tool's arguments, which must be an object. An object that lists its properties
/// accepts no others unless the schema allows them, as in llama.cpp's own grammars: small models invent
/// further arguments.
pub fn arguments_schema(tool: &Tool) -> Value {
    let mut schema: Value = serde_json::from_str(&tool.parameters).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut schema {
        let says = ["type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"];
        if !says.iter().any(|word| fields.contains_key(*word)) {
            fields.insert("type".into(), json!("object"));
        }
    }
    close(&mut schema);
    schema
}
