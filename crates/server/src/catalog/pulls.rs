//! `/lar/v1/catalog/pulls`: downloads of models. A pull continues when its caller disconnects.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lar_api::Page;
use lar_api::models::{NewPull, Pull as Wire, PullState};
use lar_base::Problem;
use lar_catalog::{Catalog, Progress, Pull, Source};

use crate::auth::Admin;
use crate::errors::Failure;
use crate::extract::Json;

/// Pull a model
///
/// Starts to download and install a model. If a pull of the same source is running, returns that pull.
#[utoipa::path(post, path = "/lar/v1/catalog/pulls", tag = "catalog", request_body = NewPull,
    responses((status = 202, body = Wire), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(catalog): State<Catalog>,
    _: Admin,
    Json(new): Json<NewPull>,
) -> Result<Response, Failure> {
    let source: Source = new.source.parse()?;
    if let Source::File(path) = &source
        && !path.exists()
    {
        return Err(Problem::invalid(
            "source",
            format!("names {}, which is not a file or folder on the server's machine", path.display()),
        )
        .into());
    }
    let pull = catalog.pull(source, new.name);
    Ok((StatusCode::ACCEPTED, axum::Json(to_wire(&pull))).into_response())
}

/// List pulls
///
/// Returns all pulls since Lar started.
#[utoipa::path(get, path = "/lar/v1/catalog/pulls", tag = "catalog", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(State(catalog): State<Catalog>, _: Admin) -> axum::Json<Page<Wire>> {
    axum::Json(Page { data: catalog.pulls().iter().map(to_wire).collect(), next: None })
}

fn to_wire(pull: &Pull) -> Wire {
    let wire = Wire {
        source: pull.source.to_string(),
        state: PullState::Done,
        done_bytes: 0,
        total_bytes: None,
        name: None,
        reason: None,
    };
    match pull.progress.borrow().clone() {
        Progress::Downloading { done, total } => Wire {
            state: PullState::Downloading,
            done_bytes: done.get(),
            total_bytes: total.map(lar_base::Bytes::get),
            ..wire
        },
        Progress::Verifying { done, total } => Wire {
            state: PullState::Verifying,
            done_bytes: done.get(),
            total_bytes: Some(total.get()),
            ..wire
        },
        Progress::Done { name } => Wire { state: PullState::Done, name: Some(name), ..wire },
        Progress::Failed { reason } => Wire { state: PullState::Failed, reason: Some(reason), ..wire },
    }
}
