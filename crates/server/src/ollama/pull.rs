//! `POST /api/pull` and `DELETE /api/delete`: pulls and removes models.

use std::convert::Infallible;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use lar_api::ollama::{PullLine, PullRequest};
use lar_base::{Code, Problem};
use lar_catalog::{Progress, Pull, RECOMMENDED, STARTERS, Source};

use super::lines::stream_response;
use super::{models, strip_tag};
use crate::auth::Admin;
use crate::errors::Failure;
use crate::json::to_json;
use crate::{State, extract, fields, pools};

/// A decoded request for a model.
#[derive(Debug)]
pub(crate) struct PullInput {
    /// The model's name without the tag `:latest`.
    name: String,
    stream: bool,
}

/// Decodes a request body.
pub(crate) fn decode(body: &[u8]) -> Result<PullInput, Problem> {
    let (body, _) = fields::read(body, &[])?;
    let request: PullRequest = extract::from_value(&body)?;
    Ok(PullInput { name: strip_tag(request.model), stream: request.stream != Some(false) })
}

/// Pulls a model and reports progress in lines. The pull continues after the client disconnects.
pub(crate) async fn pull(app: State, _: Admin, request: Request) -> Result<Response, Failure> {
    let PullInput { name, stream } = decode(&extract::body(request, &app).await?)?;
    // An alias may be a pattern that matches the name of a model that is not installed.
    if app.catalog.resolve(&name).is_ok_and(|found| found.alias.is_none()) {
        let line = PullLine { status: Some(SUCCESS.into()), ..PullLine::default() };
        if !stream {
            return Ok(axum::Json(line).into_response());
        }
        let text = to_json(&line) + "\n";
        return Ok(stream_response(stream::iter([Ok(Bytes::from(text))])));
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
    let mut progress = PullReporter { pull: app.catalog.pull(source, None), has_reported: false };
    if stream {
        let lines = stream::unfold(Some(progress), |progress| async move {
            let mut progress = progress?;
            let line = progress.next().await;
            let over = line.error.is_some() || line.status.as_deref() == Some(SUCCESS);
            let text = to_json(&line) + "\n";
            Some((Ok::<_, Infallible>(Bytes::from(text)), (!over).then_some(progress)))
        });
        return Ok(stream_response(lines));
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
                total: total.map(lar_base::Bytes::get),
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

/// Removes a model.
pub(crate) async fn delete(app: State, _: Admin, request: Request) -> Result<StatusCode, Failure> {
    let name = models::decode(&extract::body(request, &app).await?)?;
    pools::refuse_active(&app, &name)?;
    app.catalog.remove(&name).await?;
    app.gateway.engines().remove(&name);
    Ok(StatusCode::OK)
}
