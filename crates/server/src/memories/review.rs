//! Reviews of and feedback on a memory, its history, and undo.

use lar_api::Page;
use lar_api::memories::{MemoryChange, MemoryFeedback, Review, Undo, UndoResult, WrittenMemory};
use lar_base::{MemoryId, Problem, Timestamp};
use lar_memory::strength::Event;
use lar_memory::{Edit, WriteAccess};

use super::view::WriterView;
use super::{Reading, Writing, memory_id};
use crate::errors::Failure;
use crate::extract::{Json, Path};
use crate::json::to_value;
use crate::{App, State};

/// The maximum length of a reason.
pub(crate) const REASON_CHARS_MAX: usize = 500;

/// Promote a memory
///
/// Marks the memory as more important, which strengthens it.
#[utoipa::path(post, path = "/lar/v1/memories/{id}/promote", tag = "memories", request_body = Review,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = WrittenMemory), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn promote(
    app: State,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(review): Json<Review>,
) -> Result<axum::Json<WrittenMemory>, Failure> {
    let reason = check_reason(review.reason)?;
    let memory = app.memories.review(&writer, memory_id(&id)?, Event::Promoted, reason).await?;
    Ok(axum::Json(WriterView::of(&writer).memory(&memory)))
}

/// Demote a memory
///
/// Marks the memory as less important, which weakens it.
#[utoipa::path(post, path = "/lar/v1/memories/{id}/demote", tag = "memories", request_body = Review,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = WrittenMemory), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn demote(
    app: State,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(review): Json<Review>,
) -> Result<axum::Json<WrittenMemory>, Failure> {
    let reason = check_reason(review.reason)?;
    let memory = app.memories.review(&writer, memory_id(&id)?, Event::Demoted, reason).await?;
    Ok(axum::Json(WriterView::of(&writer).memory(&memory)))
}

/// Give feedback on a memory
///
/// `useful` strengthens the memory, `wrong` weakens it, and `outdated` ends its validity now.
#[utoipa::path(post, path = "/lar/v1/memories/{id}/feedback", tag = "memories", request_body = MemoryFeedback,
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = WrittenMemory), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn feedback(
    app: State,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(feedback): Json<MemoryFeedback>,
) -> Result<axum::Json<WrittenMemory>, Failure> {
    Ok(axum::Json(apply_feedback(&app, &writer, memory_id(&id)?, &feedback.feedback, feedback.reason).await?))
}

/// Applies feedback to a memory, and returns the memory as the writer may see it.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`] for unknown feedback or a long reason; errors of the memories.
pub(crate) async fn apply_feedback(
    app: &App,
    writer: &WriteAccess,
    id: MemoryId,
    feedback: &str,
    reason: Option<String>,
) -> Result<WrittenMemory, Problem> {
    let reason = check_reason(reason)?;
    let memory = match feedback {
        "useful" => app.memories.review(writer, id, Event::Used, reason).await?,
        "wrong" => app.memories.review(writer, id, Event::Wrong, reason).await?,
        "outdated" => {
            let edit = Edit { valid_to: Some(Some(Timestamp::now())), ..Edit::default() };
            app.memories.edit(writer, id, edit, None).await?
        }
        _ => return Err(Problem::invalid("feedback", "must be useful, wrong or outdated")),
    };
    Ok(WriterView::of(writer).memory(&memory))
}

/// List the changes of a memory
///
/// Returns the history of the memory, oldest change first.
#[utoipa::path(get, path = "/lar/v1/memories/{id}/history", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = Page<MemoryChange>), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn history(
    app: State,
    Reading(reader): Reading,
    Path(id): Path<String>,
) -> Result<axum::Json<Page<MemoryChange>>, Failure> {
    let changes = app.memories.history(&reader, memory_id(&id)?).await?;
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
    app: State,
    Writing(writer): Writing,
    Path(id): Path<String>,
    Json(undo): Json<Undo>,
) -> Result<axum::Json<UndoResult>, Failure> {
    let expected = undo.decision.map(|id| id.parse()).transpose();
    let expected =
        expected.map_err(|_| Problem::invalid("decision", "must be the id of a decision, chg_…"))?;
    let undone = app.memories.undo(&writer, memory_id(&id)?, expected).await?;
    let view = WriterView::of(&writer);
    Ok(axum::Json(UndoResult { memories: undone.iter().map(|memory| view.memory(memory)).collect() }))
}

fn check_reason(reason: Option<String>) -> Result<Option<String>, Problem> {
    match &reason {
        Some(text) if text.chars().count() > REASON_CHARS_MAX => {
            Err(Problem::invalid("reason", format!("must have at most {REASON_CHARS_MAX} characters")))
        }
        _ => Ok(reason),
    }
}
