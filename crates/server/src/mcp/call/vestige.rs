//! Calls of the tools of the memory service Vestige, with results in its format. [`crate::bridge`] uses them,
//! too.

mod codebase;
mod intention;

use lar_base::{Problem, Timestamp};
use lar_compat::lenient::normalize_values;
use lar_memory::strength::{self, Event};
use lar_memory::{Decision, Edit, Hit, Item, ReadAccess, Search};
use lar_store::Memory;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::tool_context::ToolContext;
use crate::extract;
use crate::memories::parse::{parse_detail, parse_kind, parse_limit, parse_memory_id};
use crate::memories::view::WriterView;

/// The number of results of a search without `limit`.
const SEARCH_RESULTS: usize = 10;
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
/// [`lar_base::Code::InvalidParams`], naming the argument; errors of the memories and intentions.
pub(crate) async fn call(
    context: &ToolContext<'_>,
    name: &str,
    mut arguments: Value,
) -> Result<Value, Problem> {
    normalize_values(&mut arguments);
    Ok(match name {
        "search" => find(context, extract::from_value(&arguments)?).await?,
        "ingest" | "smart_ingest" => {
            ingest(context, extract::from_value(&arguments)?, name == "smart_ingest").await?
        }
        "promote" | "promote_memory" => {
            review(context, extract::from_value(&arguments)?, Event::Promoted).await?
        }
        "demote" | "demote_memory" => {
            review(context, extract::from_value(&arguments)?, Event::Demoted).await?
        }
        "memory" => memory(context, extract::from_value(&arguments)?).await?,
        "session_context" => session_context(context, extract::from_value(&arguments)?).await?,
        "intention" => intention::call(context, extract::from_value(&arguments)?).await?,
        "codebase" => codebase::call(context, extract::from_value(&arguments)?).await?,
        _ => return Err(Problem::not_found(format!("tool `{name:.64}`"))),
    })
}

/// Decodes the arguments of a tool and returns them as text, for tests of the decoders.
#[cfg(test)]
pub(crate) fn check(name: &str, mut arguments: Value) -> Result<String, Problem> {
    normalize_values(&mut arguments);
    Ok(match name {
        "search" => format!("{:?}", extract::from_value::<VestigeSearchArguments>(&arguments)?),
        "ingest" | "smart_ingest" => format!("{:?}", extract::from_value::<IngestArguments>(&arguments)?),
        "promote" | "promote_memory" | "demote" | "demote_memory" => {
            format!("{:?}", extract::from_value::<ReviewArguments>(&arguments)?)
        }
        "memory" => format!("{:?}", extract::from_value::<MemoryArguments>(&arguments)?),
        "session_context" => format!("{:?}", extract::from_value::<ContextArguments>(&arguments)?),
        "intention" => format!("{:?}", extract::from_value::<intention::IntentionArguments>(&arguments)?),
        "codebase" => format!("{:?}", extract::from_value::<codebase::CodebaseArguments>(&arguments)?),
        _ => arguments.to_string(),
    })
}

async fn find(context: &ToolContext<'_>, arguments: VestigeSearchArguments) -> Result<Value, Problem> {
    let reader = context.authorize_read().await?;
    let detail = arguments.detail_level.as_deref().unwrap_or("summary");
    let search = Search {
        query: arguments.query.clone(),
        limit: parse_limit(arguments.limit, SEARCH_RESULTS)?,
        detail: parse_detail(Some(detail))?,
        token_budget: arguments.token_budget,
        ..Search::default()
    };
    let found = context.memories.search(&reader, search).await?;
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
    context: &ToolContext<'_>,
    arguments: IngestArguments,
    smart: bool,
) -> Result<Value, Problem> {
    let writer = context.authorize_write().await?;
    // Vestige has a kind `concept`, which Lar does not distinguish from `fact`.
    let kind = arguments.node_type.map(|kind| if kind == "concept" { "fact".into() } else { kind });
    let item = Item {
        content: arguments.content,
        kind: kind.as_deref().map(|kind| parse_kind("kind", kind)).transpose()?,
        tags: arguments.tags,
        source: arguments.source,
        ..Item::default()
    };
    if !smart || arguments.force_create {
        let made = context.memories.ingest(&writer, item, None).await?;
        let decision = if made.created { "create" } else { "reinforce" };
        return Ok(json!({ "success": true, "decision": decision, "nodeId": made.memory.id.to_string() }));
    }
    let decided = context.memories.ingest_smart(&writer, item, None).await?;
    let superseded = decided.against.as_ref().filter(|_| decided.decision == Decision::Supersede);
    Ok(json!({
        "success": decided.memory.is_some(), "decision": decided.decision.as_str(),
        "reason": WriterView::of(&writer).reason(&decided),
        "nodeId": decided.memory.as_ref().map(|memory| memory.id.to_string()),
        "supersededId": superseded.map(|memory| memory.id.to_string()),
    }))
}

async fn review(
    context: &ToolContext<'_>,
    arguments: ReviewArguments,
    event: Event,
) -> Result<Value, Problem> {
    let writer = context.authorize_write().await?;
    let changed =
        context.memories.review(&writer, parse_memory_id(&arguments.id)?, event, arguments.reason).await?;
    Ok(json!({ "success": true, "node": written_node(WriterView::of(&writer), &changed) }))
}

async fn memory(context: &ToolContext<'_>, arguments: MemoryArguments) -> Result<Value, Problem> {
    let id = parse_memory_id(&arguments.id)?;
    if matches!(arguments.action.as_str(), "get" | "state") {
        let reader = context.authorize_read().await?;
        let found = context.memories.get(&reader, id).await?;
        return Ok(json!({ "success": true, "node": readable_node(&reader, &found) }));
    }
    let event = match arguments.action.as_str() {
        "promote" => Some(Event::Promoted),
        "demote" => Some(Event::Demoted),
        _ => None,
    };
    if let Some(event) = event {
        let review_arguments = ReviewArguments { id: arguments.id, reason: arguments.reason };
        return review(context, review_arguments, event).await;
    }
    let edit = match (arguments.action.as_str(), arguments.content) {
        ("delete", _) => Edit { deleted: Some(true), ..Edit::default() },
        ("edit", Some(content)) => Edit { content: Some(content), ..Edit::default() },
        ("edit", None) => return Err(Problem::invalid("content", "is missing")),
        _ => return Err(Problem::invalid("action", "must be get, delete, state, promote, demote or edit")),
    };
    let writer = context.authorize_write().await?;
    let edited = context.memories.edit(&writer, id, edit, None).await?;
    Ok(json!({ "success": true, "node": written_node(WriterView::of(&writer), &edited) }))
}

/// Returns a memory in Vestige's format, for a caller who may read it.
fn readable_node(_: &ReadAccess, memory: &Memory) -> Value {
    whole_node(memory)
}

/// Returns a changed memory in Vestige's format, with the fields that the writer may read.
fn written_node(view: WriterView, memory: &Memory) -> Value {
    match view.readable(memory) {
        Some(memory) => whole_node(memory),
        None => json!({
            "id": memory.id.to_string(), "updatedAt": memory.updated_at.to_string(),
            "deletedAt": memory.deleted_at.map(|at| at.to_string()),
        }),
    }
}

fn whole_node(memory: &Memory) -> Value {
    json!({
        "id": memory.id.to_string(), "content": memory.content, "nodeType": memory.kind.as_str(),
        "tags": memory.tags, "source": memory.provenance.source,
        "retentionStrength": strength::retrievability(&memory.strength, Timestamp::now()),
        "stability": memory.strength.stability, "createdAt": memory.created_at.to_string(),
        "updatedAt": memory.updated_at.to_string(), "deletedAt": memory.deleted_at.map(|at| at.to_string()),
        "supersededBy": memory.superseded.map(|(by, _)| by.to_string()),
    })
}

async fn session_context(context: &ToolContext<'_>, arguments: ContextArguments) -> Result<Value, Problem> {
    if arguments.queries.len() > CONTEXT_QUERIES_MAX {
        return Err(Problem::invalid("queries", format!("must have at most {CONTEXT_QUERIES_MAX} items")));
    }
    let reader = context.authorize_read().await?;
    let budget = arguments.token_budget.unwrap_or(CONTEXT_TOKENS);
    let brief = context.memories.brief(&reader, None, budget, "default").await?;
    let mut nodes: Vec<Value> = brief.iter().map(|memory| readable_node(&reader, memory)).collect();
    for query in arguments.queries {
        let search = Search { query, limit: CONTEXT_RESULTS, ..Search::default() };
        let found = context.memories.search(&reader, search).await?;
        nodes.extend(found.hits.iter().map(|hit| readable_node(&reader, &hit.memory)));
    }
    let mut seen = std::collections::HashSet::new();
    nodes.retain(|node| seen.insert(node["id"].as_str().map(str::to_owned)));
    Ok(json!({ "memories": nodes }))
}
