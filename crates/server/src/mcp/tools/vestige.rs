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
        intention(),
        codebase(),
    ]
}

fn intention() -> Tool {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let texts = |about: &str| json!({ "type": "array", "items": { "type": "string" }, "description": about });
    tool(
        "intention",
        "Remind the user of something: set an intention, check which are due, complete, snooze or cancel one, or \
         list them.",
        json!({
            "action": { "type": "string", "enum": ["set", "check", "update", "list"] },
            "description": text("[set] What to remind of"),
            "trigger": {
                "type": "object",
                "description": "[set] When to remind; without it, the intention is only listed",
                "properties": {
                    "type": { "type": "string", "enum": ["time", "context", "event"] },
                    "at": text("[time] The time (RFC 3339)"),
                    "in_minutes": { "type": "integer", "minimum": 0, "description": "[time] Minutes from now" },
                    "codebase": text("[context] The name of the code base"),
                    "file_pattern": text("[context] A glob for the current file, such as *.rs"),
                    "topic": text("[context] Words that the user's message contains"),
                    "condition": text("[event] Words that the message or an event contains"),
                },
            },
            "priority": { "type": "string", "enum": ["low", "normal", "high", "critical"] },
            "deadline": text("[set] The time from which it is overdue (RFC 3339)"),
            "id": text("[update] The intention's id"),
            "status": { "type": "string", "enum": ["complete", "snooze", "cancel"], "description": "[update]" },
            "snooze_minutes": { "type": "integer", "minimum": 1, "description": "[update] Default 30" },
            "context": {
                "type": "object",
                "description": "[check] What the user says and works on",
                "properties": {
                    "current_time": text("The time to check for (RFC 3339); now if missing"),
                    "codebase": text("The name of the current code base"),
                    "file": text("The path of the current file"),
                    "topics": texts("The user's message, or its topics"),
                    "events": texts("What has just happened"),
                },
            },
            "include_snoozed": { "type": "boolean", "description": "[check] Also return snoozed ones as pending" },
            "filter_status": {
                "type": "string", "enum": ["active", "fulfilled", "cancelled", "snoozed", "all"],
                "description": "[list] Default active",
            },
            "limit": { "type": "integer", "minimum": 1, "maximum": 1000, "description": "[list] Default 20" },
        }),
        &["action"],
        ToolAnnotations::new().read_only(false).destructive(false).open_world(false),
    )
}

fn codebase() -> Tool {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let texts = |about: &str| json!({ "type": "array", "items": { "type": "string" }, "description": about });
    tool(
        "codebase",
        "Remember patterns and decisions of a code base, and get them back before you work on it.",
        json!({
            "action": { "type": "string", "enum": ["remember_pattern", "remember_decision", "get_context"] },
            "name": text("[remember_pattern] The name of the pattern"),
            "description": text("[remember_pattern] The pattern"),
            "decision": text("[remember_decision] The decision"),
            "rationale": text("[remember_decision] Why it was made"),
            "alternatives": texts("[remember_decision] What else was considered"),
            "files": texts("The files that it concerns; with get_context, also get what concerns these files"),
            "codebase": text("The name of the code base"),
            "limit": { "type": "integer", "minimum": 1, "maximum": 50, "description": "[get_context] Default 10" },
        }),
        &["action"],
        ToolAnnotations::new().read_only(false).destructive(false).open_world(false),
    )
}
