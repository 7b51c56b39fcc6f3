//! `POST /lar/v1/memories/batch/dry-run`: the decisions that saving several memories would lead to.
//!
//! A path of its own, not a parameter of `memories/batch`: a server that does not know it answers 404, where an
//! ignored parameter would save the memories.

use axum::extract::State;
use lar_api::memories::{DryRunOutcome, DryRunResult, DryRunResults, NewMemories};
use lar_memory::{IngestPreview, Memories};

use super::access::Writing;
use super::parse::parse_item;
use crate::errors::Failure;
use crate::extract::Json;

/// Preview saving several memories
///
/// Decides about each memory as `POST /lar/v1/memories/batch` does, and saves none. A refused memory does not
/// refuse the others.
#[utoipa::path(post, path = "/lar/v1/memories/batch/dry-run", tag = "memories", request_body = NewMemories,
    params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = DryRunResults), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Json(new): Json<NewMemories>,
) -> Result<axum::Json<DryRunResults>, Failure> {
    let items = new.items.into_iter().map(parse_item).collect();
    let previews = memories.preview_ingest(&writer, items).await?;
    Ok(axum::Json(DryRunResults { items: previews.into_iter().map(show_preview).collect() }))
}

fn show_preview(preview: IngestPreview) -> DryRunResult {
    let result = |outcome| DryRunResult { outcome, id: None, redacted: Vec::new(), reason: None };
    match preview {
        IngestPreview::Create { redacted } => DryRunResult { redacted, ..result(DryRunOutcome::Create) },
        IngestPreview::Duplicate { of } => {
            DryRunResult { id: of.map(|id| id.to_string()), ..result(DryRunOutcome::Duplicate) }
        }
        IngestPreview::Refuse(problem) => {
            DryRunResult { reason: Some(problem.detail), ..result(DryRunOutcome::Refuse) }
        }
    }
}
