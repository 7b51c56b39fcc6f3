//! Calls of the tools of the memory service Vestige, with results in its format. [`crate::bridge`] uses them,
//! too.

use axum::http::HeaderMap;
use lar_api::memories::{NewMemory, SearchRequest, WrittenMemory};
use lar_base::{Caller, Code, Problem};
use lar_memory::strength::Event;
use lar_memory::{Decision, Edit, Hit, ReadAccess};
use lar_store::Memory;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::memories::view::{WriterView, whole};
use crate::memories::{item, memory_id, requested_scope, search};
use crate::{App, extract};

/// The number of tokens of a session context without `token_budget`.
const CONTEXT_TOKENS: usize = 1000;
/// The number of memories for each query of a session context.
const CONTEXT_RESULTS: usize = 3;
/// The maximum number of queries of a session context.
const CONTEXT_QUERIES_MAX: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VestigeSearchArguments {
    query: String,
    limit: Option<usize>,
    #[serde(default)]
    min_retention: f32,
    #[serde(default)]
    min_similarity: f32,
    detail_level: Option<String>,
    token_budget: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IngestArguments {
    content: String,
    node_type: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    source: Option<String>,
    #[serde(default, rename = "forceCreate")]
    force_create: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewArguments {
    id: String,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryArguments {
    action: String,
    id: String,
    reason: Option<String>,
    content: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextArguments {
    #[serde(default)]
    queries: Vec<String>,
    token_budget: Option<usize>,
}

/// Returns whether a name is one of Vestige's tools.
pub(super) fn is_tool(name: &str) -> bool {
    matches!(
        name,
        "search"
            | "ingest"
            | "smart_ingest"
            | "promote"
            | "promote_memory"
            | "demote"
            | "demote_memory"
            | "memory"
            | "session_context"
            | "intention"
            | "codebase"
    )
}

/// Calls a tool of Vestige.
///
/// # Errors
/// [`Code::InvalidParams`], naming the argument; [`Code::ComponentUnavailable`] for a tool that Lar does not
/// have yet; errors of the memories.
pub(crate) async fn call(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    name: &str,
    mut arguments: Value,
) -> Result<Value, Problem> {
    extract::normalize_values(&mut arguments);
    Ok(match name {
        "search" => find(app, caller, headers, extract::from_value(&arguments)?).await?,
        "ingest" | "smart_ingest" => {
            ingest(app, caller, headers, extract::from_value(&arguments)?, name == "smart_ingest").await?
        }
        "promote" | "promote_memory" => {
            review(app, caller, headers, extract::from_value(&arguments)?, Event::Promoted).await?
        }
        "demote" | "demote_memory" => {
            review(app, caller, headers, extract::from_value(&arguments)?, Event::Demoted).await?
        }
        "memory" => memory(app, caller, headers, extract::from_value(&arguments)?).await?,
        "session_context" => context(app, caller, headers, extract::from_value(&arguments)?).await?,
        _ => {
            let reason = format!(
                "`{name}` is not available yet; use `memory_save` and `memory_search` to save and find facts"
            );
            return Err(Problem::new(Code::ComponentUnavailable, reason));
        }
    })
}

/// Decodes the arguments of a tool and returns them as text, for tests of the decoders.
#[cfg(test)]
pub(crate) fn check(name: &str, mut arguments: Value) -> Result<String, Problem> {
    extract::normalize_values(&mut arguments);
    Ok(match name {
        "search" => format!("{:?}", extract::from_value::<VestigeSearchArguments>(&arguments)?),
        "ingest" | "smart_ingest" => format!("{:?}", extract::from_value::<IngestArguments>(&arguments)?),
        "promote" | "promote_memory" | "demote" | "demote_memory" => {
            format!("{:?}", extract::from_value::<ReviewArguments>(&arguments)?)
        }
        "memory" => format!("{:?}", extract::from_value::<MemoryArguments>(&arguments)?),
        "session_context" => format!("{:?}", extract::from_value::<ContextArguments>(&arguments)?),
        _ => arguments.to_string(),
    })
}

async fn find(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: VestigeSearchArguments,
) -> Result<Value, Problem> {
    let reader = app.memories.authorize_read(caller, requested_scope(headers)?).await?;
    let detail = arguments.detail_level.clone().unwrap_or_else(|| "summary".into());
    let request = SearchRequest {
        query: arguments.query.clone(),
        limit: arguments.limit,
        detail: Some(detail.clone()),
        token_budget: arguments.token_budget,
        ..SearchRequest::default()
    };
    let found = app.memories.search(&reader, search::to_search(request)?).await?;
    // `min_similarity` applies only to a memory that has none of the query's keywords.
    let kept = |hit: &&Hit| {
        let near = hit.keyword_score > 0.0
            || hit.similarity.is_some_and(|similarity| similarity >= arguments.min_similarity);
        near && hit.retrievability >= arguments.min_retention
    };
    let results: Vec<Value> = found.hits.iter().filter(kept).map(result).collect();
    Ok(json!({
        "query": arguments.query, "method": "hybrid", "detailLevel": detail, "total": results.len(), "results": results,
        "tokensUsed": found.tokens,
    }))
}

fn result(hit: &Hit) -> Value {
    json!({
        "id": hit.memory.id.to_string(), "content": hit.text, "combinedScore": hit.score, "keywordScore": hit.keyword_score,
        "semanticScore": hit.similarity, "nodeType": hit.memory.kind.as_str(), "tags": hit.memory.tags,
        "retentionStrength": hit.retrievability, "createdAt": hit.memory.created_at.to_string(),
    })
}

async fn ingest(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: IngestArguments,
    smart: bool,
) -> Result<Value, Problem> {
    let writer = app.memories.authorize_write(caller, requested_scope(headers)?).await?;
    // Vestige has a kind `concept`, which Lar does not distinguish from `fact`.
    let kind = arguments.node_type.map(|kind| if kind == "concept" { "fact".into() } else { kind });
    let new = item(NewMemory {
        content: arguments.content,
        kind,
        tags: arguments.tags,
        source: arguments.source,
        ..NewMemory::default()
    })?;
    if !smart || arguments.force_create {
        let made = app.memories.ingest(&writer, vec![new], None).await?;
        let Some(made) = made.first() else { return Err(Problem::not_found("memory")) };
        let decision = if made.created { "create" } else { "reinforce" };
        return Ok(json!({ "success": true, "decision": decision, "nodeId": made.memory.id.to_string() }));
    }
    let decided = app.memories.ingest_smart(&writer, new, None).await?;
    let shown = WriterView::of(&writer).show_decision(&decided);
    let superseded = shown.against.filter(|_| decided.decision == Decision::Supersede);
    Ok(json!({
        "success": shown.memory.is_some(), "decision": shown.decision, "reason": shown.reason,
        "nodeId": shown.memory.map(|memory| memory.id),
        "supersededId": superseded.map(|memory| memory.id),
    }))
}

async fn review(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: ReviewArguments,
    event: Event,
) -> Result<Value, Problem> {
    let writer = app.memories.authorize_write(caller, requested_scope(headers)?).await?;
    let changed = app.memories.review(&writer, memory_id(&arguments.id)?, event, arguments.reason).await?;
    Ok(json!({ "success": true, "node": node(&WriterView::of(&writer).memory(&changed)) }))
}

async fn memory(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: MemoryArguments,
) -> Result<Value, Problem> {
    let id = memory_id(&arguments.id)?;
    if matches!(arguments.action.as_str(), "get" | "state") {
        let reader = app.memories.authorize_read(caller, requested_scope(headers)?).await?;
        let found = app.memories.get(&reader, id).await?;
        return Ok(json!({ "success": true, "node": readable_node(&reader, &found) }));
    }
    let event = match arguments.action.as_str() {
        "promote" => Some(Event::Promoted),
        "demote" => Some(Event::Demoted),
        _ => None,
    };
    if let Some(event) = event {
        let review_arguments = ReviewArguments { id: arguments.id, reason: arguments.reason };
        return review(app, caller, headers, review_arguments, event).await;
    }
    let edit = match (arguments.action.as_str(), arguments.content) {
        ("delete", _) => Edit { deleted: Some(true), ..Edit::default() },
        ("edit", Some(content)) => Edit { content: Some(content), ..Edit::default() },
        ("edit", None) => return Err(Problem::invalid("content", "is missing")),
        _ => return Err(Problem::invalid("action", "must be get, delete, state, promote, demote or edit")),
    };
    let writer = app.memories.authorize_write(caller, requested_scope(headers)?).await?;
    let edited = app.memories.edit(&writer, id, edit, None).await?;
    Ok(json!({ "success": true, "node": node(&WriterView::of(&writer).memory(&edited)) }))
}

/// Returns a memory in Vestige's format, for a caller who may read it.
fn readable_node(reader: &ReadAccess, memory: &Memory) -> Value {
    node(&WrittenMemory::from(whole(reader, memory)))
}

/// Returns a memory in Vestige's format, with the fields that the caller may read.
fn node(memory: &WrittenMemory) -> Value {
    let Some(content) = &memory.content else {
        return json!({ "id": memory.id, "updatedAt": memory.updated_at, "deletedAt": memory.deleted_at });
    };
    json!({
        "id": memory.id, "content": content, "nodeType": memory.kind, "tags": memory.tags,
        "source": memory.source, "retentionStrength": memory.retrievability,
        "stability": memory.stability, "createdAt": memory.created_at,
        "updatedAt": memory.updated_at, "deletedAt": memory.deleted_at,
        "supersededBy": memory.superseded_by,
    })
}

async fn context(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: ContextArguments,
) -> Result<Value, Problem> {
    if arguments.queries.len() > CONTEXT_QUERIES_MAX {
        return Err(Problem::invalid("queries", format!("must have at most {CONTEXT_QUERIES_MAX} items")));
    }
    let reader = app.memories.authorize_read(caller, requested_scope(headers)?).await?;
    let budget = arguments.token_budget.unwrap_or(CONTEXT_TOKENS);
    let brief = app.memories.brief(&reader, None, budget, "default").await?;
    let mut nodes: Vec<Value> = brief.iter().map(|memory| readable_node(&reader, memory)).collect();
    for query in arguments.queries {
        let request = SearchRequest { query, limit: Some(CONTEXT_RESULTS), ..SearchRequest::default() };
        let found = app.memories.search(&reader, search::to_search(request)?).await?;
        nodes.extend(found.hits.iter().map(|hit| readable_node(&reader, &hit.memory)));
    }
    let mut seen = std::collections::HashSet::new();
    nodes.retain(|node| seen.insert(node["id"].as_str().map(str::to_owned)));
    Ok(json!({ "memories": nodes }))
}
