//! The tools that are listed: few, with flat arguments, and descriptions that say when to use them and when not.
//! `?tools=` names another set; every tool can be called whatever is listed.

mod vestige;

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

const KINDS: [&str; 9] =
    ["fact", "event", "preference", "person", "place", "decision", "procedure", "pattern", "note"];

/// The tools of a set: Lar's own where none is named.
///
/// # Errors
/// Which sets there are.
pub(super) fn list(set: Option<&str>) -> Result<Vec<Tool>, String> {
    match set {
        None | Some("" | "lar") => Ok(own_tools()),
        Some("vestige") => Ok(vestige::all()),
        Some("all") => Ok(own_tools().into_iter().chain(vestige::all()).collect()),
        Some(_) => Err("`tools` must be lar, vestige or all".into()),
    }
}

/// Lar's own.
fn own_tools() -> Vec<Tool> {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let id = || text("The memory's id, mem_…");
    let tags = || json!({ "type": "array", "items": { "type": "string" } });
    vec![
        tool(
            "memory_search",
            "Find what is remembered, by words and meaning. Use it before answering anything that may depend on the \
             person, their projects, decisions or earlier talks. Not for general knowledge. No result means that nothing is known.",
            json!({
                "query": text("What to look for, in plain words"),
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "description": "Default 8" },
                "kinds": { "type": "array", "items": { "type": "string", "enum": KINDS } },
                "tags": tags(),
                "project": text("Only of this project"),
                "as_of": text("As things were at this day or time (RFC 3339)"),
                "detail": { "type": "string", "enum": ["brief", "summary", "full"], "description": "Default summary" },
                "token_budget": { "type": "integer", "minimum": 1 },
            }),
            &["query"],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
        tool(
            "memory_save",
            "Remember one self-contained sentence: what the person asks you to remember, or a lasting fact, preference, \
             decision or correction of theirs. Not for secrets, passing remarks, your own output or what is saved already.",
            json!({
                "content": text("Understandable on its own, with names instead of pronouns"),
                "kind": { "type": "string", "enum": KINDS, "description": "Default fact" },
                "tags": tags(),
                "source": text("Where it is from"),
                "project": text("The project it belongs to"),
                "occurred_at": text("When it happened, if not now (day or RFC 3339)"),
            }),
            &["content"],
            ToolAnnotations::new().read_only(false).destructive(false).idempotent(true).open_world(false),
        ),
        tool(
            "memory_get",
            "One memory in full, by its id.",
            json!({ "id": id() }),
            &["id"],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
        tool(
            "memory_feedback",
            "Say what became of a memory that you used: useful (it helped), wrong, or outdated (no longer true from now on).",
            json!({
                "id": id(),
                "feedback": { "type": "string", "enum": ["useful", "wrong", "outdated"] },
                "reason": text("Why, in a few words"),
            }),
            &["id", "feedback"],
            ToolAnnotations::new().read_only(false).destructive(false).open_world(false),
        ),
        tool(
            "memory_forget",
            "Forget a memory because the person asks for it. They can bring it back for 30 days. To correct one, save the new \
             fact and call memory_feedback with outdated instead.",
            json!({ "id": id() }),
            &["id"],
            ToolAnnotations::new().read_only(false).destructive(true).idempotent(true).open_world(false),
        ),
        tool(
            "memory_brief",
            "What matters most about the person and a project, to read once at the start of a session.",
            json!({
                "project": text("The project at hand"),
                "token_budget": { "type": "integer", "minimum": 1, "description": "Default 600" },
            }),
            &[],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
    ]
}

fn tool(
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,500 tokens at four bytes each.
    #[test]
    fn the_tool_list_is_short() {
        let listed = serde_json::to_string(&own_tools()).unwrap();
        assert!(listed.len() < 6000, "{}", listed.len());
    }

    /// Some clients drop a tool with a value that has no type.
    #[test]
    fn every_argument_has_a_type() {
        fn check(schema: &Value, at: &str) {
            assert!(schema["type"].is_string(), "{at}: {schema}");
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                check(property, &format!("{at}.{name}"));
            }
            if schema["type"] == "array" {
                check(&schema["items"], &format!("{at}[]"));
            }
        }
        for tool in list(Some("all")).unwrap() {
            check(&Value::Object((*tool.input_schema).clone()), &tool.name);
        }
    }

    #[test]
    fn sets_have_tools_of_different_names() {
        let names = |set| -> Vec<String> {
            list(Some(set)).unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
        };
        let mut all = names("all");
        assert_eq!(all.len(), names("lar").len() + names("vestige").len());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), names("lar").len() + names("vestige").len());
        assert!(list(Some("other")).is_err());
        for tool in list(Some("all")).unwrap() {
            let about = tool.description.unwrap_or_default();
            assert!((20..400).contains(&about.len()), "{}: {}", tool.name, about.len());
        }
    }
}
