//! `/lar/v1/memories/inbox`: texts that may be worth saving, for the user to accept or reject. Also
//! `/lar/v1/memories/clients`: the keys that used memories.
//!
//! An entry of the inbox is visible to the key that added it, and to the user's keys with the scope
//! `conversations`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use lar_api::Page;
use lar_api::memories::{Accept, Candidate as Wire, MemoryClient, SmartIngestResult};
use lar_base::CandidateId;
use lar_memory::{InboxEntry, Memories};

use super::access::{Reading, Writing};
use super::view::{WriterView, kind_to_wire, show_linked};
use crate::errors::Failure;
use crate::extract::{self, Json, PAGE_MAX, Path};

/// The query parameters of a page of the inbox.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InboxQuery {
    limit: Option<String>,
    after: Option<String>,
}

/// List inbox entries
///
/// Returns the entries, newest first, at most 200 per page. Lar deletes an entry after 14 days. A key without
/// the scope `conversations` gets only the entries that it added.
#[utoipa::path(get, path = "/lar/v1/memories/inbox", tag = "memories",
    params(("limit" = Option<u32>, Query), ("after" = Option<String>, Query),
           ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Page<Wire>), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn list(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    request: Request,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    let page: InboxQuery = extract::query(request.uri())?;
    let limit = page.limit.as_deref().map_or(Ok(PAGE_MAX), |limit| extract::limit(Some(limit)))?;
    let after: Option<CandidateId> = extract::after(page.after.as_deref())?;
    let waiting = memories.inbox(&reader, after, limit).await?;
    let last = || waiting.last().map(|last| last.candidate.id.to_string());
    let next = (waiting.len() == limit as usize).then(last).flatten();
    let candidates = waiting.into_iter().map(|InboxEntry { candidate, may_replace }| Wire {
        id: candidate.id.to_string(),
        content: candidate.content,
        kind: kind_to_wire(candidate.kind),
        reason: candidate.reason,
        space: candidate.space.to_string(),
        conversation: candidate.provenance.conversation,
        created_at: candidate.created_at.to_string(),
        may_replace: may_replace.map(|memory| show_linked(&reader, &memory)),
    });
    Ok(axum::Json(Page { data: candidates.collect(), next }))
}

/// Accept an inbox entry
///
/// If the entry may replace a memory that is still current, the text supersedes this memory; with `keep_both`,
/// it is saved beside it. Otherwise saves the text by smart ingest, which compares it with existing memories.
#[utoipa::path(post, path = "/lar/v1/memories/inbox/{id}/accept", tag = "memories", request_body = Accept,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = SmartIngestResult), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn accept(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(accept): Json<Accept>,
) -> Result<axum::Json<SmartIngestResult>, Failure> {
    let Accept { content, keep_both } = accept;
    let decided = memories.accept(&writer, extract::id(&id, "candidate")?, content, keep_both).await?;
    Ok(axum::Json(WriterView::of(&writer).show_decision(&decided)))
}

/// Reject an inbox entry
///
/// Deletes the entry.
#[utoipa::path(post, path = "/lar/v1/memories/inbox/{id}/reject", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn reject(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    memories.dismiss(&writer, extract::id(&id, "candidate")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List keys that used memories
///
/// Returns when each key last read and changed these memories, starting with the key that used them last.
#[utoipa::path(get, path = "/lar/v1/memories/clients", tag = "memories",
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Page<MemoryClient>)))]
pub(crate) async fn clients(
    State(memories): State<Memories>,
    Reading(reader): Reading,
) -> Result<axum::Json<Page<MemoryClient>>, Failure> {
    let clients = memories.clients(&reader).await?.into_iter().map(|client| MemoryClient {
        key: client.key.to_string(),
        name: client.name,
        space: client.space.to_string(),
        read_at: client.read_at.map(|at| at.to_string()),
        written_at: client.written_at.map(|at| at.to_string()),
    });
    Ok(axum::Json(Page { data: clients.collect(), next: None }))
}
