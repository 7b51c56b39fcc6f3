//! The definition of a tool, as the list of tools has it.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// Defines a tool. Its arguments are `properties`, and other arguments are not allowed.
pub(super) fn tool(
    name: &'static str,
    about: &'static str,
    properties: Value,
    required: &[&str],
    annotations: ToolAnnotations,
) -> Tool {
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    let schema: JsonObject = schema.as_object().cloned().unwrap_or_default();
    Tool::new(name, about, Arc::new(schema)).with_annotations(annotations)
}
