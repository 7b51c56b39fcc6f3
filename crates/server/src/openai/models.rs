//! `GET /v1/models`, `GET /v1/models/{id}`: installed models and aliases.

use axum::Json;
use axum::extract::Path;
use lar_api::openai::{Model, ModelList};

use super::about_model;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::{App, State};

pub(crate) async fn list(app: State, _: Inference) -> Json<ModelList> {
    Json(ModelList { object: "list", data: all(&app) })
}

pub(crate) async fn show(app: State, _: Inference, Path(id): Path<String>) -> Result<Json<Model>, Failure> {
    if let Some(model) = all(&app).into_iter().find(|model| model.id == id) {
        return Ok(Json(model));
    }
    let error = match app.catalog.resolve(&id) {
        Err(error) => error.into(),
        Ok(_) => lar_base::Problem::not_found("model of this name"),
    };
    Err(Failure(about_model(error)))
}

fn all(app: &App) -> Vec<Model> {
    let model = |id: String, created: i64| Model { id, object: "model", created, owned_by: "lar" };
    let installed = app.catalog.list();
    let named = installed.iter().map(|found| model(found.name.clone(), found.added_at.as_seconds()));
    let aliases = app.catalog.aliases().into_iter().filter_map(|(name, target)| {
        let found = installed.iter().find(|found| found.name == target)?;
        Some(model(name, found.added_at.as_seconds()))
    });
    let remotes = app.gateway.remotes().map(|remote| model(remote.name.clone(), 0));
    named.chain(aliases).chain(remotes).collect()
}
