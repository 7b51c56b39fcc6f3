//! The names and arguments of an earlier memory service, for agents that were taught them: what they do is Lar's.

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::json;

use super::tool;

/// What its memories are about, as it calls it.
const NODE_TYPES: [&str; 8] = ["fact", "concept", "event", "person", "place", "note", "pattern", "decision"];

pub(super) fn all() -> Vec<Tool> {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let reads = || ToolAnnotations::new().read_only(true).open_world(false);
    let writes = || ToolAnnotations::new().read_only(false).destructive(false).open_world(false);
    let content = || {
        json!({
            "content": text("The text"),
            "node_type": { "type": "string", "enum": NODE_TYPES, "description": "Default fact" },
            "tags": { "type": "array", "items": { "type": "string" } },
            "source": text("Where it is from"),
        })
    };
    let review = || json!({ "id": text("The memory's id"), "reason": text("Why") });
    vec![
        tool(
            "search",
            "Find memories by words and meaning.",
            json!({
                "query": text("What to look for"),
                "limit": { "type": "integer", "minimum": 1, "maximum": 100, "description": "Default 10" },
                "min_retention": { "type": "number", "minimum": 0, "maximum": 1 },
                "min_similarity": { "type": "number", "minimum": 0, "maximum": 1 },
                "detail_level": { "type": "string", "enum": ["brief", "summary", "full"] },
                "token_budget": { "type": "integer", "minimum": 1 },
            }),
            &["query"],
            reads(),
        ),
        tool("ingest", "Remember a text as it is.", content(), &["content"], writes()),
        tool(
            "smart_ingest",
            "Remember a text with regard to what is known: create, reinforce, update, supersede, merge or reject.",
            {
                let mut properties = content();
                properties["forceCreate"] = json!({ "type": "boolean" });
                properties
            },
            &["content"],
            writes(),
        ),
        tool("promote", "Say that a memory matters.", review(), &["id"], writes()),
        tool("demote", "Say that a memory matters less.", review(), &["id"], writes()),
        tool(
            "memory",
            "One memory: get, delete, state, promote, demote or edit.",
            json!({
                "action": { "type": "string", "enum": ["get", "delete", "state", "promote", "demote", "edit"] },
                "id": text("The memory's id"),
                "reason": text("Why"),
                "content": text("The new text, of an edit"),
            }),
            &["action", "id"],
            ToolAnnotations::new().read_only(false).destructive(true).open_world(false),
        ),
        tool(
            "session_context",
            "What matters most, to read once at the start of a session.",
            json!({
                "queries": { "type": "array", "items": { "type": "string" } },
                "token_budget": { "type": "integer", "minimum": 1, "description": "Default 1000" },
            }),
            &[],
            reads(),
        ),
        tool("intention", "Reminders: not built yet.", json!({}), &[], reads()),
        tool("codebase", "Patterns of a code base: not built yet.", json!({}), &[], reads()),
    ]
}
