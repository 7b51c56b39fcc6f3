//! Checks whole tool calls against their schemas, where the grammar may have been looser (decision 0030). A call that does
//! not fit is answered as the model wrote it; `X-Lar-Ignored` and the log name what it does not keep to.

use lar_base::TaskId;
use lar_engines::driver::Prompt;
use serde_json::Value;

use crate::generate::GenerationRequest;

/// A name in `X-Lar-Ignored` is no longer than this.
const NAME_MAX: usize = 128;

/// The schemas of a request's tools, by name; none where its answer is streamed.
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

    /// What the calls of an answer do not keep to, in characters that a header takes: a call's name and its arguments' text.
    pub(crate) fn violations<'a>(&self, calls: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
        let violation = |(index, (name, arguments)): (usize, (&str, &str))| {
            let (_, schema) = self.tools.iter().find(|(tool, _)| tool == name)?;
            // What was cut or broken is seen by whoever reads it.
            let arguments: Value = serde_json::from_str(arguments).ok()?;
            let path = lar_engines::schema_violation(schema, &arguments)?;
            let plain = |one: char| one.is_ascii_alphanumeric() || "_-.$[]".contains(one);
            let path = path.chars().map(|one| if plain(one) { one } else { '_' });
            let start = format!("tool_calls[{index}].arguments.");
            Some(start.chars().chain(path).take(NAME_MAX).collect::<String>())
        };
        let violations: Vec<String> = calls.into_iter().enumerate().filter_map(violation).collect();
        if !violations.is_empty() {
            tracing::info!(task = %self.task, violations = violations.join(", "), "tool calls do not fit their schemas");
        }
        violations
    }
}
