//! Custom tools, whose input is a text: the model is given a function with one argument, `input`. Chat completions and
//! responses share this.

use serde_json::{Value, json};

/// The description and the schema of the function that stands for a custom tool; a grammar is described in words.
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

/// The arguments that stand for a custom tool's input.
pub(crate) fn arguments(input: &str) -> String {
    json!({ "input": input }).to_string()
}

/// The input of a call, which the model wrote as the one argument.
pub(crate) fn input(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(mut fields)) => match fields.remove("input") {
            Some(Value::String(text)) => text,
            _ => arguments.to_owned(),
        },
        _ => arguments.to_owned(),
    }
}
