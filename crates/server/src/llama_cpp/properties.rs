//! `GET /props`, `/slots`, `/lora-adapters`: the properties of a model's engine in llama.cpp's form.

use std::path::Path;

use axum::extract::State;
use axum::http::Uri;
use lar_agents::about_model;
use lar_base::Problem;
use lar_base::default_models::DEFAULT_CHAT;
use lar_catalog::FileRole;
use lar_compat::llama_cpp::settings;
use lar_compat::llama_cpp::wire::{DefaultSettings, Modalities, Properties, Slot};
use lar_compat::plain_name;
use lar_inference::Sampling;
use serde::Deserialize;
use serde_json::Value;

use crate::answers::AnswerState;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::query;

/// The prefix of file names that are digests.
const BLOB_PREFIX: &str = "sha256-";

#[derive(Debug, Deserialize)]
struct ModelQuery {
    model: Option<String>,
}

/// Returns the name and the status of the pool for the query's model, or for the default model.
async fn pool(state: &AnswerState, uri: &Uri) -> Result<(String, lar_engines::PoolStatus), Failure> {
    let ModelQuery { model } = query(uri)?;
    let named = model.as_deref().filter(|name| !name.trim().is_empty());
    let name = plain_name(named.unwrap_or(DEFAULT_CHAT)).to_owned();
    let route = state.gateway.route(&name).await.map_err(about_model)?;
    let found = state.gateway.engines().status().into_iter().find(|status| status.pool == route.pool);
    Ok((route.pool, found.ok_or_else(|| Problem::not_found("pool"))?))
}

pub(crate) async fn props(
    State(state): State<AnswerState>,
    _: Inference,
    uri: Uri,
) -> Result<axum::Json<Properties>, Failure> {
    let (name, status) = pool(&state, &uri).await?;
    let model = state.catalog.resolve(&name).ok().map(|found| found.model);
    let path = model.as_ref().and_then(|model| state.catalog.path(model, FileRole::Weights));
    let facts = model.as_ref().map(|model| &model.facts);
    let template = facts.and_then(|facts| facts.chat_template.clone()).unwrap_or_default();
    let defaults = Sampling { seed: settings::RANDOM_SEED, ..Sampling::default() };
    Ok(axum::Json(Properties {
        default_generation_settings: DefaultSettings {
            n_ctx: status.engine.context_tokens,
            params: settings::of(&defaults, true, 0, false),
        },
        total_slots: status.engine.concurrency,
        model_path: file_name(&name, path.as_deref(), facts.map(|facts| facts.format.as_str())),
        model_alias: name,
        chat_template: template,
        chat_template_caps: [].into(),
        bos_token: facts.map(|facts| facts.start_token.clone()).unwrap_or_default(),
        eos_token: facts.map(|facts| facts.end_token.clone()).unwrap_or_default(),
        modalities: Modalities::default(),
        build_info: format!("lar-{}", env!("CARGO_PKG_VERSION")),
        is_sleeping: false,
    }))
}

/// Returns the name of a model's file without its directory, which callers need not know.
///
/// For a file that is named by its digest, the name is derived from the model's name.
fn file_name(model: &str, path: Option<&Path>, format: Option<&str>) -> String {
    let own = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match (own, format) {
        (Some(own), _) if !own.starts_with(BLOB_PREFIX) => own,
        (_, Some("gguf")) => format!("{model}.gguf"),
        _ => model.to_owned(),
    }
}

pub(crate) async fn slots(
    State(state): State<AnswerState>,
    _: Inference,
    uri: Uri,
) -> Result<axum::Json<Vec<Slot>>, Failure> {
    let (_, status) = pool(&state, &uri).await?;
    let slot = |id: u32| Slot {
        id,
        n_ctx: status.engine.context_tokens,
        speculative: false,
        is_processing: (id as usize) < status.active,
    };
    Ok(axum::Json((0..status.engine.concurrency).map(slot).collect()))
}

/// Returns an empty list, because Lar has no LoRA adapters.
pub(crate) async fn lora_adapters(_: Inference) -> axum::Json<[Value; 0]> {
    axum::Json([])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_file_is_named_without_its_folder() {
        let name_of = |path: Option<&str>, format| file_name("small", path.map(Path::new), format);
        assert_eq!(name_of(Some("/home/me/models/Small-Q4.gguf"), Some("gguf")), "Small-Q4.gguf");
        assert_eq!(name_of(Some("/data/blobs/sha256-0123"), Some("gguf")), "small.gguf");
        assert_eq!(name_of(Some("/data/blobs/sha256-0123"), Some("safetensors")), "small");
        assert_eq!(name_of(None, None), "small");
    }
}
