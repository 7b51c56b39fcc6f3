//! Reviews of and feedback on a memory, its history, and undo.

use axum::extract::State;
use lar_api::Page;
use lar_api::memories::{MemoryChange, MemoryFeedback, Review, Undo, UndoResult, WrittenMemory};
use lar_base::Problem;
use lar_base::json::to_value;
use lar_memory::Memories;
use lar_memory::strength::Event;

use super::access::{Reading, Writing};
pub(crate) use super::feedback::REASON_CHARS_MAX;
use super::feedback::{apply_feedback, check_reason};
use super::parse::parse_memory_id;
use super::view::WriterView;
use crate::errors::Failure;
use crate::extract::{Json, Path};

/// Promote a memory
///
/// Marks the memory as more important, which strengthens it.
#[utoipa::path(post, path = "/lar/v1/memories/{id}/promote", tag = "memories", request_body = Review,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = WrittenMemory), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn promote(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(review): Json<Review>,
) -> Result<axum::Json<WrittenMemory>, Failure> {
    let reason = check_reason(review.reason)?;
    let memory = memories.review(&writer, parse_memory_id(&id)?, Event::Promoted, reason).await?;
    Ok(axum::Json(WriterView::of(&writer).memory(&memory)))
}

/// Demote a memory
///
/// Marks the memory as less important, which weakens it.
#[utoipa::path(post, path = "/lar/v1/memories/{id}/demote", tag = "memories", request_body = Review,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = WrittenMemory), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn demote(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(review): Json<Review>,
) -> Result<axum::Json<WrittenMemory>, Failure> {
    let reason = check_reason(review.reason)?;
    let memory = memories.review(&writer, parse_memory_id(&id)?, Event::Demoted, reason).await?;
    Ok(axum::Json(WriterView::of(&writer).memory(&memory)))
}

/// Give feedback on a memory
///
/// `useful` strengthens the memory, `wrong` weakens it, and `outdated` ends its validity now.
#[utoipa::path(post, path = "/lar/v1/memories/{id}/feedback", tag = "memories", request_body = MemoryFeedback,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = WrittenMemory), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn feedback(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(feedback): Json<MemoryFeedback>,
) -> Result<axum::Json<WrittenMemory>, Failure> {
    let MemoryFeedback { feedback, reason } = feedback;
    let memory = apply_feedback(&memories, &writer, parse_memory_id(&id)?, &feedback, reason).await?;
    Ok(axum::Json(WriterView::of(&writer).memory(&memory)))
}

/// List the changes of a memory
///
/// Returns the history of the memory, oldest change first.
#[utoipa::path(get, path = "/lar/v1/memories/{id}/history", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = Page<MemoryChange>), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn history(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    Path(id): Path<String>,
) -> Result<axum::Json<Page<MemoryChange>>, Failure> {
    let changes = memories.history(&reader, parse_memory_id(&id)?).await?;
    let history = changes.into_iter().map(|change| MemoryChange {
        id: change.id.to_string(),
        at: change.at.to_string(),
        by: change.key.to_string(),
        action: change.action,
        reason: change.reason,
        decision: change.decision.to_string(),
        before: to_value(&change.before),
        undone_by: change.undone_by.map(|id| id.to_string()),
    });
    Ok(axum::Json(Page { data: history.collect(), next: None }))
}

/// Undo the last decision about a memory
///
/// Reverts the changes of the decision in every memory that it changed.
#[utoipa::path(post, path = "/lar/v1/memories/{id}/undo", tag = "memories", request_body = Undo,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = UndoResult), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn undo(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(undo): Json<Undo>,
) -> Result<axum::Json<UndoResult>, Failure> {
    let expected = undo.decision.map(|id| id.parse()).transpose();
    let expected =
        expected.map_err(|_| Problem::invalid("decision", "must be the id of a decision, chg_…"))?;
    let undone = memories.undo(&writer, parse_memory_id(&id)?, expected).await?;
    let view = WriterView::of(&writer);
    Ok(axum::Json(UndoResult { memories: undone.iter().map(|memory| view.memory(memory)).collect() }))
}
