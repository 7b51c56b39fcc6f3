//! The tools of a request and its tool choice. The tool calls of an answer are in [`crate::Answer`].

use lar_base::Problem;
use lar_inference::{Chat, Tool, ToolChoice};
use serde_json::Value;

/// The maximum number of tools in a request.
const TOOLS_MAX: usize = 512;
/// The name of the argument of a tool whose schema does not describe an object.
const ONLY_ARGUMENT: &str = "input";

/// Adds a tool to the tools of a request. A later tool replaces an earlier one with the same name.
///
/// `name_field` and `schema_field` are the paths of the fields, for errors. Arguments are always an object: a
/// schema of another type becomes the schema of one argument, `input`.
///
/// # Errors
/// If the name is empty, a strict tool's schema does not describe an object, or there are too many tools.
pub(crate) fn add_tool(
    tools: &mut Vec<Tool>,
    [name_field, schema_field]: [String; 2],
    name: String,
    description: Option<String>,
    schema: Option<Value>,
    strict: Option<bool>,
) -> Result<(), Problem> {
    if name.is_empty() {
        return Err(Problem::invalid(name_field, "must not be empty"));
    }
    let strict = strict == Some(true);
    let schema = match schema {
        Some(schema) if schema.is_object() => schema,
        Some(_) if strict => {
            return Err(Problem::invalid(schema_field, "must be a JSON Schema object"));
        }
        _ => serde_json::json!({}),
    };
    let object = |kind: &Value| {
        kind.is_null()
            || kind == "object"
            || kind.as_array().is_some_and(|kinds| kinds.contains(&"object".into()))
    };
    let schema = match schema.get("type") {
        Some(kind) if !object(kind) && strict => {
            let reason = "must have the type `object`, because the arguments of a tool are an object";
            return Err(Problem::invalid(schema_field, reason));
        }
        Some(kind) if !object(kind) => serde_json::json!({
            "type": "object", "properties": { ONLY_ARGUMENT: schema }, "required": [ONLY_ARGUMENT],
        }),
        _ => schema,
    };
    let tool = Tool { name, description, parameters: schema.to_string(), strict };
    if let Some(earlier) = tools.iter_mut().find(|other| other.name == tool.name) {
        *earlier = tool;
        return Ok(());
    }
    if tools.len() == TOOLS_MAX {
        return Err(Problem::invalid("tools", format!("has too many tools; the limit is {TOOLS_MAX}")));
    }
    tools.push(tool);
    Ok(())
}

/// Applies one of OpenAI's tool choice modes: `auto`, `none` or `required`.
pub(crate) fn choose_mode(chat: &mut Chat, mode: &str) -> Result<(), Problem> {
    match mode {
        "auto" => {}
        "none" => chat.tools.clear(),
        "required" if chat.tools.is_empty() => {
            return Err(Problem::invalid("tool_choice", "is `required`, but the request has no tools"));
        }
        "required" => chat.tool_choice = ToolChoice::Required,
        _ => {
            let reason = "must be none, auto, required, or an object that names a tool";
            return Err(Problem::invalid("tool_choice", reason));
        }
    }
    Ok(())
}

/// Makes the model call one particular tool.
pub(crate) fn choose_named(chat: &mut Chat, name: String) -> Result<(), Problem> {
    if !chat.tools.iter().any(|tool| tool.name == name) {
        return Err(Problem::invalid("tool_choice", "must name a tool of the request"));
    }
    chat.tool_choice = ToolChoice::Named(name);
    chat.parallel_calls = false;
    Ok(())
}
