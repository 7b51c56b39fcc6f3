//! The tools of a request. Functions, custom tools and tools in namespaces all become functions of the chat.

use std::collections::HashMap;

use lar_base::{Code, Problem};
use lar_inference::Chat;

use super::wire::{NamedTool, Response, ResponseTool, ResponseToolChoice};
use crate::lenient::{self, OutOfRange};
use crate::openai::custom_tools;
use crate::tools::{add_tool, choose_mode, choose_named};

/// The tools of a request by the names that the model sees.
#[derive(Debug, Default)]
pub struct OfferedTools(HashMap<String, OfferedTool>);

/// A tool as the request defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfferedTool {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// Whether its input is a text, not JSON arguments.
    pub(super) custom: bool,
}

impl OfferedTools {
    /// Returns the tools of a stored response, without those that the client does not run.
    #[must_use]
    pub fn of(response: &Response) -> Self {
        // The tools were read in the same way from their request, so they are valid.
        let tools: Vec<ResponseTool> =
            lenient::from_value(&response.tools, OutOfRange::Refused).unwrap_or_default();
        let mut chat = Chat::default();
        Self::add(&mut chat, tools, &mut Vec::new()).unwrap_or_default()
    }

    /// Adds the tools that the client runs to the chat.
    ///
    /// OpenAI's hosted tools are left out and added to `ignored`.
    pub(super) fn add(
        chat: &mut Chat,
        tools: Vec<ResponseTool>,
        ignored: &mut Vec<String>,
    ) -> Result<Self, Problem> {
        let mut offered = Self::default();
        for (index, tool) in tools.into_iter().enumerate() {
            let field = format!("tools[{index}]");
            match tool.kind.as_str() {
                "namespace" => {
                    let namespace =
                        tool.name.ok_or_else(|| Problem::invalid(format!("{field}.name"), "is missing"))?;
                    for (index, tool) in tool.tools.into_iter().enumerate() {
                        offered.offer(chat, &format!("{field}.tools[{index}]"), Some(&namespace), tool)?;
                    }
                }
                "function" | "custom" => offered.offer(chat, &field, None, tool)?,
                kind => {
                    let kind: String = kind.chars().filter(char::is_ascii_graphic).take(40).collect();
                    ignored.push(format!("tools.{kind}"));
                }
            }
        }
        Ok(offered)
    }

    fn offer(
        &mut self,
        chat: &mut Chat,
        field: &str,
        namespace: Option<&str>,
        tool: ResponseTool,
    ) -> Result<(), Problem> {
        let custom = match tool.kind.as_str() {
            "function" => false,
            "custom" => true,
            _ => {
                let reason = "must be `function` or `custom` within a namespace";
                return Err(Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason));
            }
        };
        let name = tool.name.unwrap_or_default();
        let full = full_name(namespace, &name);
        let (description, parameters) = if custom {
            let format = tool.format.unwrap_or_default();
            let (description, parameters) =
                custom_tools::as_function(tool.description, format.syntax, format.definition);
            (description, Some(parameters))
        } else {
            (tool.description, tool.parameters)
        };
        let names = ["name", "parameters"].map(|name| format!("{field}.{name}"));
        add_tool(&mut chat.tools, names, full.clone(), description, parameters, tool.strict)?;
        self.0.insert(full, OfferedTool { name, namespace: namespace.map(ToOwned::to_owned), custom });
        Ok(())
    }

    /// Applies the request's tool choice to the chat.
    pub(super) fn choose(&self, chat: &mut Chat, choice: Option<ResponseToolChoice>) -> Result<(), Problem> {
        let full =
            |tool: &NamedTool| full_name(tool.namespace.as_deref(), tool.name.as_deref().unwrap_or_default());
        match choice {
            None => Ok(()),
            Some(ResponseToolChoice::Mode(mode)) => choose_mode(chat, &mode),
            Some(ResponseToolChoice::Named(tool)) => match tool.kind.as_str() {
                "function" | "custom" => choose_named(chat, full(&tool)),
                "allowed_tools" => {
                    let allowed: Vec<String> = tool.tools.iter().map(full).collect();
                    if let Some(unknown) = allowed.iter().find(|name| !self.0.contains_key(*name)) {
                        let reason = format!("names `{unknown:.128}`, which is not a tool of the request");
                        return Err(Problem::invalid("tool_choice.tools", reason));
                    }
                    chat.tools.retain(|tool| allowed.contains(&tool.name));
                    choose_mode(chat, tool.mode.as_deref().unwrap_or("auto"))
                }
                _ => {
                    let reason = "must be function, custom or allowed_tools";
                    Err(Problem::about(Code::UnsupportedParam, "tool_choice.type", reason))
                }
            },
        }
    }

    /// Returns the tool with the name that the model called. An unknown name is treated as a function.
    pub(super) fn get(&self, name: &str) -> OfferedTool {
        let unknown = || OfferedTool { name: name.to_owned(), namespace: None, custom: false };
        self.0.get(name).cloned().unwrap_or_else(unknown)
    }
}

/// Returns the name of a tool that the model sees.
pub(super) fn full_name(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}__{name}"))
}

#[cfg(test)]
mod tests {
    use lar_base::{TaskId, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::openai::responses::UndecodedResponseRequest;

    #[test]
    fn stored_tools_with_nulls_are_read_as_they_were_in_their_request() {
        let plain = |kind: &str, name: &str| json!({ "type": kind, "name": name, "tools": null, "format": null, "strict": null });
        let query = plain("custom", "query");
        let namespace = json!({ "type": "namespace", "name": "db", "description": null, "tools": [query] });
        let tools = json!([plain("function", "look"), plain("custom", "shell"), namespace]);
        let body = json!({ "input": "Hello.", "tools": tools }).to_string();
        let request = UndecodedResponseRequest::read(body.as_bytes()).unwrap();
        let input = request.decode(Vec::new(), TaskId::new(), Timestamp::from_millis(0)).unwrap();
        let stored = OfferedTools::of(&input.response);
        assert_eq!(stored.0, input.tools.0);
        let (name, namespace) = ("query".to_owned(), Some("db".to_owned()));
        assert_eq!(stored.get("db__query"), OfferedTool { name, namespace, custom: true });
        assert!(stored.get("shell").custom && !stored.get("look").custom);
    }
}
