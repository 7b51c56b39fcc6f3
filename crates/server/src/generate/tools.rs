//! The tools of a request for text, and how the model is to call them. What an answer calls is in [`super::Answer`].

use lar_base::Problem;
use lar_engines::driver::{Chat, Tool, ToolChoice};
use serde_json::Value;

/// Tools of a request at most.
const TOOLS_MAX: usize = 512;
/// The argument of a tool whose schema is of no object.
const ONLY_ARGUMENT: &str = "input";

/// Adds a tool to those of a request; its fields are called `name` and `schema` there. Of tools with one name the last
/// counts. Arguments are an object: a schema of something else becomes that of one argument, `input`, unless the tool is
/// strict.
///
/// # Errors
/// Which field is wrong.
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
            return Err(Problem::invalid(schema_field, "must be a JSON Schema, which is an object"));
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
            return Err(Problem::invalid(schema_field, "must have the type `object`: arguments are one"));
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
        return Err(Problem::invalid("tools", format!("has more than {TOOLS_MAX} tools")));
    }
    tools.push(tool);
    Ok(())
}

/// Has the model call tools as one of OpenAI's modes says.
pub(crate) fn choose_mode(chat: &mut Chat, mode: &str) -> Result<(), Problem> {
    match mode {
        "auto" => {}
        "none" => chat.tools.clear(),
        "required" if chat.tools.is_empty() => {
            return Err(Problem::invalid("tool_choice", "is required, but there are no tools"));
        }
        "required" => chat.tool_choice = ToolChoice::Required,
        _ => {
            let reason = "must be none, auto, required, or an object that names a tool";
            return Err(Problem::invalid("tool_choice", reason));
        }
    }
    Ok(())
}

/// Has the model call one tool.
pub(crate) fn choose_named(chat: &mut Chat, name: String) -> Result<(), Problem> {
    if !chat.tools.iter().any(|tool| tool.name == name) {
        return Err(Problem::invalid("tool_choice", "names a tool that is not among `tools`"));
    }
    chat.tool_choice = ToolChoice::Named(name);
    chat.parallel_calls = false;
    Ok(())
}
