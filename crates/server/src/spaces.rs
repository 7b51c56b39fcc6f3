//! `/lar/v1/spaces`: where memories lie.

use lar_api::Page;
use lar_api::memories::Space as Wire;
use lar_base::Scope;

use crate::State;
use crate::auth::Authenticated;
use crate::errors::Failure;

/// The spaces that this key sees: the person's own and those of their agents, or its agent's alone.
#[utoipa::path(get, path = "/lar/v1/spaces", tag = "memories", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(
    app: State,
    Authenticated(caller): Authenticated,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    caller.require(Scope::MemoryRead)?;
    let mut spaces = app.store.space_list(caller.user).await?;
    if caller.agent.is_some() {
        spaces.retain(|space| space.agent == caller.agent);
    }
    let data = spaces.into_iter().map(|space| Wire {
        id: space.id.to_string(),
        kind: if space.agent.is_some() { "agent" } else { "personal" }.into(),
        agent: space.agent,
        created_at: space.created_at.to_string(),
    });
    Ok(axum::Json(Page { data: data.collect(), next: None }))
}
