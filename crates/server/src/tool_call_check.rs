//! Checks complete tool calls against their schemas, because a grammar may be looser than its schema (decision 0030).
//!
//! A call that violates its schema is returned as the model wrote it. `X-Lar-Ignored` and the log name the
//! violated keywords. Streamed calls are not checked, because their response head is already sent.

use lar_base::TaskId;
use lar_inference::Prompt;
use serde_json::Value;

use crate::generate::GenerationRequest;

/// The maximum length of a name in `X-Lar-Ignored`, in characters.
const NAME_MAX: usize = 128;

/// The schemas of a request's tools by name; empty if the response is streamed.
#[derive(Debug)]
pub(crate) struct ToolSchemas {
    task: TaskId,
    tools: Vec<(String, Value)>,
}

impl ToolSchemas {
    pub(crate) fn of(request: &GenerationRequest) -> Self {
        let tools = match &request.prompt {
            Prompt::Chat(chat) if !request.stream => chat.tools.as_slice(),
            _ => &[],
        };
        let schema = |text: &str| serde_json::from_str(text).unwrap_or_default();
        let tools = tools.iter().map(|tool| (tool.name.clone(), schema(&tool.parameters))).collect();
        Self { task: request.id, tools }
    }

    /// Returns the paths of the keywords that the calls violate, in characters that a header allows.
    ///
    /// A call is the name of a tool and the text of its arguments. Violations are logged.
    pub(crate) fn violations<'a>(&self, calls: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
        let violation = |(index, (name, arguments)): (usize, (&str, &str))| {
            let (_, schema) = self.tools.iter().find(|(tool, _)| tool == name)?;
            // Incomplete or invalid JSON is not reported: the client sees it when it parses the arguments.
            let arguments: Value = serde_json::from_str(arguments).ok()?;
            let path = lar_chat_format::schema_violation(schema, &arguments)?;
            let plain = |one: char| one.is_ascii_alphanumeric() || "_-.$[]".contains(one);
            let path = path.chars().map(|one| if plain(one) { one } else { '_' });
            let start = format!("tool_calls[{index}].arguments.");
            Some(start.chars().chain(path).take(NAME_MAX).collect::<String>())
        };
        let violations: Vec<String> = calls.into_iter().enumerate().filter_map(violation).collect();
        if !violations.is_empty() {
            let names = violations.join(", ");
            tracing::info!(task = %self.task, violations = names, "tool calls violate their schemas");
        }
        violations
    }
}
