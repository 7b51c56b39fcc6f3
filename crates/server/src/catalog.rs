//! `/lar/v1/catalog`: installed models, recommended models, and pulls. [`view`] makes the models on the wire.

pub(crate) mod pulls;
mod speed;
pub(crate) mod starter;
mod view;

use axum::Json;
use axum::extract::State;
use lar_api::Page;
use lar_api::models::{Model as Wire, RecommendedModel};
use lar_catalog::{Catalog, ModelFolders, ModelRecommendation, RECOMMENDED};
use lar_engines::device;
use lar_gateway::Gateway;
use serde_json::json;

use self::view::{ModelStates, redact_for};
use crate::auth::{Admin, Inference};
use crate::errors::Failure;
use crate::extract::Path;
use crate::pools;

/// List models
///
/// Returns the installed models, sorted by name, then the models of remote engines.
#[utoipa::path(get, path = "/lar/v1/catalog/models", tag = "catalog", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(
    State(catalog): State<Catalog>,
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
) -> Json<Page<Wire>> {
    let states = ModelStates::read(catalog, gateway).await;
    let data = states.all().into_iter().map(|model| redact_for(&caller, model));
    Json(Page { data: data.collect(), next: None })
}

/// Show a model
///
/// The path names the model by its name or an alias.
#[utoipa::path(get, path = "/lar/v1/catalog/models/{name}", tag = "catalog", params(("name" = String, Path)),
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show(
    State(catalog): State<Catalog>,
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    Path(name): Path<String>,
) -> Result<Json<Wire>, Failure> {
    let model = catalog.resolve(&name)?.model;
    let states = ModelStates::read(catalog, gateway).await;
    Ok(Json(redact_for(&caller, states.installed(&model))))
}

/// Uninstall a model
///
/// Deletes the model's files, except adopted ones. Fails while tasks run on the model.
#[utoipa::path(delete, path = "/lar/v1/catalog/models/{name}", tag = "catalog", params(("name" = String, Path)),
    responses((status = 200), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    State(catalog): State<Catalog>,
    State(gateway): State<Gateway>,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Failure> {
    pools::refuse_active(gateway.engines(), &name)?;
    let freed = catalog.remove(&name).await?;
    gateway.engines().remove(&name);
    Ok(Json(json!({ "removed": name, "freed_bytes": freed })))
}

/// Verify a model
///
/// Compares the model's files with their recorded digests. `differing` names the files that do not match.
#[utoipa::path(post, path = "/lar/v1/catalog/models/{name}/verify", tag = "catalog", params(("name" = String, Path)),
    responses((status = 200), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn verify(
    State(catalog): State<Catalog>,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Failure> {
    let wrong = catalog.verify(&name).await?;
    Ok(Json(json!({ "verified": wrong.is_empty(), "differing": wrong })))
}

/// List recommended models
///
/// Returns Lar's list of models, smallest first, with their expected speed on this machine and whether they
/// fit in its memory.
#[utoipa::path(get, path = "/lar/v1/catalog/recommended", tag = "catalog",
    responses((status = 200, body = Page<RecommendedModel>)))]
pub(crate) async fn recommended(
    State(catalog): State<Catalog>,
    State(gateway): State<Gateway>,
    _: Inference,
) -> Json<Page<RecommendedModel>> {
    let memory = device::memory().map(|memory| memory.total).unwrap_or_default();
    let installed = catalog.list();
    let speed = speed::find(&catalog, &gateway).await;
    let wire = |model: &ModelRecommendation| {
        let (tokens_per_second, basis) = speed.of(model);
        let present = installed.iter().find(|found| found.name == model.name);
        let footprint =
            present.map_or_else(|| gateway.expected_footprint(model), |present| gateway.footprint(present));
        RecommendedModel {
            name: model.name.into(),
            source: model.source.into(),
            about: model.about.into(),
            license: model.license.into(),
            size_bytes: model.size.get(),
            memory_bytes: footprint.total().get(),
            context_tokens: model.context_tokens,
            fits: model.fits(memory),
            tokens_per_second: speed::round(tokens_per_second),
            speed: basis,
            recommended: model.suits(memory, tokens_per_second),
            installed: present.is_some(),
        }
    };
    Json(Page { data: RECOMMENDED.iter().map(wire).collect(), next: None })
}

/// Adopt models
///
/// Registers the GGUF files of Ollama, LM Studio and the Hugging Face cache without copying them.
#[utoipa::path(post, path = "/lar/v1/catalog/adopt", tag = "catalog", responses((status = 200)))]
pub(crate) async fn adopt(
    State(catalog): State<Catalog>,
    State(model_folders): State<ModelFolders>,
    _: Admin,
) -> Result<Json<serde_json::Value>, Failure> {
    let mut rows = Vec::new();
    for found in catalog.find_adoptable(model_folders).await? {
        let (program, path) = (found.program, found.path.clone());
        let row = match catalog.adopt(found, |_| {}).await {
            Ok(model) => json!({ "program": program, "path": path, "model": model.name }),
            Err(error) => json!({ "program": program, "path": path, "error": error.to_string() }),
        };
        rows.push(row);
    }
    Ok(Json(json!({ "data": rows })))
}
