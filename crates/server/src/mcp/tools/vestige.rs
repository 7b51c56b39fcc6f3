//! The tools of the memory service Vestige by name and arguments, for agents whose prompts refer to them.
//!
//! They work on Lar's memories; [`super::super::call::vestige`] calls them.

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::json;

use super::new_tool::tool;

/// Vestige's kinds of memories.
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
            "source": text("Where it comes from"),
        })
    };
    let review = || json!({ "id": text("The memory's id"), "reason": text("Why") });
    vec![
        tool(
            "search",
            "Find memories by keywords and meaning.",
            json!({
                "query": text("What to search for"),
                "limit": { "type": "integer", "minimum": 1, "maximum": 100, "description": "Default 10" },
                "min_retention": { "type": "number", "minimum": 0, "maximum": 1 },
                "min_similarity": { "type": "number", "minimum": 0, "maximum": 1 },
                "detail_level": { "type": "string", "enum": ["brief", "summary", "full"] },
                "token_budget": { "type": "integer", "minimum": 1 },
            }),
            &["query"],
            reads(),
        ),
        tool("ingest", "Save a text without changes.", content(), &["content"], writes()),
        tool(
            "smart_ingest",
            "Compare a text with existing memories, then create, reinforce, update, supersede, merge or \
             reject.",
            {
                let mut properties = content();
                properties["forceCreate"] = json!({ "type": "boolean" });
                properties
            },
            &["content"],
            writes(),
        ),
        tool("promote", "Mark a memory as more important.", review(), &["id"], writes()),
        tool("demote", "Mark a memory as less important.", review(), &["id"], writes()),
        tool(
            "memory",
            "Act on one memory: get, delete, state, promote, demote or edit.",
            json!({
                "action": { "type": "string", "enum": ["get", "delete", "state", "promote", "demote", "edit"] },
                "id": text("The memory's id"),
                "reason": text("Why"),
                "content": text("The new text, for an edit"),
            }),
            &["action", "id"],
            ToolAnnotations::new().read_only(false).destructive(true).open_world(false),
        ),
        tool(
            "session_context",
            "Get the most important memories. Call it once at the start of a session.",
            json!({
                "queries": { "type": "array", "items": { "type": "string" } },
                "token_budget": { "type": "integer", "minimum": 1, "description": "Default 1000" },
            }),
            &[],
            reads(),
        ),
        tool("intention", "Reminders: not available yet.", json!({}), &[], reads()),
        tool("codebase", "Patterns of a code base: not available yet.", json!({}), &[], reads()),
    ]
}
