//! `/lar/v1/clients`: the clients that can be connected to Lar, how to connect each, and when each was last
//! seen.
//!
//! The recipes are in `crates/clients`. This API writes no files of clients; `lar connect` does.

use axum::Json;
use axum::extract::{Request, State};
use lar_api::Page;
use lar_api::clients::{ClientCard, Snippet};
use lar_base::Secret;
use lar_catalog::DEFAULT_CHAT;
use lar_clients::{Recipe, Variables, When, recipes};
use lar_gateway::Gateway;
use lar_store::{KeyRecord, Store};

use crate::auth::{Admin, AuthState};
use crate::errors::Failure;
use crate::keys::scope_to_wire;
use crate::origin_guard;

/// List clients
///
/// Returns the clients that can be connected to Lar, with instructions and the time each was last seen.
#[utoipa::path(get, path = "/lar/v1/clients", tag = "keys", responses((status = 200, body = Page<ClientCard>)))]
pub(crate) async fn list(
    State(store): State<Store>,
    State(gateway): State<Gateway>,
    State(auth): State<AuthState>,
    Admin(caller): Admin,
    request: Request,
) -> Result<Json<Page<ClientCard>>, Failure> {
    let url = origin_guard::origin(&request);
    auth.key_activity.try_flush().await;
    let keys = store.key_list(caller.user()).await?;
    // The other values depend on the client's machine, so the user fills them in.
    let variables = Variables {
        url,
        key: Secret::new("lar_YOUR_KEY"),
        lar_program: "lar".into(),
        data_dir: "YOUR_DATA_DIRECTORY".into(),
        key_file: "YOUR_KEY_FILE".into(),
        env_file: "open-webui.env".into(),
        context_tokens: gateway.context_tokens(DEFAULT_CHAT).await.ok().flatten(),
    };
    let data = recipes().iter().map(|recipe| card(recipe, &variables, &keys)).collect();
    Ok(Json(Page { data, next: None }))
}

fn card(recipe: &Recipe, variables: &Variables, keys: &[KeyRecord]) -> ClientCard {
    let is_current =
        |key: &&KeyRecord| key.client.as_deref() == Some(recipe.name.as_str()) && key.revoked_at.is_none();
    let key = keys.iter().rev().find(is_current);
    let rendered = recipe.render(variables);
    // Hooks need the files that `lar connect` creates, so they are not set up by hand.
    let files = rendered.files.into_iter().filter(|file| file.edit.when != When::Hooks);
    let files =
        files.filter_map(|file| Some(Snippet { file: Some(file.edit.usual_path()), text: file.by_hand? }));
    let example = rendered.next_step.example.map(|text| Snippet { file: None, text });
    ClientCard {
        name: recipe.name.clone(),
        title: recipe.title.clone(),
        about: recipe.about.clone(),
        scopes: recipe.scopes.iter().copied().map(scope_to_wire).collect(),
        command: format!("lar connect {}", recipe.name),
        by_hand: files.chain(example).collect(),
        then: rendered.next_step.text,
        key_id: key.map(|key| key.id.to_string()),
        last_seen_at: key.and_then(|key| key.last_seen_at).map(|at| at.to_string()),
    }
}
