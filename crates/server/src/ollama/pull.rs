//! `POST /api/pull` and `DELETE /api/delete`: pulls and removes models.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lar_base::json::to_json;
use lar_base::{Bytes, Code, Problem};
use lar_catalog::{Catalog, Progress, Pull, RECOMMENDED, STARTERS, Source};
use lar_compat::Frame;
use lar_compat::ollama::models::{PullInput, decode_name, decode_pull};
use lar_compat::ollama::wire::PullLine;

use super::respond_once;
use crate::answers::AnswerState;
use crate::auth::Admin;
use crate::errors::Failure;
use crate::extract::{JSON_LINES, JsonBody};
use crate::{pools, sse};

/// Pulls a model and reports progress in lines. The pull continues after the client disconnects.
pub(crate) async fn pull(
    State(catalog): State<Catalog>,
    _: Admin,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let PullInput { name, stream } = body.read(decode_pull)?;
    // An alias may be a pattern that matches the name of a model that is not installed.
    if catalog.resolve(&name).is_ok_and(|found| found.alias.is_none()) {
        let line = PullLine { status: Some(SUCCESS.into()), ..PullLine::default() };
        return Ok(respond_once(&line, stream));
    }
    let source: Source = source_of(&name).parse()?;
    // Only Lar's own API may import a file of the server.
    if matches!(source, Source::File(_)) {
        return Err(Problem::invalid(
            "model",
            "is not a model that can be pulled; `lar models pull` lists some",
        )
        .into());
    }
    let mut progress = PullReporter { pull: catalog.pull(source, None), has_reported: false };
    if stream {
        return Ok(sse::frames_response(PullLines(Some(progress)), JSON_LINES));
    }
    loop {
        let line = progress.next().await;
        if let Some(error) = line.error {
            return Err(Problem::new(Code::ComponentUnavailable, error).into());
        }
        if line.status.as_deref() == Some(SUCCESS) {
            return Ok(axum::Json(line).into_response());
        }
    }
}

/// Returns the source of a recommended or starter model. Any other name is a source itself.
fn source_of(name: &str) -> &str {
    let starters = STARTERS.map(|starter| (starter.name, starter.source));
    let known = RECOMMENDED.iter().map(|model| (model.name, model.source)).chain(starters);
    let mut named = known.filter(|(known, _)| *known == name);
    named.next().map_or(name, |(_, source)| source)
}

/// The status in the last line of a successful pull.
const SUCCESS: &str = "success";

/// A pull, and whether any progress has been reported.
struct PullReporter {
    pull: Pull,
    has_reported: bool,
}

impl PullReporter {
    /// Returns the current progress. After the first call, waits for a change.
    async fn next(&mut self) -> PullLine {
        if self.has_reported && self.pull.progress.changed().await.is_err() {
            let error = Some("the pull stopped before it finished".into());
            return PullLine { error, ..PullLine::default() };
        }
        self.has_reported = true;
        let source = self.pull.source.to_string();
        match self.pull.progress.borrow_and_update().clone() {
            Progress::Downloading { done, total } => PullLine {
                status: Some(format!("pulling {source}")),
                digest: Some(source),
                total: total.map(Bytes::get),
                completed: Some(done.get()),
                error: None,
            },
            Progress::Verifying { .. } => {
                PullLine { status: Some("verifying sha256 digest".into()), ..PullLine::default() }
            }
            Progress::Done { .. } => PullLine { status: Some(SUCCESS.into()), ..PullLine::default() },
            Progress::Failed { reason } => PullLine { error: Some(reason), ..PullLine::default() },
        }
    }
}

/// The lines of a streamed pull; without a pull after the last line.
struct PullLines(Option<PullReporter>);

impl sse::FrameSource for PullLines {
    async fn next(&mut self) -> Option<Vec<Frame>> {
        let line = self.0.as_mut()?.next().await;
        if line.error.is_some() || line.status.as_deref() == Some(SUCCESS) {
            self.0 = None;
        }
        Some(vec![Frame::Line(to_json(&line))])
    }
}

/// Removes a model.
pub(crate) async fn delete(
    State(state): State<AnswerState>,
    _: Admin,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Failure> {
    let name = body.read(decode_name)?;
    pools::refuse_active(state.gateway.engines(), &name)?;
    state.catalog.remove(&name).await?;
    state.gateway.engines().remove(&name);
    Ok(StatusCode::OK)
}
