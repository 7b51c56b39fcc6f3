//! `/lar/v1/memories/intentions`: texts of which the user wants to be reminded, and `…/check`, which finds those
//! that are due in a context.

pub(crate) mod parse;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use lar_api::Page;
use lar_api::memories::{
    DueIntention as WireDue, DueIntentions, Intention as Wire, IntentionCheck, IntentionPatch, NewIntention,
};
use lar_base::{IntentionId, Timestamp};
use lar_memory::{DueContext, Memories, Repetition};

use self::parse::{check_context, parse_intention_id, parse_new, parse_patch, parse_status_filter};
use super::access::{Reading, Writing};
use super::view::{WriterView, show_intention};
use crate::errors::Failure;
use crate::extract::{self, Json, Path};

/// The most intentions that a check returns.
pub(crate) const DUE_MAX: usize = 20;

/// Create an intention
///
/// Returns 201 for a new intention. If an active one has the same text and trigger, returns that one with 200.
#[utoipa::path(post, path = "/lar/v1/memories/intentions", tag = "memories", request_body = NewIntention,
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 201, body = Wire), (status = 200, body = Wire),
              (status = 400, body = lar_api::ProblemBody), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Json(new): Json<NewIntention>,
) -> Result<(StatusCode, axum::Json<Wire>), Failure> {
    let made = memories.create_intention(&writer, parse_new(new, Timestamp::now())?).await?;
    let status = if made.created { StatusCode::CREATED } else { StatusCode::OK };
    let shown = Wire { redacted: made.redacted, ..WriterView::of(&writer).intention(&made.intention) };
    Ok((status, axum::Json(shown)))
}

/// The query parameters of a page of intentions.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentionQuery {
    status: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

/// List intentions
///
/// Returns intentions, newest first: with `status` only the active ones (also if they are snoozed), those that
/// are done, or those that were cancelled. Without it, returns all.
#[utoipa::path(get, path = "/lar/v1/memories/intentions", tag = "memories",
    params(("status" = Option<String>, Query), ("limit" = Option<u32>, Query), ("after" = Option<String>, Query),
           ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Page<Wire>), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn list(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    request: Request,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    let page: IntentionQuery = extract::query(request.uri())?;
    let limit = extract::limit(page.limit.as_deref())?;
    let after: Option<IntentionId> = extract::after(page.after.as_deref())?;
    let status = page.status.as_deref().map(parse_status_filter).transpose()?.flatten();
    let found = memories.intentions(&reader, status, after, limit).await?;
    let last = || found.last().map(|last| last.id.to_string());
    let next = (found.len() == limit as usize).then(last).flatten();
    let data = found.iter().map(|intention| show_intention(&reader, intention)).collect();
    Ok(axum::Json(Page { data, next }))
}

/// Show an intention
#[utoipa::path(get, path = "/lar/v1/memories/intentions/{id}", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    Path(id): Path<String>,
) -> Result<axum::Json<Wire>, Failure> {
    let intention = memories.intention(&reader, parse_intention_id(&id)?).await?;
    Ok(axum::Json(show_intention(&reader, &intention)))
}

/// Change an intention
///
/// Completes, cancels, reopens, snoozes or edits an intention. A snoozed intention is not due until the snooze
/// ends; after that, its trigger applies again.
#[utoipa::path(patch, path = "/lar/v1/memories/intentions/{id}", tag = "memories", request_body = IntentionPatch,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Wire), (status = 400, body = lar_api::ProblemBody),
              (status = 404, body = lar_api::ProblemBody), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn update(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(patch): Json<IntentionPatch>,
) -> Result<axum::Json<Wire>, Failure> {
    let id = parse_intention_id(&id)?;
    let patch = parse_patch(patch, Timestamp::now())?;
    let changed = memories.update_intention(&writer, id, patch).await?;
    Ok(axum::Json(WriterView::of(&writer).intention(&changed)))
}

/// Delete an intention
///
/// It is erased immediately and permanently. To keep it in the list, set its status to `done` or `cancelled`.
#[utoipa::path(delete, path = "/lar/v1/memories/intentions/{id}", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    memories.erase_intention(&writer, parse_intention_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Find intentions that are due
///
/// Returns the intentions that are due now in this context, and why. An intention is returned once an hour for
/// a key, or once an hour in each `conversation` of it.
#[utoipa::path(post, path = "/lar/v1/memories/intentions/check", tag = "memories", request_body = IntentionCheck,
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = DueIntentions), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn check(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    Json(check): Json<IntentionCheck>,
) -> Result<axum::Json<DueIntentions>, Failure> {
    let conversation = check.conversation.clone();
    if let Some(conversation) = &conversation {
        parse::check_line("conversation", conversation)?;
    }
    let repetition = conversation.map_or(Repetition::Hourly, Repetition::HourlyIn);
    let context = DueContext {
        texts: check.message.into_iter().chain(check.topics).collect(),
        project: check.project,
        codebase: check.codebase,
        file: check.file,
    };
    check_context(&context)?;
    let due = memories.due_intentions(&reader, context, Timestamp::now(), repetition, DUE_MAX).await?;
    let due = due.iter().map(|due| WireDue {
        intention: show_intention(&reader, &due.intention),
        cause: due.cause.as_str().into(),
        reason: due.reason.clone(),
    });
    Ok(axum::Json(DueIntentions { due: due.collect() }))
}
