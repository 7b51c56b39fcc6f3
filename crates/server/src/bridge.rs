//! `/bridge`: the HTTP bridge of the memory service Vestige, for plugins that were written against it.
//!
//! A request is translated to a call of the MCP tool of the same name, which [`vestige`] answers. A response
//! has the form `{success, data, error}`. Vestige's own bridge passed on argument names that its service did
//! not know, so they had no effect. Lar translates them.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use lar_base::{Code, Problem};
use lar_catalog::Catalog;
use lar_compat::lenient;
use lar_gateway::Gateway;
use lar_memory::Memories;
use lar_store::Store;
use serde_json::{Map, Value, json};

use crate::auth::Authenticated;
use crate::body_limits::BodyReceiver;
use crate::errors::Failure;
use crate::extract::Path;
use crate::mcp::{ToolContext, vestige};
use crate::{extract, health};

/// The paths of the bridge, each named after its tool.
const TOOLS: [&str; 8] =
    ["search", "ingest", "smart_ingest", "promote", "demote", "memory", "codebase", "intention"];
/// Argument names of the bridge, each with the name that the tools use; an empty name drops the argument.
const NAMES: [(&str, &str); 4] =
    [("memory_id", "id"), ("threshold", "min_similarity"), ("context", "source"), ("mode", "")];

/// Calls a tool.
pub(crate) async fn call(
    State(memories): State<Memories>,
    State(receiver): State<BodyReceiver>,
    Authenticated(caller): Authenticated,
    Path(tool): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, Failure> {
    if !TOOLS.contains(&tool.as_str()) {
        return Err(Problem::not_found(format!("path /bridge/{tool:.64}")).into());
    }
    let arguments = translate(&tool, read(&extract::receive_json(request, &receiver).await?)?)?;
    let context = ToolContext { memories: &memories, caller, headers: &headers };
    let data = vestige::call(&context, &tool, arguments).await?;
    Ok(Json(json!({ "success": true, "data": data, "error": null })))
}

/// Checks readiness as `/readyz` does, and responds in the form of the bridge.
pub(crate) async fn health(
    store: State<Store>,
    catalog: State<Catalog>,
    gateway: State<Gateway>,
) -> Result<Json<Value>, Failure> {
    let Json(data) = health::ready(store, catalog, gateway).await?;
    Ok(Json(json!({ "success": true, "data": data, "error": null })))
}

/// Parses the arguments in a body leniently. An empty body has no arguments.
fn read(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match lenient::parse(body)? {
        Value::Object(arguments) => Ok(arguments),
        _ => Err(Problem::new(Code::InvalidParams, "the body must be an object")),
    }
}

/// Decodes a body and returns the arguments of the tool as text, for tests of the decoders.
#[cfg(test)]
pub(crate) fn check(tool: &str, body: &[u8]) -> Result<String, Problem> {
    vestige::check(tool, translate(tool, read(body)?)?)
}

fn translate(tool: &str, body: Map<String, Value>) -> Result<Value, Problem> {
    let mut arguments = Map::new();
    for (name, value) in body {
        // These tools have the same arguments over the bridge.
        let is_same = matches!(tool, "intention" | "codebase");
        let known = NAMES.iter().find(|(old, _)| !is_same && *old == name).map(|(_, new)| *new);
        let name = match known {
            // The search mode has no effect, because every search is hybrid.
            Some("") => continue,
            Some(new) => new.to_owned(),
            None => name,
        };
        // The clients of the bridge send null for a missing argument.
        if !value.is_null() && arguments.insert(name.clone(), value).is_some() {
            return Err(Problem::invalid(name, "is given twice, under its old and its new name"));
        }
    }
    if tool == "memory" && arguments.get("action") == Some(&json!("check_state")) {
        arguments.insert("action".into(), json!("state"));
    }
    Ok(Value::Object(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate_value(tool: &str, body: Value) -> Value {
        translate(tool, body.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn bodies_are_read_leniently() {
        let body = b"\xef\xbb\xbf{\"query\": \"x\\ud83d\"}";
        assert_eq!(Value::Object(read(body).unwrap()), json!({ "query": "x\u{fffd}" }));
        assert_eq!(read(b"").unwrap(), Map::new());
        assert_eq!(read(b"[]").unwrap_err().detail, "the body must be an object");
    }

    #[test]
    fn old_names_are_translated() {
        let search = json!({ "query": "q", "mode": "hybrid", "limit": 3, "threshold": 0.2 });
        assert_eq!(
            translate_value("search", search),
            json!({ "query": "q", "limit": 3, "min_similarity": 0.2 })
        );
        let state = json!({ "action": "check_state", "memory_id": "mem_1" });
        assert_eq!(translate_value("memory", state), json!({ "action": "state", "id": "mem_1" }));
        assert_eq!(
            translate_value("promote", json!({ "id": "mem_1", "reason": null })),
            json!({ "id": "mem_1" })
        );
        let check = json!({ "action": "check", "context": { "topics": ["x"] } });
        assert_eq!(translate_value("intention", check.clone()), check);
        let both = json!({ "id": "a", "memory_id": "b" });
        assert!(translate("promote", both.as_object().unwrap().clone()).is_err());
    }
}
