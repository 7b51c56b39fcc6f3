//! `/lar/v1/memories/consolidation`: runs that compare memories in idle hours, and what they propose.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use lar_api::Page;
use lar_api::memories::{
    AcceptedProposal, AcceptedRun, Consolidation, ConsolidationActivity, ConsolidationRun, Proposal,
    ProposalConflict, UndoConflict, UndoneRun,
};
use lar_base::{Problem, ProposalId, RunId};
use lar_memory::{ConsolidationState, Memories};

use super::access::{Reading, Writing};
use super::view::{WriterView, show_proposal};
use crate::errors::Failure;
use crate::extract::{self, Path};

/// The query parameters of a page of runs.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RunQuery {
    limit: Option<String>,
    after: Option<String>,
}

/// The query parameters of a page of proposals.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ProposalQuery {
    run: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

/// Show the state of consolidation
///
/// Returns what Lar does now, and what waits for a decision.
#[utoipa::path(get, path = "/lar/v1/memories/consolidation", tag = "memories",
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Consolidation)))]
pub(crate) async fn show(
    State(memories): State<Memories>,
    Reading(reader): Reading,
) -> Result<axum::Json<Consolidation>, Failure> {
    let (state, to_compare, open) = memories.consolidation_state(&reader).await?;
    let activity = match state {
        ConsolidationState::Off => ConsolidationActivity::Off,
        ConsolidationState::Idle => ConsolidationActivity::Idle,
        ConsolidationState::Waiting => ConsolidationActivity::Waiting,
        ConsolidationState::Comparing => ConsolidationActivity::Comparing,
    };
    Ok(axum::Json(Consolidation {
        activity,
        to_compare,
        open_proposals: open.proposals,
        open_links: open.links,
    }))
}

/// List consolidation runs
///
/// Returns runs, newest first. Runs of idle hours that found nothing are left out once they have ended.
#[utoipa::path(get, path = "/lar/v1/memories/consolidation/runs", tag = "memories",
    params(("limit" = Option<u32>, Query), ("after" = Option<String>, Query),
           ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Page<ConsolidationRun>), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn list_runs(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    request: Request,
) -> Result<axum::Json<Page<ConsolidationRun>>, Failure> {
    let page: RunQuery = extract::query(request.uri())?;
    let limit = extract::limit(page.limit.as_deref())?;
    let after: Option<RunId> = extract::after(page.after.as_deref())?;
    let runs = memories.consolidation_runs(&reader, after, limit).await?;
    let last = || runs.last().map(|last| last.id.to_string());
    let next = (runs.len() == limit as usize).then(last).flatten();
    Ok(axum::Json(Page { data: runs.iter().map(show_run).collect(), next }))
}

/// Start a consolidation run
///
/// Compares the memories of the space that were saved or changed since the last run, in the background. If a run
/// goes on there, returns that one.
#[utoipa::path(post, path = "/lar/v1/memories/consolidation/runs", tag = "memories",
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 202, body = ConsolidationRun), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn start(
    State(memories): State<Memories>,
    Writing(writer): Writing,
) -> Result<(StatusCode, axum::Json<ConsolidationRun>), Failure> {
    let run = memories.start_consolidation(&writer).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(show_run(&run))))
}

/// Show a consolidation run
#[utoipa::path(get, path = "/lar/v1/memories/consolidation/runs/{id}", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = ConsolidationRun), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show_one(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    Path(id): Path<String>,
) -> Result<axum::Json<ConsolidationRun>, Failure> {
    let run = memories.consolidation_run(&reader, extract::id(&id, "consolidation run")?).await?;
    Ok(axum::Json(show_run(&run)))
}

/// Accept all proposals of a run
///
/// Accepts the open proposals, the oldest first. Its links stay open.
#[utoipa::path(post, path = "/lar/v1/memories/consolidation/runs/{id}/accept", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = AcceptedRun), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn accept_run(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
) -> Result<axum::Json<AcceptedRun>, Failure> {
    let done = memories.accept_run(&writer, extract::id(&id, "consolidation run")?).await?;
    let conflicts = done.conflicts.into_iter();
    Ok(axum::Json(AcceptedRun {
        accepted: done.accepted.iter().map(ToString::to_string).collect(),
        conflicts: conflicts
            .map(|(proposal, reason)| ProposalConflict { proposal: proposal.to_string(), reason })
            .collect(),
    }))
}

/// Undo a run
///
/// Takes back what was accepted from the run, the latest first, and withdraws its open proposals and links. A
/// change of a memory that changed since stays and is named. A run in progress ends.
#[utoipa::path(post, path = "/lar/v1/memories/consolidation/runs/{id}/undo", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = UndoneRun), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn undo_run(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
) -> Result<axum::Json<UndoneRun>, Failure> {
    let done = memories.undo_run(&writer, extract::id(&id, "consolidation run")?).await?;
    let view = WriterView::of(&writer);
    let conflicts = done.conflicts.into_iter();
    Ok(axum::Json(UndoneRun {
        memories: done.undone.iter().map(|memory| view.memory(memory)).collect(),
        withdrawn: done.withdrawn,
        conflicts: conflicts
            .map(|conflict| UndoConflict { memory: conflict.memory.to_string(), reason: conflict.reason })
            .collect(),
    }))
}

/// List proposals
///
/// Returns the proposals that nobody has decided about, newest first; with `run`, only those of this run.
#[utoipa::path(get, path = "/lar/v1/memories/consolidation/proposals", tag = "memories",
    params(("run" = Option<String>, Query), ("limit" = Option<u32>, Query), ("after" = Option<String>, Query),
           ("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = Page<Proposal>), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn list_proposals(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    request: Request,
) -> Result<axum::Json<Page<Proposal>>, Failure> {
    let page: ProposalQuery = extract::query(request.uri())?;
    let limit = extract::limit(page.limit.as_deref())?;
    let after: Option<ProposalId> = extract::after(page.after.as_deref())?;
    let run: Option<RunId> = page.run.as_deref().map(str::parse).transpose().map_err(|_| not_a_run())?;
    let (proposals, next) = memories.open_proposals(&reader, run, after, limit).await?;
    let data = proposals.into_iter().map(|proposal| show_proposal(&reader, proposal)).collect();
    Ok(axum::Json(Page { data, next: next.map(|id| id.to_string()) }))
}

/// Accept a proposal
///
/// Makes the change as one decision, which undo of any of the changed memories reverts. Returns 409 if somebody has
/// decided already, or if a memory is no longer current.
#[utoipa::path(post, path = "/lar/v1/memories/consolidation/proposals/{id}/accept", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = AcceptedProposal), (status = 404, body = lar_api::ProblemBody),
              (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn accept(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
) -> Result<axum::Json<AcceptedProposal>, Failure> {
    let changed = memories.accept_proposal(&writer, extract::id(&id, "proposal")?).await?;
    let view = WriterView::of(&writer);
    Ok(axum::Json(AcceptedProposal { memories: changed.iter().map(|memory| view.memory(memory)).collect() }))
}

/// Reject a proposal
///
/// Lar does not propose the same two memories, or the same theme, again.
#[utoipa::path(post, path = "/lar/v1/memories/consolidation/proposals/{id}/reject", tag = "memories",
    params(("id" = String, Path), ("x-agent-id" = Option<String>, Header)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody),
              (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn reject(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    memories.reject_proposal(&writer, extract::id(&id, "proposal")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn not_a_run() -> Problem {
    Problem::invalid("run", "must be the id of a run, run_…")
}

fn show_run(run: &lar_store::ConsolidationRun) -> ConsolidationRun {
    ConsolidationRun {
        id: run.id.to_string(),
        space: run.space.to_string(),
        started_by: run.key.map(|key| key.to_string()),
        started_at: run.started_at.to_string(),
        ended_at: run.ended_at.map(|at| at.to_string()),
        undone_at: run.undone_at.map(|at| at.to_string()),
        memories: run.memories,
        pairs: run.pairs,
        duplicates: run.duplicates,
        links: run.links,
        themes: run.themes,
        open: run.open,
        accepted: run.accepted,
    }
}
