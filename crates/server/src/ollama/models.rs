//! `GET /api/tags`, `GET /api/ps`, `POST /api/show`, `GET /api/version`: models and the version of the API.

use axum::Json;
use axum::extract::State;
use lar_agents::about_model;
use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Instant, Timestamp};
use lar_catalog::{Catalog, Kind, Model as Installed};
use lar_compat::ollama::FOREVER;
use lar_compat::ollama::models::decode_name;
use lar_compat::ollama::wire::{Details, Models, OllamaModel, ShowResponse, Version};
use lar_compat::plain_name;
use lar_engines::pools::PoolState;
use serde_json::{Map, json};

use crate::answers::AnswerState;
use crate::auth::Inference;
use crate::compat_caller;
use crate::errors::Failure;
use crate::extract::JsonBody;

/// The Ollama release whose API this is. Clients enable features by version.
const VERSION: &str = "0.12.11";
/// The expiry time of a model that stays loaded until its memory is needed.
const FAR_FUTURE: &str = "2318-01-01T00:00:00Z";

pub(crate) async fn version() -> Json<Version> {
    Json(Version { version: VERSION })
}

/// Lists the installed models, and the default model under the name `default`, with and without memory.
///
/// Clients offer only the names in this list.
pub(crate) async fn tags(State(catalog): State<Catalog>, Inference(caller): Inference) -> Json<Models> {
    let model = |found: &Installed| OllamaModel {
        modified_at: Some(found.added_at.to_string()),
        expires_at: None,
        size_vram: None,
        ..listed(found, found.size().get())
    };
    let default = catalog.resolve(DEFAULT_CHAT).ok();
    let named = |name: String| {
        default.as_ref().map(|found| OllamaModel { name: name.clone(), model: name, ..model(&found.model) })
    };
    let installed = catalog.list();
    let installed = installed.iter().map(|found| model(found));
    let with_memory = compat_caller::default_with_memory(&caller).and_then(named);
    Json(Models {
        models: named(DEFAULT_CHAT.into()).into_iter().chain(installed).chain(with_memory).collect(),
    })
}

pub(crate) async fn ps(State(state): State<AnswerState>, _: Inference) -> Json<Models> {
    let pools = state.gateway.engines().status();
    let ready = pools.iter().filter(|pool| pool.state == PoolState::Ready);
    let models = ready.filter_map(|pool| {
        let found = state.catalog.resolve(&pool.pool).ok()?.model;
        let left = pool.unloads_at.map(|at| at.since(Instant::now()));
        let unloads_at =
            left.filter(|left| *left < FOREVER / 2).map(|left| Timestamp::now().after(left).to_string());
        let expires_at = Some(unloads_at.unwrap_or_else(|| FAR_FUTURE.into()));
        Some(OllamaModel { expires_at, size_vram: Some(0), ..listed(&found, pool.memory.get()) })
    });
    Json(Models { models: models.collect() })
}

pub(crate) async fn show(
    State(catalog): State<Catalog>,
    _: Inference,
    JsonBody(body): JsonBody,
) -> Result<Json<ShowResponse>, Failure> {
    let name = body.read(decode_name)?;
    let resolved = catalog.resolve(plain_name(&name)).map_err(|error| about_model(error.into()))?;
    let (model, facts) = (&resolved.model, &resolved.model.facts);
    let mut info = Map::new();
    info.insert("general.architecture".into(), json!(facts.architecture));
    info.insert("general.parameter_count".into(), json!(facts.parameters));
    info.insert(format!("{}.context_length", facts.architecture), json!(facts.context_tokens));
    let capabilities = match model.kind {
        Kind::Embedding => vec!["embedding"],
        Kind::Chat => vec!["completion", "tools"],
        Kind::Rerank => vec![],
    };
    Ok(Json(ShowResponse {
        modelfile: format!("FROM {}\n", model.name),
        parameters: "",
        template: facts.chat_template.clone().unwrap_or_default(),
        license: facts.license.clone().unwrap_or_default(),
        details: details(model),
        model_info: info,
        capabilities,
        modified_at: model.added_at.to_string(),
    }))
}

fn listed(model: &Installed, size: u64) -> OllamaModel {
    OllamaModel {
        name: model.name.clone(),
        model: model.name.clone(),
        size,
        digest: model.digest().to_owned(),
        details: details(model),
        modified_at: None,
        expires_at: None,
        size_vram: None,
    }
}

fn details(model: &Installed) -> Details {
    let facts = &model.facts;
    let parameters = match facts.parameters {
        count @ 1_000_000_000.. => format!("{:.1}B", count as f64 / 1e9),
        count => format!("{:.0}M", count as f64 / 1e6),
    };
    Details {
        parent_model: "",
        format: facts.format.clone(),
        family: facts.architecture.clone(),
        families: vec![facts.architecture.clone()],
        parameter_size: parameters,
        quantization_level: facts.quantization.clone().unwrap_or_default(),
    }
}
