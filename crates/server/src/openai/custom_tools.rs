//! Custom tools, whose input is a text. The model gets a function with one argument, `input`, instead.

use serde_json::{Value, json};

/// Returns the description and the schema of the function for a custom tool. A grammar goes into the description.
pub(crate) fn as_function(
    description: Option<String>,
    syntax: Option<String>,
    definition: Option<String>,
) -> (Option<String>, Value) {
    let grammar = definition.map(|definition| {
        format!("The input follows this {} grammar:\n{definition}", syntax.unwrap_or_default())
    });
    let described: Vec<String> = description.into_iter().chain(grammar).collect();
    let parameters = json!({
        "type": "object", "properties": { "input": { "type": "string" } },
        "required": ["input"], "additionalProperties": false,
    });
    ((!described.is_empty()).then(|| described.join("\n\n")), parameters)
}

/// Returns the function's arguments for a custom tool's input.
pub(crate) fn arguments(input: &str) -> String {
    json!({ "input": input }).to_string()
}

/// Returns the custom tool's input from the function's arguments. Invalid arguments are returned unchanged.
pub(crate) fn input(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(mut fields)) => match fields.remove("input") {
            Some(Value::String(text)) => text,
            _ => arguments.to_owned(),
        },
        _ => arguments.to_owned(),
    }
}
