//! `/lar/v1/catalog/starter`: the starter models, chosen for this machine.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use lar_api::Page;
use lar_api::models::{ModelKind, StarterModel};
use lar_catalog::{Catalog, Choice, DEFAULT_CHAT, Kind, Machine, Model, STARTER_CHAT, STARTER_EMBEDDING};
use lar_engines::device;
use lar_gateway::Gateway;
use serde::Deserialize;

use super::speed;
use crate::auth::Admin;
use crate::errors::Failure;
use crate::extract;

/// The query parameters of the choice.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StarterQuery {
    /// Whether to choose the smallest model for every machine.
    #[serde(default)]
    minimal: bool,
}

/// Choose starter models
///
/// Returns a chat model and an embedding model for this machine. The chat model is the one behind `default`,
/// or another installed one that suits the machine, unless it is the smallest starter model. Otherwise Lar
/// chooses one from its list, and checks whether the model hub is reachable.
#[utoipa::path(get, path = "/lar/v1/catalog/starter", tag = "catalog", params(("minimal" = Option<bool>, Query)),
    responses((status = 200, body = Page<StarterModel>)))]
pub(crate) async fn show(
    State(catalog): State<Catalog>,
    State(gateway): State<Gateway>,
    _: Admin,
    uri: Uri,
) -> Result<Json<Page<StarterModel>>, Failure> {
    let query: StarterQuery = extract::query(&uri)?;
    let embedder = StarterModel {
        name: STARTER_EMBEDDING.name.into(),
        kind: ModelKind::Embedding,
        source: STARTER_EMBEDDING.source.into(),
        size_bytes: STARTER_EMBEDDING.size.get(),
        tokens_per_second: None,
        installed: catalog.list().iter().any(|model| model.kind == Kind::Embedding),
        reason: "for finding memories and documents by meaning".into(),
    };
    let chat = chat(&catalog, &gateway, query.minimal).await;
    Ok(Json(Page { data: vec![chat, embedder], next: None }))
}

async fn chat(catalog: &Catalog, gateway: &Gateway, minimal: bool) -> StarterModel {
    let installed = catalog.list();
    let memory = device::memory().map(|memory| memory.total).unwrap_or_default();
    let machine = Machine { memory, speed: speed::find(catalog, gateway).await.decode, hub: true };
    if let Some(model) = installed_choice(catalog, &installed, &machine).filter(|_| !minimal) {
        return StarterModel {
            name: model.name.clone(),
            kind: ModelKind::Chat,
            source: model.source.clone(),
            size_bytes: model.size().get(),
            tokens_per_second: None,
            installed: true,
            reason: "already installed".into(),
        };
    }
    let (choice, reason) = if minimal {
        (machine.minimal(), "the smallest model, as requested".to_owned())
    } else {
        let from_hub = machine.starter();
        let answers = match from_hub.source.parse() {
            Ok(source) => catalog.hub_answers(&source).await,
            Err(_) => false,
        };
        let choice = if answers { from_hub } else { Machine { hub: false, ..machine }.starter() };
        (choice, reason(memory, choice, answers))
    };
    StarterModel {
        name: choice.name.into(),
        kind: ModelKind::Chat,
        source: choice.source.into(),
        size_bytes: choice.size.get(),
        tokens_per_second: Some(speed::round(choice.tokens_per_second)),
        installed: installed.iter().any(|model| model.name == choice.name),
        reason,
    }
}

/// Returns the installed chat model to start with: the model behind `default`, or else the largest that suits
/// the machine. The smallest starter model does not count.
fn installed_choice(catalog: &Catalog, installed: &[Arc<Model>], machine: &Machine) -> Option<Arc<Model>> {
    let better = |model: &Arc<Model>| model.kind == Kind::Chat && model.digest() != STARTER_CHAT.sha256;
    let default = catalog.resolve(DEFAULT_CHAT).ok().map(|found| found.model);
    default.filter(better).or_else(|| {
        let suits = |model: &&Arc<Model>| machine.suits(model.weights_size(), speed::active(model));
        let suiting = installed.iter().filter(|model| better(model)).filter(suits);
        suiting.max_by_key(|model| model.weights_size()).cloned()
    })
}

fn reason(memory: lar_base::Bytes, choice: Choice, hub: bool) -> String {
    let cores = device::cores();
    let machine = format!("{memory} of memory, {cores} {}", if cores == 1 { "core" } else { "cores" });
    let from = if hub { "" } else { "; from Python packages, because the model hub does not answer" };
    if choice.name == STARTER_CHAT.name {
        return format!("the smallest model, because this machine is very small: {machine}{from}");
    }
    format!("the best for this machine: {machine}{from}")
}
