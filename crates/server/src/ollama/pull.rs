//! `POST /api/pull` and `DELETE /api/delete`: getting models and removing them.

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
use crate::{State, extract, fields, pools};

/// A request for a model, read.
#[derive(Debug)]
pub(crate) struct PullInput {
    /// Without a tag.
    name: String,
    stream: bool,
}

/// Reads a request's body.
pub(crate) fn decode(body: &[u8]) -> Result<PullInput, Problem> {
    let (body, _) = fields::read(body, &[])?;
    let request: PullRequest = extract::from_value(&body)?;
    Ok(PullInput { name: strip_tag(request.model), stream: request.stream != Some(false) })
}

/// Gets a model and tells how far it is, in lines; it goes on when its caller goes away.
pub(crate) async fn pull(app: State, _: Admin, request: Request) -> Result<Response, Failure> {
    let PullInput { name, stream } = decode(&extract::body(request, &app).await?)?;
    // A pattern of an alias may fit a name that is not there.
    if app.catalog.resolve(&name).is_ok_and(|found| found.alias.is_none()) {
        let line = PullLine { status: Some(SUCCESS.into()), ..PullLine::default() };
        if !stream {
            return Ok(axum::Json(line).into_response());
        }
        let text = serde_json::to_string(&line).unwrap_or_default() + "\n";
        return Ok(stream_response(stream::iter([Ok(Bytes::from(text))])));
    }
    let source: Source = source_of(&name).parse()?;
    // A file of the server's machine is Lar's own way to get a model; this API names models.
    if matches!(source, Source::File(_)) {
        return Err(Problem::invalid(
            "model",
            "is no model that can be pulled; `lar models pull` lists some",
        )
        .into());
    }
    let mut progress = PullReporter { pull: app.catalog.pull(source, None), has_reported: false };
    if stream {
        let lines = stream::unfold(Some(progress), |progress| async move {
            let mut progress = progress?;
            let line = progress.next().await;
            let over = line.error.is_some() || line.status.as_deref() == Some(SUCCESS);
            let text = serde_json::to_string(&line).unwrap_or_default() + "\n";
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

/// Where a model of a known name comes from; what is none is a source itself.
fn source_of(name: &str) -> &str {
    let starters = STARTERS.map(|starter| (starter.name, starter.source));
    let known = RECOMMENDED.iter().map(|model| (model.name, model.source)).chain(starters);
    let mut named = known.filter(|(known, _)| *known == name);
    named.next().map_or(name, |(_, source)| source)
}

/// The last line of a pull that went well.
const SUCCESS: &str = "success";

/// A pull, and whether anything was told of it.
struct PullReporter {
    pull: Pull,
    has_reported: bool,
}

impl PullReporter {
    /// What there is to tell next; waits for news once something was told.
    async fn next(&mut self) -> PullLine {
        if self.has_reported && self.pull.progress.changed().await.is_err() {
            return PullLine { error: Some("the pull was given up".into()), ..PullLine::default() };
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

/// Uninstalls a model.
pub(crate) async fn delete(app: State, _: Admin, request: Request) -> Result<StatusCode, Failure> {
    let name = models::decode(&extract::body(request, &app).await?)?;
    pools::refuse_active(&app, &name)?;
    app.catalog.remove(&name).await?;
    app.gateway.engines().remove(&name);
    Ok(StatusCode::OK)
}
