//! `/lar/v1/memories/links`: pairs of memories of which the newer may make the older outdated, for a person to
//! decide about.

use axum::extract::{Request, State};
use lar_api::Page;
use lar_api::memories::{MemoryLink, ResolveLink, ResolvedLink};
use lar_base::{LinkId, Problem};
use lar_memory::{LinkPage, Memories};
use lar_store::LinkResolution;

use super::access::{Reading, Writing};
use super::view::{WriterView, show_link};
use crate::errors::Failure;
use crate::extract::{self, Json, Path};

/// The decisions that a person can make.
pub(crate) const RESOLUTIONS: [LinkResolution; 3] =
    [LinkResolution::Replace, LinkResolution::KeepBoth, LinkResolution::Merge];

/// The query parameters of a page of links.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkQuery {
    limit: Option<String>,
    after: Option<String>,
}

/// List links between memories
///
/// Returns the links that nobody has decided about, newest first. Both memories of such a link are current.
#[utoipa::path(get, path = "/lar/v1/memories/links", tag = "memories",
    params(("limit" = Option<u32>, Query), ("after" = Option<String>, Query),
           ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Page<MemoryLink>), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn list(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    request: Request,
) -> Result<axum::Json<Page<MemoryLink>>, Failure> {
    let page: LinkQuery = extract::query(request.uri())?;
    let limit = extract::limit(page.limit.as_deref())?;
    let after: Option<LinkId> = extract::after(page.after.as_deref())?;
    let LinkPage { pairs, next } = memories.open_links(&reader, after, limit).await?;
    let data = pairs.into_iter().map(|pair| show_link(&reader, pair)).collect();
    Ok(axum::Json(Page { data, next: next.map(|id| id.to_string()) }))
}

/// Decide about a link between memories
///
/// Replaces the older memory, keeps both, or merges them. Undo reverts the decision and opens the link again.
/// Returns 409 if somebody has decided already, or if one of the memories is no longer current.
#[utoipa::path(post, path = "/lar/v1/memories/links/{id}", tag = "memories", request_body = ResolveLink,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = ResolvedLink), (status = 400, body = lar_api::ProblemBody),
              (status = 404, body = lar_api::ProblemBody), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn resolve(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(resolve): Json<ResolveLink>,
) -> Result<axum::Json<ResolvedLink>, Failure> {
    let resolution = parse_resolution(&resolve.resolution)?;
    let memory = memories.resolve_link(&writer, extract::id(&id, "link")?, resolution).await?;
    Ok(axum::Json(ResolvedLink { memory: WriterView::of(&writer).memory(&memory) }))
}

fn parse_resolution(text: &str) -> Result<LinkResolution, Problem> {
    let found = RESOLUTIONS.into_iter().find(|resolution| resolution.as_str() == text);
    found.ok_or_else(|| Problem::invalid("resolution", "must be replace, keep_both or merge"))
}
