//! `/lar/v1/memories`: the memories of a user.
//!
//! The header `X-Agent-Id` selects the memories of an agent, and `X-Space` those of a team space.

mod access;
pub(crate) mod consolidation;
pub(crate) mod dry_run;
pub(crate) mod feedback;
pub(crate) mod inbox;
pub(crate) mod intent;
pub(crate) mod intentions;
pub(crate) mod judges;
pub(crate) mod links;
pub(crate) mod parse;
pub(crate) mod review;
pub(crate) mod search;
pub(crate) mod smart;
pub(crate) mod transfer;
pub(crate) mod view;

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use lar_api::Page;
use lar_api::memories::{
    IngestResult as WireIngested, IngestResults, Memory as Wire, MemoryPatch, MemoryStats, NewMemories,
    NewMemory, RefusedMemory, WrittenMemory,
};
use lar_api::problem::FieldProblem;
use lar_base::Problem;
use lar_memory::{Edit, IngestResult, Memories};
use lar_store::{MemoryList, Store};

use self::access::{Reading, Writing};
use self::parse::{parse_item, parse_kind, parse_memory_id, parse_time};
use self::view::WriterView;
use crate::errors::Failure;
use crate::extract::{self, Json, Path};
use crate::idempotency::{self, IdempotentJson};
use crate::response_headers::with_etag;

/// Save a memory
///
/// Returns 201 for a new memory. If the same memory exists already, stores nothing and returns it with 200.
#[utoipa::path(post, path = "/lar/v1/memories", tag = "memories", request_body = NewMemory,
    params(("idempotency-key" = Option<String>, Header), ("x-agent-id" = Option<String>, Header)),
    responses((status = 201, body = WireIngested), (status = 200, body = WireIngested),
              (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(memories): State<Memories>,
    State(store): State<Store>,
    Writing(writer): Writing,
    new: IdempotentJson<NewMemory>,
) -> Result<Response, Failure> {
    let view = WriterView::of(&writer);
    let (new, once) = new.into_parts(writer.caller());
    if let Some(id) = idempotency::earlier_id(&store, once.as_ref()).await? {
        let before = memories.find_past_ingest(&writer, id).await?;
        let body = view.show_ingested(&before);
        return Ok(idempotency::mark_replayed((StatusCode::CREATED, axum::Json(body)).into_response()));
    }
    let made = memories.ingest(&writer, parse_item(new)?, once).await?;
    let status = if made.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(view.show_ingested(&made))).into_response())
}

/// Save several memories
///
/// A refused memory, such as one that contains a secret, does not refuse the others. Returns 201 if all are
/// saved, and 207 with the reasons if some are. If none is, returns the error of the first.
#[utoipa::path(post, path = "/lar/v1/memories/batch", tag = "memories", request_body = NewMemories,
    params(("idempotency-key" = Option<String>, Header), ("x-agent-id" = Option<String>, Header)),
    responses((status = 201, body = IngestResults), (status = 207, body = IngestResults),
              (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create_batch(
    State(memories): State<Memories>,
    State(store): State<Store>,
    Writing(writer): Writing,
    new: IdempotentJson<NewMemories>,
) -> Result<Response, Failure> {
    let view = WriterView::of(&writer);
    let (new, once) = new.into_parts(writer.caller());
    let items = new.items.into_iter().map(parse_item).collect();
    if let Some(ids) = idempotency::earlier_id::<String>(&store, once.as_ref()).await? {
        let ids = ids.split(' ').map(parse_memory_id).collect::<Result<_, _>>()?;
        let before = memories.find_past_batch(&writer, items, ids).await?;
        return Ok(idempotency::mark_replayed(batch_response(view, before)?));
    }
    Ok(batch_response(view, memories.ingest_batch(&writer, items, once).await?)?)
}

/// Returns the response to a batch, or the first error if no memory is saved.
fn batch_response(
    view: WriterView,
    results: Vec<Result<IngestResult, Problem>>,
) -> Result<Response, Problem> {
    let mut body = IngestResults { items: Vec::with_capacity(results.len()), refused: Vec::new() };
    let mut first = None;
    for (at, result) in results.into_iter().enumerate() {
        body.items.push(match result {
            Ok(made) => Some(view.show_ingested(&made)),
            Err(problem) => {
                let problem = problem.within(&format!("items[{at}]"));
                body.refused.push(show_refused(at, &problem));
                first.get_or_insert(problem);
                None
            }
        });
    }
    match first {
        None => Ok((StatusCode::CREATED, axum::Json(body)).into_response()),
        Some(problem) if body.refused.len() == body.items.len() => Err(problem),
        Some(_) => Ok((StatusCode::MULTI_STATUS, axum::Json(body)).into_response()),
    }
}

fn show_refused(at: usize, problem: &Problem) -> RefusedMemory {
    let errors = problem.fields.iter();
    let errors =
        errors.map(|error| FieldProblem { field: error.field.clone(), reason: error.reason.clone() });
    RefusedMemory {
        index: at as u64,
        code: problem.code.to_string(),
        detail: problem.detail.clone(),
        errors: errors.collect(),
    }
}

/// The query parameters of a list of memories.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    after: Option<String>,
    kind: Option<String>,
    tag: Option<String>,
    project: Option<String>,
    deleted: Option<bool>,
}

impl<S: Send + Sync> FromRequest<S> for ListQuery {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        extract::query(request.uri())
    }
}

/// List memories
///
/// Returns memories, newest first. With `deleted=true`, returns the deleted memories that can be restored.
#[utoipa::path(get, path = "/lar/v1/memories", tag = "memories",
    params(("limit" = Option<u32>, Query), ("after" = Option<String>, Query), ("kind" = Option<String>, Query),
           ("tag" = Option<String>, Query), ("project" = Option<String>, Query), ("deleted" = Option<bool>, Query),
           ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    query: ListQuery,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    let limit = extract::limit(query.limit.as_deref())?;
    let filter = MemoryList {
        spaces: Vec::new(),
        kind: query.kind.as_deref().map(|text| parse_kind("kind", text)).transpose()?,
        tag: query.tag,
        project: query.project,
        deleted: query.deleted.unwrap_or(false),
        after: extract::after(query.after.as_deref())?,
        limit,
    };
    let rows = memories.list(&reader, filter).await?;
    let next = (rows.len() == limit as usize).then(|| rows.last().map(|last| last.id.to_string())).flatten();
    Ok(axum::Json(Page { data: rows.iter().map(|row| view::whole(&reader, row)).collect(), next }))
}

/// Count memories
///
/// Returns the numbers of memories, indexed chunks and open links, and the size of the index.
#[utoipa::path(get, path = "/lar/v1/memories/stats", tag = "memories", params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = MemoryStats)))]
pub(crate) async fn stats(
    State(memories): State<Memories>,
    Reading(reader): Reading,
) -> Result<axum::Json<MemoryStats>, Failure> {
    let (stats, index_bytes) = memories.stats(&reader).await?;
    Ok(axum::Json(MemoryStats {
        memories: stats.memories,
        superseded: stats.superseded,
        deleted: stats.deleted,
        pinned: stats.pinned,
        chunks: stats.chunks,
        chunks_without_embeddings: stats.chunks_without_vectors,
        open_links: stats.open_links,
        passages: stats.chunks,
        passages_without_vectors: stats.chunks_without_vectors,
        index_bytes: index_bytes as u64,
    }))
}

/// Show a memory
///
/// Also returns deleted memories.
#[utoipa::path(get, path = "/lar/v1/memories/{id}", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let memory = memories.get(&reader, parse_memory_id(&id)?).await?;
    Ok(respond_with_etag(view::whole(&reader, &memory), memory.version))
}

/// Change a memory
///
/// Edits or pins a memory, or restores a deleted one.
#[utoipa::path(patch, path = "/lar/v1/memories/{id}", tag = "memories", request_body = MemoryPatch,
    params(("id" = String, Path), ("if-match" = Option<String>, Header), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = WrittenMemory), (status = 404, body = lar_api::ProblemBody),
              (status = 412, body = lar_api::ProblemBody)))]
pub(crate) async fn update(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<MemoryPatch>,
) -> Result<Response, Failure> {
    let at = |field: &str, time: Option<Option<String>>| {
        time.map(|time| time.map(|time| parse_time(field, &time)).transpose()).transpose()
    };
    let edit = Edit {
        content: patch.content,
        kind: patch.kind.as_deref().map(|text| parse_kind("kind", text)).transpose()?,
        tags: patch.tags,
        project: patch.project,
        occurred_at: at("occurred_at", patch.occurred_at)?,
        valid_from: at("valid_from", patch.valid_from)?,
        valid_to: at("valid_to", patch.valid_to)?,
        pinned: patch.pinned,
        deleted: patch.deleted,
    };
    let expected = extract::if_match(&headers)?;
    let memory = memories.edit(&writer, parse_memory_id(&id)?, edit, expected).await?;
    Ok(respond_with_etag(WriterView::of(&writer).memory(&memory), memory.version))
}

/// Delete a memory
///
/// The memory can be restored for 30 days. With `erase=true`, it is erased immediately and permanently.
#[utoipa::path(delete, path = "/lar/v1/memories/{id}", tag = "memories",
    params(("id" = String, Path), ("erase" = Option<bool>, Query), ("x-agent-id" = Option<String>, Header)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let id = parse_memory_id(&id)?;
    if extract::erases(request.uri())? {
        memories.erase(&writer, id).await?;
    } else {
        let edit = Edit { deleted: Some(true), ..Edit::default() };
        memories.edit(&writer, id, edit, None).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns a response with the memory, and with its version as the `ETag`.
fn respond_with_etag(memory: impl serde::Serialize, version: i64) -> Response {
    with_etag(axum::Json(memory).into_response(), version)
}
