//! Tools: how a model without a format of its own is told of them, and the grammar that holds it to one.

use serde_json::{Value, json};

use crate::driver::{Chat, ChatMessage, Constraint, Tool, ToolChoice};
use crate::template::spaced_json;
use crate::worker::bounded_blanks;

/// Calls of one answer at most, where a grammar holds it.
const CALLS_MAX: usize = 8;

/// A chat as a template that knows no tools can render it: they are told of in the system message, calls and
/// their results in the text.
pub(crate) fn explain(chat: &Chat) -> Vec<ChatMessage> {
    let mut explained = Vec::with_capacity(chat.messages.len() + 1);
    let mut introduction = String::new();
    if !chat.tools.is_empty() {
        introduction.push_str(
            "You may call these functions to answer the user. Each is described by a JSON object:\n<tools>\n",
        );
        for tool in &chat.tools {
            introduction.push_str(&spaced_json(&function(tool)));
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
        let said = messages.next_if(|message| message.role == "system");
        let said = said.map(|message| format!("{}\n\n", message.content)).unwrap_or_default();
        explained.push(ChatMessage::new("system", said + &introduction));
    }
    for message in messages {
        let mut content = message.content.clone();
        let mut role = message.role.as_str();
        for call in &message.tool_calls {
            if !content.is_empty() {
                content.push('\n');
            }
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            let call = json!({ "name": call.name, "arguments": arguments });
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

/// A tool as templates and models expect it.
pub(crate) fn function(tool: &Tool) -> Value {
    let parameters: Value = serde_json::from_str(&tool.parameters).unwrap_or_else(|_| json!({}));
    let mut function = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    function["parameters"] = parameters;
    json!({ "type": "function", "function": function })
}

/// The tools of a chat that may be called.
fn wanted(chat: &Chat) -> Vec<&Tool> {
    match &chat.tool_choice {
        ToolChoice::Named(name) => chat.tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Auto | ToolChoice::Required => chat.tools.iter().collect(),
    }
}

/// One call as a JSON schema, for engines that know no other grammars. What refers to other places of a tool's schema
/// cannot stand within another, so such arguments are any object.
pub(super) fn schema(chat: &Chat) -> Constraint {
    let call = |tool: &Tool| {
        let arguments = if tool.parameters.contains("\"$ref\"") {
            json!({ "type": "object" })
        } else {
            arguments_schema(tool)
        };
        json!({
            "type": "object",
            "properties": { "name": { "const": tool.name }, "arguments": arguments },
            "required": ["name", "arguments"],
            "additionalProperties": false,
        })
    };
    let calls: Vec<Value> = wanted(chat).into_iter().map(call).collect();
    Constraint::JsonSchema(json!({ "anyOf": calls }).to_string())
}

/// What an answer must look like: calls of the tools with arguments that their schemas accept, or, where the
/// model may choose, text that does not look like a call. `thought` is what must end first.
pub(super) fn grammar(chat: &Chat, thought: Option<(&'static str, &'static str)>) -> Constraint {
    let wanted = wanted(chat);
    let more = format!(" (\"\\n<tool_call>\" call){{0,{}}}", CALLS_MAX - 1);
    let calls = format!("call{}", if chat.parallel_calls { more.as_str() } else { "" });
    let mut lark = String::new();
    let answer = match chat.tool_choice {
        ToolChoice::Auto => {
            lark.push_str("TEXT: /(?s:.+)/ & ~/(?s:.*)<tool_call>(?s:.*)/\n");
            lark.push_str("lead[suffix=\"<tool_call>\"]: /(?s:.*)/\n");
            format!("TEXT | lead {calls}")
        }
        ToolChoice::Required | ToolChoice::Named(_) => format!("\"<tool_call>\" {calls}"),
    };
    let start = match thought {
        Some((_, end)) => {
            // Whatever comes until the mark that ends it.
            lark.push_str(&format!("thought[suffix={}]: /(?s:.*)/\n", quoted(end)));
            format!("start: thought /\\n{{0,2}}/ ({answer})\n")
        }
        None => format!("start: {answer}\n"),
    };
    let any = (0..wanted.len()).map(|index| format!("tool_{index}")).collect::<Vec<_>>().join(" | ");
    lark.push_str(&format!("call: \"\\n\" ({any}) \"\\n</tool_call>\"\n"));
    for (index, tool) in wanted.iter().enumerate() {
        let begin = format!("{{\"name\": {}, \"arguments\": ", quoted(&tool.name));
        lark.push_str(&format!("tool_{index}: {} arguments_{index} \"}}\"\n", quoted(&begin)));
        lark.push_str(&format!("arguments_{index}: %json {}\n", bounded_blanks(arguments_schema(tool))));
    }
    Constraint::Lark(start + &lark)
}

/// A text as Lark and JSON quote it.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The schema of a tool's arguments, which are an object. An argument that no tool lists is not for it, unless it says that others
/// may come: as llama.cpp's own grammars have it, since small models go on with ones that they make up.
pub(super) fn arguments_schema(tool: &Tool) -> Value {
    let mut schema: Value = serde_json::from_str(&tool.parameters).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut schema {
        let says = ["type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"];
        if !says.iter().any(|word| fields.contains_key(*word)) {
            fields.insert("type".into(), json!("object"));
        }
        let open = [
            "additionalProperties",
            "patternProperties",
            "unevaluatedProperties",
            "allOf",
            "anyOf",
            "oneOf",
            "$ref",
        ];
        if fields.contains_key("properties") && !open.iter().any(|word| fields.contains_key(*word)) {
            fields.insert("additionalProperties".into(), json!(false));
        }
    }
    schema
}
