//! Checks complete tool calls against their schemas, because a grammar may be looser than its schema (decision 0030).
//!
//! A call that violates its schema is returned as the model wrote it; only the violated keywords are reported.
//! Streamed calls are not checked, because their response head is already sent.

use lar_inference::Prompt;
use serde_json::Value;

use crate::Request;
use crate::fields::ignored_name;

/// The schemas of a request's tools by name; empty if the response is streamed.
#[derive(Debug)]
pub struct ToolSchemas(Vec<(String, Value)>);

impl ToolSchemas {
    /// Reads the schemas of a request's tools.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let tools = match &request.prompt {
            Prompt::Chat(chat) if !request.stream => chat.tools.as_slice(),
            _ => &[],
        };
        let schema = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Self(tools.iter().map(|tool| (tool.name.clone(), schema(&tool.parameters))).collect())
    }

    /// Returns the paths of the keywords that the calls violate, as [`ignored_name`] writes them.
    ///
    /// A call is the name of a tool and the text of its arguments.
    pub fn violations<'a>(&self, calls: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
        let violation = |(index, (name, arguments)): (usize, (&str, &str))| {
            let (_, schema) = self.0.iter().find(|(tool, _)| tool == name)?;
            // Incomplete or invalid JSON is not reported: the client sees it when it parses the arguments.
            let arguments: Value = serde_json::from_str(arguments).ok()?;
            let path = lar_chat_format::schema_violation(schema, &arguments)?;
            Some(ignored_name(&format!("tool_calls[{index}].arguments.{path}")))
        };
        calls.into_iter().enumerate().filter_map(violation).collect()
    }
}
