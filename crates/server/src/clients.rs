//! `/lar/v1/clients`: the clients that can be told of this Lar, how, and when each was last seen.

use axum::Json;
use axum::extract::Request;
use lar_api::Page;
use lar_api::clients::{ClientCard, FileRecipe, Form, Part, RECIPES, Recipe, Root, Snippet, fill_template};
use lar_catalog::DEFAULT_CHAT;
use lar_store::KeyRecord;
use serde_json::Value;

use crate::auth::Admin;
use crate::errors::Failure;
use crate::{State, mcp};

/// What stands in the place of what only the client's machine knows.
const VALUES: [(&str, &str); 5] = [
    ("key", "lar_YOUR_KEY"),
    ("lar", "lar"),
    ("data_dir", "YOUR_DATA_DIRECTORY"),
    ("key_file", "YOUR_KEY_FILE"),
    ("env_file", "open-webui.env"),
];

/// Every client there is a recipe for.
#[utoipa::path(get, path = "/lar/v1/clients", tag = "keys", responses((status = 200, body = Page<ClientCard>)))]
pub(crate) async fn list(
    app: State,
    Admin(caller): Admin,
    request: Request,
) -> Result<Json<Page<ClientCard>>, Failure> {
    let url = mcp::origin(&request);
    app.key_activity.try_flush().await;
    let keys = app.store.key_list(caller.user()).await?;
    let context_tokens = app.gateway.context_tokens(DEFAULT_CHAT).await.ok().flatten();
    let context_tokens = context_tokens.map_or_else(String::new, |tokens| tokens.to_string());
    let values: Vec<(&str, &str)> = VALUES
        .into_iter()
        .chain([("url", url.as_str()), ("context_tokens", context_tokens.as_str())])
        .collect();
    let data = RECIPES.iter().map(|recipe| card(recipe, &values, &keys)).collect();
    Ok(Json(Page { data, next: None }))
}

fn card(recipe: &Recipe, values: &[(&str, &str)], keys: &[KeyRecord]) -> ClientCard {
    let key =
        keys.iter().rev().find(|key| key.client.as_deref() == Some(recipe.name) && key.revoked_at.is_none());
    let of = |file: &FileRecipe| Snippet { file: Some(path(file)), text: text(file, values) };
    // What stands on files of Lar's is not done by hand.
    let files =
        recipe.files.iter().filter(|file| file.part != Part::Hooks && file.by_hand != Some("")).map(of);
    let example = recipe.example.map(|example| Snippet { file: None, text: fill_template(example, values) });
    ClientCard {
        name: recipe.name.into(),
        title: recipe.title.into(),
        about: recipe.about.into(),
        scopes: recipe.scopes.iter().map(ToString::to_string).collect(),
        command: format!("lar connect {}", recipe.name),
        by_hand: files.chain(example).collect(),
        then: fill_template(recipe.then, values),
        key_id: key.map(|key| key.id.to_string()),
        last_seen_at: key.and_then(|key| key.last_seen_at).map(|at| at.to_string()),
    }
}

fn path(file: &FileRecipe) -> String {
    let folder = match file.root {
        Root::Home | Root::ClaudeState => "~/",
        Root::Codex => "~/.codex/",
        Root::Claude => "~/.claude/",
        Root::Clients => "",
    };
    format!("{folder}{}", file.path)
}

fn text(file: &FileRecipe, values: &[(&str, &str)]) -> String {
    let text = fill_template(file.by_hand.unwrap_or(file.text), values);
    let pretty = |value: Value| serde_json::to_string_pretty(&value).ok();
    match file.form {
        Form::Json => serde_json::from_str(&text).ok().and_then(pretty).unwrap_or(text),
        Form::Toml | Form::Whole => text.trim().to_owned(),
    }
}
