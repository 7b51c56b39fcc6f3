//! Calls whose arguments stand between tags: each is passed on as JSON when its value is whole.

use serde_json::Value;

use super::{Call, Calls, NAME_BYTES_MAX, Place, Reading, Step};
use crate::dialect::format::Body;

impl Calls {
    pub(super) fn tags(&mut self, mut call: Call, character: char) -> Place {
        let (
            Reading::Tags { held, step, key, count },
            Body::Tags { name: name_tag, key: key_tag, value: value_tag },
        ) = (&mut call.reading, self.format.body)
        else {
            return self.no_call(&call);
        };
        held.push(character);
        match step {
            Step::Name => {
                let alone = name_tag.0.is_empty().then(|| held.strip_suffix(self.format.end)).flatten();
                if let Some(told) = alone {
                    let told = told.trim().to_owned();
                    self.announce(&told);
                    self.argue("{}");
                    return self.over();
                }
                let Some(told) = held.strip_suffix(name_tag.1) else {
                    if held.len() > NAME_BYTES_MAX {
                        return self.no_call(&call);
                    }
                    return Place::Call(call);
                };
                let told = told.trim_start();
                let Some(told) = told.strip_prefix(name_tag.0) else { return self.no_call(&call) };
                let told = told.trim().to_owned();
                // A tag of the first argument may end the name.
                let first = name_tag.1 == key_tag.0;
                *held = if first { key_tag.0.to_owned() } else { String::new() };
                *step = Step::Key;
                call.named = true;
                self.announce(&told);
            }
            Step::Key => {
                if held.ends_with(self.format.end) {
                    self.argue(if *count == 0 { "{}" } else { "}" });
                    return self.over();
                }
                if let Some((_, told)) =
                    held.strip_suffix(key_tag.1).and_then(|held| held.rsplit_once(key_tag.0))
                {
                    *key = told.trim().to_owned();
                    held.clear();
                    *step = Step::Value;
                }
            }
            Step::Value => {
                let Some(told) = held.strip_suffix(value_tag.1) else { return Place::Call(call) };
                let told = told.split_once(value_tag.0).map_or(told, |(_, value)| value);
                // One line break on either side belongs to the tags.
                let told = told.strip_prefix('\n').unwrap_or(told);
                let told = told.strip_suffix('\n').unwrap_or(told);
                let value = self.value(key, told);
                let name = Value::from(key.as_str());
                let text = format!("{}{name}: {value}", if *count == 0 { "{" } else { ", " });
                *count += 1;
                held.clear();
                *step = Step::Key;
                self.argue(&text);
            }
        }
        Place::Call(call)
    }

    /// An argument that was written as text, by the type that the tool's schema gives it.
    fn value(&self, key: &str, text: &str) -> Value {
        let tool = self.tools.iter().find(|tool| tool.name == self.called);
        let schema: Option<Value> = tool.and_then(|tool| serde_json::from_str(&tool.parameters).ok());
        match schema {
            Some(schema) if schema["properties"][key]["type"] == "string" => Value::from(text),
            _ => serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::from(text)),
        }
    }
}
