//! `/lar/v1/memories`: the memories of a user.
//!
//! The header `X-Agent-Id` selects the memories of an agent, and `X-Space` those of a team space.

pub(crate) mod inbox;
pub(crate) mod intent;
pub(crate) mod review;
pub(crate) mod search;
pub(crate) mod smart;
pub(crate) mod transfer;
pub(crate) mod view;

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_api::Page;
use lar_api::memories::{
    IngestResult as WireIngested, IngestResults, Memory as Wire, MemoryPatch, MemoryStats, NewMemories,
    NewMemory, WrittenMemory,
};
use lar_base::{MemoryId, Problem, Timestamp};
use lar_memory::{Edit, Item, MemoryScope, ReadAccess, WriteAccess};
use lar_store::{MemoryKind, MemoryList};

use self::view::WriterView;
use crate::auth::Authenticated;
use crate::errors::Failure;
use crate::extract::{self, Json, Path};
use crate::idempotency::{self, IdempotentJson};
use crate::{App, State};

/// The header that selects an agent.
const AGENT: &str = "x-agent-id";
/// The header that selects a team space.
const SPACE: &str = "x-space";

/// An authenticated request that may read the memories that its headers select.
pub(crate) struct Reading(pub(crate) ReadAccess);

/// An authenticated request that may change the memories that its headers select.
pub(crate) struct Writing(pub(crate) WriteAccess);

impl FromRequestParts<Arc<App>> for Reading {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        Ok(Self(app.memories.authorize_read(caller, requested_scope(&parts.headers)?).await?))
    }
}

impl FromRequestParts<Arc<App>> for Writing {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        Ok(Self(app.memories.authorize_write(caller, requested_scope(&parts.headers)?).await?))
    }
}

/// Returns the memory scope that the headers of a request select.
pub(crate) fn requested_scope(headers: &HeaderMap) -> Result<MemoryScope<'_>, Problem> {
    let text = |header: &str, name: &str| match headers.get(header).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(Problem::invalid(name, "must be ASCII")),
    };
    Ok(MemoryScope { agent: text(AGENT, "X-Agent-Id")?, space: text(SPACE, "X-Space")? })
}

/// Save a memory
///
/// Returns 201 for a new memory. If the same memory exists already, stores nothing and returns it with 200.
#[utoipa::path(post, path = "/lar/v1/memories", tag = "memories", request_body = NewMemory,
    params(("idempotency-key" = Option<String>, Header), ("x-agent-id" = Option<String>, Header)),
    responses((status = 201, body = WireIngested), (status = 200, body = WireIngested),
              (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    app: State,
    Writing(writer): Writing,
    new: IdempotentJson<NewMemory>,
) -> Result<Response, Failure> {
    let view = WriterView::of(&writer);
    let (new, once) = new.into_parts(writer.caller());
    if let Some(id) = idempotency::earlier_id(&app, once.as_ref()).await? {
        let before = app.memories.find_past_ingest(&writer, vec![id]).await?;
        let body = before.first().map(|made| view.show_ingested(made));
        return Ok(idempotency::mark_replayed((StatusCode::CREATED, axum::Json(body)).into_response()));
    }
    let made = app.memories.ingest(&writer, vec![item(new)?], once).await?;
    let Some(made) = made.first() else { return Err(Problem::not_found("memory").into()) };
    let status = if made.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(view.show_ingested(made))).into_response())
}

/// Save several memories
///
/// Saves all of them or none.
#[utoipa::path(post, path = "/lar/v1/memories/batch", tag = "memories", request_body = NewMemories,
    params(("idempotency-key" = Option<String>, Header), ("x-agent-id" = Option<String>, Header)),
    responses((status = 201, body = IngestResults), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create_batch(
    app: State,
    Writing(writer): Writing,
    new: IdempotentJson<NewMemories>,
) -> Result<Response, Failure> {
    let view = WriterView::of(&writer);
    let (new, once) = new.into_parts(writer.caller());
    if let Some(ids) = idempotency::earlier_id::<String>(&app, once.as_ref()).await? {
        let ids = ids.split(' ').map(|id| extract::id(id, "memory")).collect::<Result<_, _>>()?;
        let before = app.memories.find_past_ingest(&writer, ids).await?;
        let body = IngestResults { items: before.iter().map(|made| view.show_ingested(made)).collect() };
        return Ok(idempotency::mark_replayed((StatusCode::CREATED, axum::Json(body)).into_response()));
    }
    let items = new.items.into_iter().enumerate();
    let items = items.map(|(at, new)| item(new).map_err(|problem| problem.within(&format!("items[{at}]"))));
    let made = app.memories.ingest(&writer, items.collect::<Result<_, _>>()?, once).await?;
    let body = IngestResults { items: made.iter().map(|made| view.show_ingested(made)).collect() };
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
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

impl FromRequest<Arc<App>> for ListQuery {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Failure> {
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
    app: State,
    Reading(reader): Reading,
    query: ListQuery,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    let limit = extract::limit(query.limit.as_deref())?;
    let filter = MemoryList {
        spaces: Vec::new(),
        kind: query.kind.as_deref().map(|text| kind("kind", text)).transpose()?,
        tag: query.tag,
        project: query.project,
        deleted: query.deleted.unwrap_or(false),
        after: extract::after(query.after.as_deref())?,
        limit,
    };
    let rows = app.memories.list(&reader, filter).await?;
    let next = (rows.len() == limit as usize).then(|| rows.last().map(|last| last.id.to_string())).flatten();
    Ok(axum::Json(Page { data: rows.iter().map(|row| view::whole(&reader, row)).collect(), next }))
}

/// Count memories
///
/// Returns the numbers of memories and of indexed chunks, and the size of the index.
#[utoipa::path(get, path = "/lar/v1/memories/stats", tag = "memories", params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = MemoryStats)))]
pub(crate) async fn stats(app: State, Reading(reader): Reading) -> Result<axum::Json<MemoryStats>, Failure> {
    let (stats, index_bytes) = app.memories.stats(&reader).await?;
    Ok(axum::Json(MemoryStats {
        memories: stats.memories,
        superseded: stats.superseded,
        deleted: stats.deleted,
        pinned: stats.pinned,
        chunks: stats.chunks,
        chunks_without_embeddings: stats.chunks_without_vectors,
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
    app: State,
    Reading(reader): Reading,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let memory = app.memories.get(&reader, memory_id(&id)?).await?;
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
    app: State,
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
        kind: patch.kind.as_deref().map(|text| kind("kind", text)).transpose()?,
        tags: patch.tags,
        project: patch.project,
        occurred_at: at("occurred_at", patch.occurred_at)?,
        valid_from: at("valid_from", patch.valid_from)?,
        valid_to: at("valid_to", patch.valid_to)?,
        pinned: patch.pinned,
        deleted: patch.deleted,
    };
    let expected = extract::if_match(&headers)?;
    let memory = app.memories.edit(&writer, memory_id(&id)?, edit, expected).await?;
    Ok(respond_with_etag(WriterView::of(&writer).memory(&memory), memory.version))
}

/// Delete a memory
///
/// The memory can be restored for 30 days. With `erase=true`, it is erased immediately and permanently.
#[utoipa::path(delete, path = "/lar/v1/memories/{id}", tag = "memories",
    params(("id" = String, Path), ("erase" = Option<bool>, Query), ("x-agent-id" = Option<String>, Header)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    app: State,
    Writing(writer): Writing,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let id = memory_id(&id)?;
    if extract::erases(request.uri())? {
        app.memories.erase(&writer, id).await?;
    } else {
        let edit = Edit { deleted: Some(true), ..Edit::default() };
        app.memories.edit(&writer, id, edit, None).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn item(new: NewMemory) -> Result<Item, Problem> {
    let at = |field: &str, time: Option<String>| time.map(|time| parse_time(field, &time)).transpose();
    Ok(Item {
        content: new.content,
        kind: new.kind.as_deref().map(|text| kind("kind", text)).transpose()?,
        tags: new.tags,
        source: new.source,
        project: new.project,
        occurred_at: at("occurred_at", new.occurred_at)?,
        valid_from: at("valid_from", new.valid_from)?,
        valid_to: at("valid_to", new.valid_to)?,
        after: new
            .after
            .map(|id| id.parse().map_err(|_| Problem::invalid("after", "must be the id of a memory")))
            .transpose()?,
        conversation: new.conversation,
        message: new.message,
    })
}

fn kind(field: &str, text: &str) -> Result<MemoryKind, Problem> {
    text.parse().map_err(|reason: String| Problem::invalid(field, reason))
}

/// Parses a time in the format of RFC 3339, or a day, which stands for its midnight in UTC.
fn parse_time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    let day = || format!("{text}T00:00:00Z").parse();
    text.parse().or_else(|_| day()).map_err(|_| {
        Problem::invalid(field, "must be a time as in 2026-11-26T10:00:00Z, or a day as in 2026-11-26")
    })
}

pub(crate) fn memory_id(text: &str) -> Result<MemoryId, Problem> {
    extract::id(text, "memory")
}

/// Returns a response with the memory, and with its version as the `ETag`.
fn respond_with_etag(memory: impl serde::Serialize, version: i64) -> Response {
    let mut response = axum::Json(memory).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
