//! `GET /v1/models`, `GET /v1/models/{id}`: installed and remote models and aliases.
//!
//! Clients of Anthropic's API get responses in Anthropic's form.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_base::{Caller, Timestamp};
use lar_catalog::{DEFAULT_CHAT, Kind};
use lar_compat::anthropic::wire::{AnthropicModel, AnthropicModelList};
use lar_compat::openai::wire::{OpenAiModel, OpenAiModelList};
use lar_compat::plain_name;

use crate::answers::AnswerState;
use crate::api::ANTHROPIC_VERSION;
use crate::auth::Inference;
use crate::compat_caller;
use crate::errors::Failure;
use crate::extract::Path;

pub(crate) async fn list(
    State(state): State<AnswerState>,
    Inference(caller): Inference,
    headers: HeaderMap,
) -> Response {
    let data = all(&state, &caller);
    if headers.contains_key(ANTHROPIC_VERSION) {
        let data: Vec<AnthropicModel> = data.into_iter().map(to_anthropic).collect();
        let (first_id, last_id) =
            (data.first().map(|model| model.id.clone()), data.last().map(|model| model.id.clone()));
        return Json(AnthropicModelList { data, has_more: false, first_id, last_id }).into_response();
    }
    Json(OpenAiModelList { object: "list", data }).into_response()
}

pub(crate) async fn show(
    State(state): State<AnswerState>,
    Inference(caller): Inference,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    if let Some(model) = all(&state, &caller).into_iter().find(|model| model.id == id) {
        return Ok(respond(&headers, model));
    }
    let error = match state.catalog.resolve(plain_name(&id)) {
        Err(error) => error.into(),
        Ok(found) => {
            let created = found.model.added_at.as_seconds();
            return Ok(respond(&headers, OpenAiModel { id, object: "model", created, owned_by: "lar" }));
        }
    };
    Err(Failure(about_model(error)))
}

fn respond(headers: &HeaderMap, model: OpenAiModel) -> Response {
    match headers.contains_key(ANTHROPIC_VERSION) {
        true => Json(to_anthropic(model)).into_response(),
        false => Json(model).into_response(),
    }
}

fn to_anthropic(model: OpenAiModel) -> AnthropicModel {
    let created = Timestamp::from_millis(model.created.saturating_mul(1000));
    AnthropicModel {
        kind: "model",
        display_name: model.id.clone(),
        id: model.id,
        created_at: created.to_string(),
    }
}

/// Returns all models: `default` first, then the other chat models, then the rest. Some apps preselect the first model.
fn all(state: &AnswerState, caller: &Caller) -> Vec<OpenAiModel> {
    let model = |id: String, created: i64| OpenAiModel { id, object: "model", created, owned_by: "lar" };
    let installed = state.catalog.list();
    let of = |id: String, found: &lar_catalog::Model| {
        let other = found.kind != Kind::Chat;
        ((other, id != DEFAULT_CHAT), model(id, found.added_at.as_seconds()))
    };
    let named = installed.iter().map(|found| of(found.name.clone(), found));
    let named_ones = state.catalog.aliases().into_iter().filter(|(name, _)| !name.contains('*'));
    let aliases = named_ones.filter_map(|(name, target)| {
        let found = installed.iter().find(|found| found.name == target)?;
        Some(of(name, found))
    });
    let default = state.catalog.resolve(DEFAULT_CHAT).ok();
    let with_memory =
        compat_caller::default_with_memory(caller).zip(default).map(|(name, found)| of(name, &found.model));
    let remotes = state.gateway.remotes().map(|remote| ((false, true), model(remote.name.clone(), 0)));
    let mut all: Vec<_> = named.chain(aliases).chain(with_memory).chain(remotes).collect();
    all.sort_by_key(|(order, _)| *order);
    all.into_iter().map(|(_, model)| model).collect()
}
