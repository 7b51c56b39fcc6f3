//! The check of complete tool calls against their schemas, with a line in the log.

use lar_base::TaskId;
use lar_compat::ToolSchemas;

/// Returns the paths of the schema keywords that tool calls violate, and logs them.
///
/// A call is the name of a tool and the text of its arguments. `task` is the first task of the request.
pub fn schema_violations<'a>(
    schemas: &ToolSchemas,
    task: TaskId,
    calls: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<String> {
    let violations = schemas.violations(calls);
    if !violations.is_empty() {
        tracing::info!(%task, violations = violations.join(", "), "tool calls violate their schemas");
    }
    violations
}
