//! Tool calls with arguments in tags: each argument is passed on as JSON when its value is complete.

use serde_json::Value;

use super::{Call, CallStage, NAME_BYTES_MAX, ParserState, TagStep, ToolCallParser};
use crate::tool_call_format::CallBody;

impl ToolCallParser {
    pub(super) fn scan_tags(&mut self, mut call: Call, character: char) -> ParserState {
        let (
            CallStage::Tags { buffer, step, key, count },
            CallBody::Tags { name: name_tag, key: key_tag, value: value_tag },
        ) = (&mut call.stage, self.format.body)
        else {
            return self.reject_call(&call);
        };
        buffer.push(character);
        match step {
            TagStep::Name => {
                let alone = name_tag.0.is_empty().then(|| buffer.strip_suffix(self.format.end)).flatten();
                if let Some(content) = alone {
                    let content = content.trim().to_owned();
                    self.emit_call_start(&content);
                    self.emit_arguments("{}");
                    return self.finish_call();
                }
                let Some(content) = buffer.strip_suffix(name_tag.1) else {
                    if buffer.len() > NAME_BYTES_MAX {
                        return self.reject_call(&call);
                    }
                    return ParserState::Call(call);
                };
                let content = content.trim_start();
                let Some(content) = content.strip_prefix(name_tag.0) else { return self.reject_call(&call) };
                let content = content.trim().to_owned();
                // The tag of the first argument may end the name.
                let first = name_tag.1 == key_tag.0;
                *buffer = if first { key_tag.0.to_owned() } else { String::new() };
                *step = TagStep::Key;
                call.named = true;
                self.emit_call_start(&content);
            }
            TagStep::Key => {
                if buffer.ends_with(self.format.end) {
                    self.emit_arguments(if *count == 0 { "{}" } else { "}" });
                    return self.finish_call();
                }
                if let Some((_, content)) =
                    buffer.strip_suffix(key_tag.1).and_then(|buffer| buffer.rsplit_once(key_tag.0))
                {
                    *key = content.trim().to_owned();
                    buffer.clear();
                    *step = TagStep::Value;
                }
            }
            TagStep::Value => {
                let Some(content) = buffer.strip_suffix(value_tag.1) else { return ParserState::Call(call) };
                let content = content.split_once(value_tag.0).map_or(content, |(_, value)| value);
                // One line break at each end belongs to the tags.
                let content = content.strip_prefix('\n').unwrap_or(content);
                let content = content.strip_suffix('\n').unwrap_or(content);
                let value = self.value(key, content);
                let name = Value::from(key.as_str());
                let text = format!("{}{name}: {value}", if *count == 0 { "{" } else { ", " });
                *count += 1;
                buffer.clear();
                *step = TagStep::Key;
                self.emit_arguments(&text);
            }
        }
        ParserState::Call(call)
    }

    /// Converts an argument's text to the type in the tool's schema.
    fn value(&self, key: &str, text: &str) -> Value {
        let tool = self.tools.iter().find(|tool| tool.name == self.current_tool);
        let schema: Option<Value> = tool.and_then(|tool| serde_json::from_str(&tool.parameters).ok());
        match schema {
            Some(schema) if schema["properties"][key]["type"] == "string" => Value::from(text),
            _ => serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::from(text)),
        }
    }
}
