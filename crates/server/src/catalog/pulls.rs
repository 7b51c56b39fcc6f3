//! `/lar/v1/catalog/pulls`: downloads of models. A pull continues when its caller disconnects.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lar_api::Page;
use lar_api::models::{NewPull, Pull as Wire};
use lar_base::Problem;
use lar_catalog::{Progress, Pull, Source};

use crate::State;
use crate::auth::Admin;
use crate::errors::Failure;
use crate::extract::Json;

/// Pull a model
///
/// Starts to download and install a model. If a pull of the same source is running, returns that pull.
#[utoipa::path(post, path = "/lar/v1/catalog/pulls", tag = "catalog", request_body = NewPull,
    responses((status = 202, body = Wire), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(app: State, _: Admin, Json(new): Json<NewPull>) -> Result<Response, Failure> {
    let source: Source = new.source.parse()?;
    if let Source::File(path) = &source
        && !path.is_file()
    {
        return Err(Problem::invalid(
            "source",
            format!("names {}, which is not a file on the server's machine", path.display()),
        )
        .into());
    }
    let pull = app.catalog.pull(source, new.name);
    Ok((StatusCode::ACCEPTED, axum::Json(to_wire(&pull))).into_response())
}

/// List pulls
///
/// Returns all pulls since Lar started.
#[utoipa::path(get, path = "/lar/v1/catalog/pulls", tag = "catalog", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(app: State, _: Admin) -> axum::Json<Page<Wire>> {
    axum::Json(Page { data: app.catalog.pulls().iter().map(to_wire).collect(), next: None })
}

fn to_wire(pull: &Pull) -> Wire {
    let mut wire = Wire {
        source: pull.source.to_string(),
        state: String::new(),
        done_bytes: 0,
        total_bytes: None,
        name: None,
        reason: None,
    };
    let state = match pull.progress.borrow().clone() {
        Progress::Downloading { done, total } => {
            (wire.done_bytes, wire.total_bytes) = (done.get(), total.map(lar_base::Bytes::get));
            "downloading"
        }
        Progress::Verifying { done, total } => {
            (wire.done_bytes, wire.total_bytes) = (done.get(), Some(total.get()));
            "verifying"
        }
        Progress::Done { name } => {
            wire.name = Some(name);
            "done"
        }
        Progress::Failed { reason } => {
            wire.reason = Some(reason);
            "failed"
        }
    };
    wire.state = state.into();
    wire
}
