//! `POST /lar/v1/memories/batch/dry-run` and `POST /lar/v1/memories/import/dry-run`: the decisions that saving
//! several memories, or importing exported ones, would lead to.
//!
//! They have paths of their own, not a parameter of `memories/batch`: a server that does not know one answers 404,
//! where an ignored parameter would save the memories.

use axum::extract::{Request, State};
use lar_api::memories::{
    DryRunOutcome, DryRunResult, DryRunResults, ExportedLine, ImportDryRun, ImportLineResult, NewMemories,
};
use lar_base::secret::hex;
use lar_memory::{IngestPreview, LineDecision, LinePreview, Memories};

use super::access::Writing;
use super::parse::parse_item;
use super::transfer::{import_intention, import_memory, is_intention};
use crate::body_limits::BodyReceiver;
use crate::errors::Failure;
use crate::extract::{Json, LineReaders, results_of_json_lines};

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

/// Preview an import of memories
///
/// Decides about each exported memory and intention as `POST /lar/v1/memories/import` does with one line, after the
/// accepted lines before it. Stores none. A refused line does not refuse the others.
#[utoipa::path(post, path = "/lar/v1/memories/import/dry-run", tag = "memories",
    request_body(content = ExportedLine, content_type = "application/x-ndjson"),
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = ImportDryRun), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn import(
    State(memories): State<Memories>,
    State(receiver): State<BodyReceiver>,
    Writing(writer): Writing,
    request: Request,
) -> Result<axum::Json<ImportDryRun>, Failure> {
    let space = writer.space();
    let readers = LineReaders {
        convert: |line| import_memory(space, line),
        is_other: is_intention,
        convert_other: |line| import_intention(space, line),
    };
    let read = results_of_json_lines(request, &receiver, readers).await?;
    let (numbers, lines): (Vec<usize>, Vec<_>) = read.into_iter().unzip();
    let preview = memories.preview_import(&writer, lines).await?;
    let items = numbers.into_iter().zip(preview.lines).map(|(line, preview)| show_line(line, preview));
    Ok(axum::Json(ImportDryRun {
        items: items.collect(),
        active_intentions_left: preview.active_intentions_left,
    }))
}

fn show_line(line: usize, preview: LinePreview) -> ImportLineResult {
    let (outcome, reason) = match preview.decision {
        LineDecision::Create => (DryRunOutcome::Create, None),
        LineDecision::Exists => (DryRunOutcome::Duplicate, None),
        LineDecision::Refuse(problem) => (DryRunOutcome::Refuse, Some(problem.detail)),
    };
    ImportLineResult {
        line,
        outcome,
        id: preview.id,
        digest: preview.hash.map(|hash| hex(&hash)),
        active_intention: preview.is_active_intention,
        reason,
    }
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
