//! The list of MCP tools: few tools with flat arguments. Their descriptions say when to use them and when not
//! to.
//!
//! The query `?tools=` selects another set. Every tool can be called, whichever set is listed.

mod new_tool;
mod vestige;

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::json;

use self::new_tool::tool;

const KINDS: [&str; 9] =
    ["fact", "event", "preference", "person", "place", "decision", "procedure", "pattern", "note"];

/// Returns the tools of a set; Lar's own tools if no set is named.
///
/// # Errors
/// The names of the sets, for an unknown one.
pub(super) fn list(set: Option<&str>) -> Result<Vec<Tool>, String> {
    match set {
        None | Some("" | "lar") => Ok(own_tools()),
        Some("vestige") => Ok(vestige::all()),
        Some("all") => Ok(own_tools().into_iter().chain(vestige::all()).collect()),
        Some(_) => Err("`tools` must be lar, vestige or all".into()),
    }
}

/// Returns Lar's own tools.
fn own_tools() -> Vec<Tool> {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let id = || text("The memory's id, mem_…");
    let tags = || json!({ "type": "array", "items": { "type": "string" } });
    vec![
        tool(
            "memory_search",
            "Search the user's memories by keywords and meaning. Use it before any answer that may depend on \
             the user, their projects, decisions or earlier conversations. Not for general knowledge. No \
             result means that no memory matches.",
            json!({
                "query": text("What to search for, in plain words"),
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "description": "Default 8" },
                "kinds": { "type": "array", "items": { "type": "string", "enum": KINDS } },
                "tags": tags(),
                "project": text("Only memories of this project"),
                "as_of": text("Only what was true at this day or time (RFC 3339)"),
                "known_at": text("Only what was saved by this day or time (RFC 3339)"),
                "detail": { "type": "string", "enum": ["brief", "summary", "full"], "description": "Default summary" },
                "token_budget": { "type": "integer", "minimum": 1 },
            }),
            &["query"],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
        tool(
            "memory_save",
            "Save one self-contained sentence: what the user asks you to remember, or a lasting fact, \
             preference, decision or correction of the user. Not for secrets, passing remarks, your own \
             output or what is already saved.",
            json!({
                "content": text("The sentence: understandable on its own, with names instead of pronouns"),
                "kind": { "type": "string", "enum": KINDS, "description": "Default fact" },
                "tags": tags(),
                "source": text("Where it comes from"),
                "project": text("The project it belongs to"),
                "occurred_at": text("When it happened, if not now (day or RFC 3339)"),
            }),
            &["content"],
            ToolAnnotations::new().read_only(false).destructive(false).idempotent(true).open_world(false),
        ),
        tool(
            "memory_get",
            "Get one memory in full by its id.",
            json!({ "id": id() }),
            &["id"],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
        tool(
            "memory_feedback",
            "Rate a memory that you used: useful (it helped), wrong, or outdated (no longer true from now \
             on).",
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
            "Forget a memory, or cancel a reminder, when the user asks for it. The user can restore a memory \
             for 30 days. To correct a \
             memory instead, save the new fact and call memory_feedback with outdated.",
            json!({ "id": id() }),
            &["id"],
            ToolAnnotations::new().read_only(false).destructive(true).idempotent(true).open_world(false),
        ),
        tool(
            "memory_brief",
            "Get the most important memories of the user and of a project, and the reminders that are due or \
             will be soon. Call it once at the start of a session, and mention what is due.",
            json!({
                "project": text("The current project"),
                "token_budget": { "type": "integer", "minimum": 1, "description": "Default 600" },
            }),
            &[],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The limit is 1,500 tokens of four bytes each.
    #[test]
    fn the_tool_list_is_short() {
        let listed = serde_json::to_string(&own_tools()).unwrap();
        assert!(listed.len() < 6000, "{}", listed.len());
    }

    /// Some clients drop a tool that has an argument without a type.
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
