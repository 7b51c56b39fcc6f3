//! `/lar/v1/catalog`: installed models, recommended models, and pulls.

pub(crate) mod pulls;
mod speed;
pub(crate) mod starter;

use std::collections::BTreeMap;

use axum::Json;
use lar_api::Page;
use lar_api::models::{MemoryParts, Model as Wire, RecommendedModel};
use lar_base::{Caller, Scope};
use lar_catalog::{FileRole, Kind, Model, ModelRecommendation, RECOMMENDED, STARTER_CHAT, STARTER_EMBEDDING};
use lar_engines::device;
use lar_engines::pools::{PoolState, PoolStatus};
use serde_json::json;

use crate::auth::{Admin, Inference};
use crate::errors::{Failure, file_names};
use crate::extract::Path;
use crate::pools::{self, state_name};
use crate::{App, State};

/// List models
///
/// Returns the installed models, sorted by name, then the models of remote engines.
#[utoipa::path(get, path = "/lar/v1/catalog/models", tag = "catalog", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(app: State, Inference(caller): Inference) -> Json<Page<Wire>> {
    let speeds = app.gateway.measured_speeds().await;
    let data = all(&app, &speeds).into_iter().map(|model| redact_for(&caller, model));
    Json(Page { data: data.collect(), next: None })
}

/// Show a model
///
/// The path names the model by its name or an alias.
#[utoipa::path(get, path = "/lar/v1/catalog/models/{name}", tag = "catalog", params(("name" = String, Path)),
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show(
    app: State,
    Inference(caller): Inference,
    Path(name): Path<String>,
) -> Result<Json<Wire>, Failure> {
    let pools = app.gateway.engines().status();
    let speeds = app.gateway.measured_speeds().await;
    let model = to_wire(&app, &app.catalog.resolve(&name)?.model, &pools, &speeds);
    Ok(Json(redact_for(&caller, model)))
}

/// Uninstall a model
///
/// Deletes the model's files, except adopted ones. Fails while tasks run on the model.
#[utoipa::path(delete, path = "/lar/v1/catalog/models/{name}", tag = "catalog", params(("name" = String, Path)),
    responses((status = 200), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    app: State,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Failure> {
    pools::refuse_active(&app, &name)?;
    let freed = app.catalog.remove(&name).await?;
    app.gateway.engines().remove(&name);
    Ok(Json(json!({ "removed": name, "freed_bytes": freed })))
}

/// Verify a model
///
/// Compares the model's files with their recorded digests. `differing` names the files that do not match.
#[utoipa::path(post, path = "/lar/v1/catalog/models/{name}/verify", tag = "catalog", params(("name" = String, Path)),
    responses((status = 200), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn verify(
    app: State,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, Failure> {
    let wrong = app.catalog.verify(&name).await?;
    Ok(Json(json!({ "verified": wrong.is_empty(), "differing": wrong })))
}

/// List recommended models
///
/// Returns Lar's list of models, smallest first, with their expected speed on this machine and whether they
/// fit in its memory.
#[utoipa::path(get, path = "/lar/v1/catalog/recommended", tag = "catalog",
    responses((status = 200, body = Page<RecommendedModel>)))]
pub(crate) async fn recommended(app: State, _: Inference) -> Json<Page<RecommendedModel>> {
    let memory = device::memory().map(|memory| memory.total).unwrap_or_default();
    let installed = app.catalog.list();
    let speed = speed::find(&app).await;
    let wire = |model: &ModelRecommendation| {
        let (tokens_per_second, basis) = speed.of(model);
        RecommendedModel {
            name: model.name.into(),
            source: model.source.into(),
            about: model.about.into(),
            license: model.license.into(),
            size_bytes: model.size.get(),
            memory_bytes: model.memory().get(),
            context_tokens: model.context_tokens,
            fits: model.fits(memory),
            tokens_per_second: speed::round(tokens_per_second),
            speed: basis.into(),
            recommended: model.suits(memory, tokens_per_second),
            installed: installed.iter().any(|found| found.name == model.name),
        }
    };
    Json(Page { data: RECOMMENDED.iter().map(wire).collect(), next: None })
}

/// Adopt models
///
/// Registers the GGUF files of Ollama, LM Studio and the Hugging Face cache without copying them.
#[utoipa::path(post, path = "/lar/v1/catalog/adopt", tag = "catalog", responses((status = 200)))]
pub(crate) async fn adopt(app: State, _: Admin) -> Result<Json<serde_json::Value>, Failure> {
    let mut rows = Vec::new();
    for found in app.catalog.find_adoptable(app.places.clone()).await? {
        let (program, path) = (found.program, found.path.clone());
        let row = match app.catalog.adopt(found, |_| {}).await {
            Ok(model) => json!({ "program": program, "path": path, "model": model.name }),
            Err(error) => json!({ "program": program, "path": path, "error": error.to_string() }),
        };
        rows.push(row);
    }
    Ok(Json(json!({ "data": rows })))
}

/// Returns a model as the caller may see it: without the scope `admin`, file paths have no folders.
fn redact_for(caller: &Caller, mut model: Wire) -> Wire {
    if !caller.has(Scope::Admin) {
        for text in [&mut model.reason, &mut model.license_file].into_iter().flatten() {
            *text = file_names(text).into_owned();
        }
        model.source = file_names(&model.source).into_owned();
    }
    model
}

fn all(app: &App, speeds: &BTreeMap<String, f64>) -> Vec<Wire> {
    let pools = app.gateway.engines().status();
    let mut models: Vec<Wire> =
        app.catalog.list().iter().map(|model| to_wire(app, model, &pools, speeds)).collect();
    for remote in app.gateway.remotes() {
        let Some(pool) = pools.iter().find(|pool| pool.pool == remote.name) else { continue };
        let mut model = remote_model(&remote.name, pool);
        model.context_tokens = pool.engine.context_tokens;
        model.source = remote.url.clone();
        models.push(model);
    }
    models
}

fn to_wire(app: &App, model: &Model, pools: &[PoolStatus], speeds: &BTreeMap<String, f64>) -> Wire {
    let pool = pools.iter().find(|pool| pool.pool == model.name);
    let context = app.gateway.context_of(model);
    let footprint = app.gateway.footprint(model);
    let aliases = app.catalog.aliases().into_iter().filter(|(_, target)| *target == model.name);
    Wire {
        name: model.name.clone(),
        kind: match model.kind {
            Kind::Chat => "chat".into(),
            Kind::Embedding => "embedding".into(),
            Kind::Rerank => "rerank".into(),
        },
        state: pool.map_or("unloaded", |pool| state_name(&pool.state)).into(),
        reason: pool.and_then(reason),
        engine: pool.map(|pool| pool.engine.name.clone()),
        active: pool.map_or(0, |pool| pool.active as u64),
        waiting: pool.map_or(0, |pool| pool.waiting.iter().sum::<usize>() as u64),
        context_tokens: context,
        context_tokens_trained: model.facts.context_tokens,
        size_bytes: model.size().get(),
        memory_bytes: footprint.total().get(),
        memory: MemoryParts {
            weights_bytes: footprint.weights.get(),
            context_bytes: footprint.context.get(),
            slots: footprint.slots,
            compute_bytes: footprint.compute.get(),
            draft_bytes: footprint.draft.get(),
            prompt_cache_max_bytes: footprint.prompt_cache_max.get(),
        },
        tokens_per_second: speeds.get(&model.name).copied(),
        digest: model.digest().into(),
        architecture: Some(model.facts.architecture.clone()),
        quantization: model.facts.quantization.clone(),
        license: model.facts.license.clone(),
        attribution: model.attribution.clone(),
        license_file: app.catalog.path(model, FileRole::License).map(|path| path.display().to_string()),
        parameters: model.facts.parameters,
        source: model.source.clone(),
        aliases: aliases.map(|(name, _)| name).collect(),
        starter: [STARTER_CHAT, STARTER_EMBEDDING].iter().any(|starter| starter.sha256 == model.digest()),
        added_at: Some(model.added_at.to_string()),
    }
}

/// Returns the model of a remote engine, most of whose properties are unknown.
fn remote_model(name: &str, pool: &PoolStatus) -> Wire {
    Wire {
        name: name.into(),
        kind: "chat".into(),
        state: state_name(&pool.state).into(),
        reason: reason(pool),
        engine: Some(pool.engine.name.clone()),
        active: pool.active as u64,
        waiting: pool.waiting.iter().sum::<usize>() as u64,
        context_tokens: 0,
        context_tokens_trained: 0,
        size_bytes: 0,
        memory_bytes: 0,
        memory: MemoryParts::default(),
        tokens_per_second: None,
        digest: String::new(),
        architecture: None,
        quantization: None,
        license: None,
        attribution: None,
        license_file: None,
        parameters: 0,
        source: String::new(),
        aliases: Vec::new(),
        starter: false,
        added_at: None,
    }
}

fn reason(pool: &PoolStatus) -> Option<String> {
    match &pool.state {
        PoolState::Failed(reason) => Some(reason.clone()),
        _ => None,
    }
}
