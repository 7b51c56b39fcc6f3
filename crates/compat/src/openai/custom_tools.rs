//! Custom tools, whose input is a text. The model gets a function with one argument, `input`, instead.

use serde_json::{Value, json};

/// The most characters at the end of cut arguments that are no complete character of the input.
const CUT_CHARS_MAX: usize = 13;

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

/// Returns the custom tool's input from the function's arguments.
///
/// Arguments that were cut off give the input so far. Other invalid arguments are returned unchanged.
pub(crate) fn input(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(mut fields)) => match fields.remove("input") {
            Some(Value::String(text)) => text,
            _ => arguments.to_owned(),
        },
        Ok(_) => arguments.to_owned(),
        Err(_) => cut_input(arguments).unwrap_or_else(|| arguments.to_owned()),
    }
}

/// Returns the start of the input that cut arguments have, or `None` if they have another form.
fn cut_input(arguments: &str) -> Option<String> {
    let text = arguments.trim_start().strip_prefix('{')?.trim_start().strip_prefix("\"input\"")?;
    let text = text.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    // The end may be within an escape, which has at most 12 characters: `\ud83d\ude00`.
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]).rev().take(CUT_CHARS_MAX);
    ends.map(|end| &text[..end]).find_map(|start| serde_json::from_str(&format!("\"{start}\"")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_of_cut_arguments_is_the_text_so_far() {
        for (arguments, expected) in [
            (r#"{"input":"ls -l"}"#, "ls -l"),
            (r#"{"input":"ls"#, "ls"),
            (r#"{ "input" : "a\n\"b\""#, "a\n\"b\""),
            (r#"{"input":"a\"#, "a"),
            (r#"{"input":"a\u00e"#, "a"),
            (r#"{"input":"a\ud83d\ude0"#, "a"),
            (r#"{"input":""#, ""),
            (r#"{"inp"#, r#"{"inp"#),
            (r#"{"other":"x"}"#, r#"{"other":"x"}"#),
            ("", ""),
        ] {
            assert_eq!(input(arguments), expected, "{arguments}");
        }
    }
}
