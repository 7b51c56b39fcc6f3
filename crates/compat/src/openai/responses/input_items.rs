//! Converts the items of a request, and those of earlier responses, to the messages of a chat.

use lar_base::{Code, Problem};
use lar_inference::{Chat, ToolCall};
use serde_json::Value;

use super::offered_tools::full_name;
use super::wire::{InputItem, InputPart, ResponseContent};
use crate::lenient::{self, OutOfRange};
use crate::message_builder::{self, MessageBuilder};
use crate::openai::custom_tools;

/// The maximum number of items in a request, including those of previous responses.
const ITEMS_MAX: usize = 10_000;

/// Returns the id of the referenced item if this item is a reference.
pub(super) fn reference(item: &Value) -> Option<&str> {
    let absent = |name: &str| item.get(name).is_none_or(Value::is_null);
    let is_reference = match item.get("type").filter(|kind| !kind.is_null()) {
        Some(kind) => kind == "item_reference",
        None => absent("role") && absent("content"),
    };
    item.get("id")?.as_str().filter(|_| is_reference)
}

/// Reads the items of a request. A text is a user message.
pub(super) fn items(input: Value) -> Result<Vec<InputItem>, Problem> {
    match input {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => {
            let (role, content) = (Some("user".into()), Some(ResponseContent::Text(text)));
            Ok(vec![InputItem { role, content, ..InputItem::default() }])
        }
        Value::Array(items) => read_stored_items(&items),
        _ => Err(Problem::invalid("input", "must be a string or an array of items")),
    }
}

/// Reads the items of a stored response in the same way as those of a request.
///
/// An item that a request contained is therefore never invalid later.
///
/// # Errors
/// [`Code::InvalidParams`] if an item has a field of a wrong type. The error calls the items `input`.
pub fn read_stored_items(items: &[Value]) -> Result<Vec<InputItem>, Problem> {
    let read = |(index, item): (usize, &Value)| {
        let item: Result<InputItem, Problem> = lenient::from_value(item, OutOfRange::Refused);
        item.map_err(|problem| match problem.fields.is_empty() {
            true => Problem::invalid(format!("input[{index}]"), "must be an object"),
            false => problem.within(&format!("input[{index}]")),
        })
    };
    items.iter().enumerate().map(read).collect()
}

/// Makes a chat of the instructions, the items of earlier responses and the request's own items.
pub(super) fn chat(
    instructions: Option<String>,
    earlier: Vec<InputItem>,
    input: Vec<InputItem>,
) -> Result<Chat, Problem> {
    if input.is_empty() {
        return Err(Problem::invalid("input", "must have at least one item"));
    }
    if earlier.len() + input.len() > ITEMS_MAX {
        let reason = format!("has too many items; the limit is {ITEMS_MAX}, including previous responses");
        return Err(Problem::invalid("input", reason));
    }
    let mut builder = MessageBuilder::default();
    if let Some(instructions) = instructions {
        builder.add_text("system", instructions);
    }
    for item in earlier {
        // A truncated call has no result.
        if item.status.as_deref() != Some("incomplete") || item.call_id.is_none() {
            add(&mut builder, "previous_response_id", item)?;
        }
    }
    for (index, item) in input.into_iter().enumerate() {
        add(&mut builder, &format!("input[{index}]"), item)?;
    }
    Ok(Chat::from(builder.messages))
}

fn add(builder: &mut MessageBuilder, field: &str, item: InputItem) -> Result<(), Problem> {
    let kind = item.kind.as_deref().unwrap_or("message");
    let missing = |name: &str| Problem::invalid(format!("{field}.{name}"), "is missing");
    match kind {
        "message" => {
            let role = match item.role.as_deref() {
                Some("system" | "developer") => "system",
                Some("user") => "user",
                Some("assistant") => "assistant",
                _ => {
                    let reason = "must be user, assistant, system or developer";
                    return Err(Problem::invalid(format!("{field}.role"), reason));
                }
            };
            let content = item.content.ok_or_else(|| missing("content"))?;
            builder.add_text(role, texts(&format!("{field}.content"), content)?);
        }
        "function_call" | "custom_tool_call" => {
            let id = item.call_id.ok_or_else(|| missing("call_id"))?;
            let name = item.name.ok_or_else(|| missing("name"))?;
            let arguments = if kind == "function_call" {
                message_builder::arguments(item.arguments.unwrap_or_default())
            } else {
                custom_tools::arguments(&item.input.ok_or_else(|| missing("input"))?)
            };
            builder.add_call(ToolCall { id, name: full_name(item.namespace.as_deref(), &name), arguments });
        }
        "function_call_output" | "custom_tool_call_output" => {
            let id = item.call_id.ok_or_else(|| missing("call_id"))?;
            let output = item.output.ok_or_else(|| missing("output"))?;
            builder.add_result(format!("{field}.call_id"), id, texts(&format!("{field}.output"), output)?)?;
        }
        "reasoning" => builder.add_reasoning(reasoning(item.content, item.summary)),
        "item_reference" => {
            return Err(Problem::invalid(format!("{field}.id"), "must be the id of a stored item"));
        }
        kind => {
            let reason = format!("is `{kind:.64}`, which is not supported");
            return Err(Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason));
        }
    }
    Ok(())
}

/// Joins the texts of a content. Parts that are not text are errors.
fn texts(field: &str, content: ResponseContent) -> Result<String, Problem> {
    let parts = match content {
        ResponseContent::Text(text) => return Ok(text),
        ResponseContent::Parts(parts) if parts.is_empty() => {
            return Err(Problem::invalid(field, "must not be empty"));
        }
        ResponseContent::Parts(parts) => parts,
    };
    let texts = parts.into_iter().enumerate().map(|(index, part)| {
        match (part.kind.as_str(), part.text, part.refusal) {
            ("input_text" | "output_text" | "text", Some(text), _) | ("refusal", _, Some(text)) => Ok(text),
            ("input_text" | "output_text" | "text", None, _) => {
                Err(Problem::invalid(format!("{field}[{index}].text"), "is missing"))
            }
            (kind, ..) => {
                let reason = match kind {
                    "input_image" | "input_file" | "input_audio" => {
                        format!("is `{kind}`, which is not supported: this model reads text only")
                    }
                    _ => format!("is `{kind:.64}`, which is not allowed here"),
                };
                Err(Problem::about(Code::UnsupportedParam, format!("{field}[{index}].type"), reason))
            }
        }
    });
    Ok(texts.collect::<Result<Vec<String>, Problem>>()?.join("\n"))
}

/// Returns the text of a reasoning item: its content, or else its summary.
fn reasoning(content: Option<ResponseContent>, summary: Vec<InputPart>) -> String {
    let parts = match content {
        Some(ResponseContent::Text(text)) => return text,
        Some(ResponseContent::Parts(parts)) if !parts.is_empty() => parts,
        _ => summary,
    };
    parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_fields_of_stored_items_are_absent() {
        let part = json!({ "type": "reasoning_text", "text": "Hm.", "refusal": null });
        let items = [
            json!({ "type": null, "role": "user", "content": "Hello.", "summary": null }),
            json!({ "type": "reasoning", "summary": null, "content": [part] }),
        ];
        let [message, reasoning] = read_stored_items(&items).unwrap().try_into().unwrap();
        let content = Some(ResponseContent::Text("Hello.".into()));
        assert_eq!(message, InputItem { role: Some("user".into()), content, ..InputItem::default() });
        let text = Some("Hm.".to_owned());
        let parts = vec![InputPart { kind: "reasoning_text".into(), text, refusal: None }];
        let content = Some(ResponseContent::Parts(parts));
        assert_eq!(reasoning, InputItem { kind: Some("reasoning".into()), content, ..InputItem::default() });
        let problem = read_stored_items(&[json!({ "type": "message", "role": 1 })]).unwrap_err();
        assert_eq!(problem.fields[0].field, "input[0].role");
    }
}
