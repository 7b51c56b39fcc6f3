//! `/lar/v1/aliases`: additional names of models.

use axum::extract::State;
use axum::http::StatusCode;
use lar_api::Page;
use lar_api::models::Alias;
use lar_base::Problem;
use lar_catalog::Catalog;

use crate::auth::{Admin, Inference};
use crate::errors::Failure;
use crate::extract::{Json, Path};

/// List aliases
///
/// Returns all aliases, sorted by name.
#[utoipa::path(get, path = "/lar/v1/aliases", tag = "catalog", responses((status = 200, body = Page<Alias>)))]
pub(crate) async fn list(State(catalog): State<Catalog>, _: Inference) -> axum::Json<Page<Alias>> {
    let data = catalog.aliases().into_iter().map(|(name, target)| Alias { name, target }).collect();
    axum::Json(Page { data, next: None })
}

/// Set an alias
///
/// Creates an alias of an installed model, or points an existing alias to another model.
#[utoipa::path(post, path = "/lar/v1/aliases", tag = "catalog", request_body = Alias,
    responses((status = 200, body = Alias), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn set(
    State(catalog): State<Catalog>,
    _: Admin,
    Json(alias): Json<Alias>,
) -> Result<axum::Json<Alias>, Failure> {
    catalog.alias_set(alias.name.clone(), alias.target.clone()).await?;
    Ok(axum::Json(alias))
}

/// Remove an alias
#[utoipa::path(delete, path = "/lar/v1/aliases/{name}", tag = "catalog", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    State(catalog): State<Catalog>,
    _: Admin,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    if catalog.alias_remove(name.clone()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found(format!("alias `{name}`")).into())
    }
}
