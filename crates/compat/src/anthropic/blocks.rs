//! Converts content blocks to text.
//!
//! They are text, documents and search results, and the blocks of Anthropic's server tools in a conversation
//! that was started at Anthropic. Blocks that text cannot represent, such as images, are rejected.

use lar_base::{Code, Problem};
use serde_json::Value;

use super::wire::{AnthropicContent, InputBlock};
use crate::lenient::{self, OutOfRange};

/// The maximum number of characters of a block's type in an error.
const KIND_CHARS_MAX: usize = 64;
/// The fields of Anthropic's tool results with text for a model. Other fields are encrypted or for programs.
const READABLE: [&str; 10] = [
    "title",
    "url",
    "page_age",
    "text",
    "stdout",
    "stderr",
    "return_code",
    "error_code",
    "tool_name",
    "data",
];

/// Returns the text of a block, or `None` for a block that is only a marker.
///
/// # Errors
/// If the block's type is not supported, or a required field is missing.
pub(super) fn text(field: &str, block: InputBlock) -> Result<Option<String>, Problem> {
    let missing = |name: &str| Problem::invalid(format!("{field}.{name}"), "is missing");
    Ok(match block.kind.as_str() {
        "text" => Some(block.text.ok_or_else(|| missing("text"))?),
        "document" => Some(document(field, block)?),
        "search_result" => {
            let texts = plain_text(block.content.as_ref().ok_or_else(|| missing("content"))?);
            let source = block.source.as_ref().and_then(Value::as_str).map(ToOwned::to_owned);
            Some(join_parts([block.title, source, Some(texts)]))
        }
        "tool_reference" => Some(block.tool_name.ok_or_else(|| missing("tool_name"))?),
        // The summary of earlier messages; null if summarizing failed.
        "compaction" => block.content.as_ref().and_then(Value::as_str).map(ToOwned::to_owned),
        // Marks where another model continued the answer.
        "fallback" => None,
        "server_tool_use" | "mcp_tool_use" => {
            let input = block.input.filter(|input| !input.is_null()).unwrap_or_else(|| serde_json::json!({}));
            Some(format!("[{} {input}]", block.name.ok_or_else(|| missing("name"))?))
        }
        // The result of a server tool. `tool_result` is handled with the call that it belongs to.
        kind if kind.ends_with("_tool_result") => {
            Some(block.content.as_ref().map(plain_text).unwrap_or_default())
        }
        kind => return Err(unsupported_block(field, kind)),
    })
}

/// Reads the content of a tool result: a string or an array of blocks.
///
/// # Errors
/// If it is neither.
pub(super) fn content(field: &str, content: Option<Value>) -> Result<AnthropicContent, Problem> {
    match content {
        None | Some(Value::Null) => Ok(AnthropicContent::default()),
        Some(content) => lenient::from_value(&content, OutOfRange::Refused).map_err(|_| {
            Problem::invalid(field, "must be a string or an array of blocks, each with a `type`")
        }),
    }
}

/// Joins the texts of a content's blocks, one per line.
///
/// # Errors
/// As [`text`].
pub(super) fn texts(field: &str, content: AnthropicContent) -> Result<String, Problem> {
    let blocks = match content {
        AnthropicContent::Text(text) => return Ok(text),
        AnthropicContent::Blocks(blocks) => blocks,
    };
    let mut texts = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.into_iter().enumerate() {
        texts.extend(text(&format!("{field}[{index}]"), block)?);
    }
    Ok(texts.join("\n"))
}

fn document(field: &str, block: InputBlock) -> Result<String, Problem> {
    let source = block.source.unwrap_or_default();
    let text = match source["type"].as_str().unwrap_or_default() {
        "text" => source["data"].as_str().map(ToOwned::to_owned),
        "content" => {
            let content = content(&format!("{field}.source.content"), Some(source["content"].clone()))?;
            Some(texts(&format!("{field}.source.content"), content)?)
        }
        kind => {
            let kind: String = kind.chars().take(KIND_CHARS_MAX).collect();
            let reason = format!(
                "is `{kind}`, which is not supported; send the text of the document as `text` or `content`"
            );
            return Err(Problem::about(Code::UnsupportedParam, format!("{field}.source.type"), reason));
        }
    };
    let text = text.ok_or_else(|| Problem::invalid(format!("{field}.source.data"), "must be a string"))?;
    Ok(join_parts([block.title, block.context, Some(text)]))
}

fn join_parts(parts: [Option<String>; 3]) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// Collects the readable strings and numbers of a value, one per line.
fn plain_text(value: &Value) -> String {
    fn gather(value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::String(text) => lines.push(text.clone()),
            Value::Number(number) => lines.push(number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| gather(item, lines)),
            Value::Object(fields) => {
                for name in READABLE {
                    if let Some(value) = fields.get(name) {
                        gather(value, lines);
                    }
                }
                for name in ["content", "source", "tool_references"] {
                    if let Some(value @ (Value::Array(_) | Value::Object(_))) = fields.get(name) {
                        gather(value, lines);
                    } else if let (Some(Value::String(text)), false) =
                        (fields.get(name), fields.contains_key("text"))
                    {
                        lines.push(text.clone());
                    }
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut lines = Vec::new();
    gather(value, &mut lines);
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn unsupported_block(field: &str, kind: &str) -> Problem {
    let kind: String = kind.chars().take(KIND_CHARS_MAX).collect();
    let reason = match kind.as_str() {
        "image" => "is `image`, which is not supported: this model reads text only".to_owned(),
        "tool_use" | "tool_result" | "thinking" | "redacted_thinking" => {
            format!("is `{kind}`, which is not allowed here")
        }
        _ => format!("is `{kind}`, which is not supported"),
    };
    Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(block: Value) -> Result<Option<String>, String> {
        text("at", serde_json::from_value(block).unwrap()).map_err(|problem| problem.detail)
    }

    #[test]
    fn blocks_with_text_are_read_as_text() {
        for (block, expected) in [
            (json!({ "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } }), "a"),
            (
                json!({ "type": "document", "title": "T", "source": { "type": "text", "media_type": "text/plain", "data": "b" } }),
                "T\nb",
            ),
            (
                json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "c" }] } }),
                "c",
            ),
            (
                json!({ "type": "search_result", "source": "https://x", "title": "T", "content": [{ "type": "text", "text": "d" }] }),
                "T\nhttps://x\nd",
            ),
            (json!({ "type": "tool_reference", "tool_name": "get" }), "get"),
            (json!({ "type": "compaction", "content": "so far" }), "so far"),
            (
                json!({ "type": "server_tool_use", "id": "s", "name": "web_search", "input": { "query": "q" } }),
                "[web_search {\"query\":\"q\"}]",
            ),
            (
                json!({ "type": "web_search_tool_result", "tool_use_id": "s", "content": [
                    { "type": "web_search_result", "title": "T", "url": "https://y", "encrypted_content": "zzz" }] }),
                "T\nhttps://y",
            ),
            (
                json!({ "type": "code_execution_tool_result", "tool_use_id": "s", "content": {
                    "type": "code_execution_result", "stdout": "4", "stderr": "", "return_code": 0, "content": [] } }),
                "4\n0",
            ),
            (
                json!({ "type": "web_fetch_tool_result", "tool_use_id": "s", "content": { "type": "web_fetch_result", "url": "https://z",
                    "content": { "type": "document", "title": "T", "source": { "type": "text", "media_type": "text/plain", "data": "page" } } } }),
                "https://z\nT\npage",
            ),
        ] {
            assert_eq!(read(block.clone()), Ok(Some(expected.to_owned())), "{block}");
        }
        assert_eq!(read(json!({ "type": "fallback", "from": {}, "to": {} })), Ok(None));
        assert_eq!(read(json!({ "type": "compaction", "content": null })), Ok(None));
    }

    #[test]
    fn blocks_without_text_are_refused_with_their_field() {
        for (block, expected) in [
            (
                json!({ "type": "image", "source": { "type": "base64", "data": "" } }),
                "`at.type` is `image`, which is not supported: this model reads text only",
            ),
            (
                json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "" } }),
                "`at.source.type` is `base64`, which is not supported; send the text of the document as \
                 `text` or `content`",
            ),
            (
                json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "image" }] } }),
                "`at.source.content[0].type` is `image`, which is not supported: this model reads text only",
            ),
            (
                json!({ "type": "container_upload", "file_id": "f" }),
                "`at.type` is `container_upload`, which is not supported",
            ),
            (json!({ "type": "text" }), "`at.text` is missing"),
        ] {
            assert_eq!(read(block.clone()), Err(expected.to_owned()), "{block}");
        }
    }
}
