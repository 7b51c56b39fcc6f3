//! `/lar/v1/spaces`: memory spaces, and the access of users to team spaces.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lar_api::Page;
use lar_api::spaces::{
    Grant as WireGrant, GrantAccess, NewGrant, NewSpace, Space as Wire, SpaceAccess, SpaceKind as WireKind,
};
use lar_base::{Caller, Code, Problem, Scope};
use lar_store::{Access, Grant, Space, SpaceKind, Store};

use crate::auth::Authenticated;
use crate::errors::Failure;
use crate::extract::{Json, Path};

/// List spaces
///
/// Returns the spaces that the key can use: the user's own space, the spaces of their agents, and team
/// spaces. The key of an agent gets only the agent's space.
#[utoipa::path(get, path = "/lar/v1/spaces", tag = "memories", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    caller.require(Scope::MemoryRead)?;
    let mut spaces = store.space_list(caller.user()).await?;
    if let Some(agent) = caller.agent() {
        spaces.retain(|space| matches!(&space.kind, SpaceKind::Agent(name) if name == agent));
    }
    Ok(axum::Json(Page { data: spaces.into_iter().map(to_wire).collect(), next: None }))
}

/// Create a team space
///
/// The user who creates the space owns it and can grant other users access.
#[utoipa::path(post, path = "/lar/v1/spaces", tag = "memories", request_body = NewSpace,
    responses((status = 201, body = Wire), (status = 400, body = lar_api::ProblemBody),
              (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    Json(new): Json<NewSpace>,
) -> Result<Response, Failure> {
    let caller = require_person(caller)?;
    let name = lar_memory::check_agent_name(&new.name).map_err(|reason| Problem::invalid("name", reason))?;
    let space = store.space_create(caller.user(), name.to_owned()).await?;
    Ok((StatusCode::CREATED, axum::Json(to_wire(space))).into_response())
}

/// List grants
///
/// Returns the users with access to a team space, which the path names by name or id.
#[utoipa::path(get, path = "/lar/v1/spaces/{id}/grants", tag = "memories", params(("id" = String, Path)),
    responses((status = 200, body = Page<WireGrant>), (status = 403, body = lar_api::ProblemBody)))]
pub(crate) async fn grants(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    Path(named): Path<String>,
) -> Result<axum::Json<Page<WireGrant>>, Failure> {
    caller.require(Scope::MemoryRead)?;
    let space = find_shared(&store, &require_person(caller)?, named, Access::Read).await?;
    let grants = store.grant_list(space.id).await?;
    Ok(axum::Json(Page { data: grants.iter().map(grant_to_wire).collect(), next: None }))
}

/// Grant access to a team space
///
/// Lets a user read the space, or read and write it. Returns all grants of the space.
#[utoipa::path(post, path = "/lar/v1/spaces/{id}/grants", tag = "memories", request_body = NewGrant,
    params(("id" = String, Path)),
    responses((status = 200, body = Page<WireGrant>), (status = 403, body = lar_api::ProblemBody),
              (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn grant(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    Path(named): Path<String>,
    Json(new): Json<NewGrant>,
) -> Result<axum::Json<Page<WireGrant>>, Failure> {
    // A grant lets others read the space, so a key that must not read it must not grant access.
    caller.require(Scope::MemoryRead)?;
    let caller = require_person(caller)?;
    let access = match new.access.as_str() {
        "read" => Access::Read,
        "write" => Access::Write,
        _ => return Err(Problem::invalid("access", "must be `read` or `write`").into()),
    };
    let space = find_shared(&store, &caller, named, Access::Own).await?;
    let user = store.user_named(new.user).await?;
    if user.id == caller.user() {
        return Err(Problem::invalid("user", "already owns this space").into());
    }
    store.grant_set(space.id, user.id, Some(access)).await?;
    let grants = store.grant_list(space.id).await?;
    Ok(axum::Json(Page { data: grants.iter().map(grant_to_wire).collect(), next: None }))
}

/// Revoke access to a team space
#[utoipa::path(delete, path = "/lar/v1/spaces/{id}/grants/{user}", tag = "memories",
    params(("id" = String, Path), ("user" = String, Path)),
    responses((status = 204), (status = 403, body = lar_api::ProblemBody), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn revoke(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    Path((named, user)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let space = find_shared(&store, &require_person(caller)?, named, Access::Own).await?;
    let user = store.user_named(user).await?;
    store.grant_set(space.id, user.id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks that the key has the scope `memory:write` and does not belong to an agent.
///
/// # Errors
/// [`Code::ForbiddenScope`] without the scope; [`Code::ForbiddenSpace`] for the key of an agent.
fn require_person(caller: Caller) -> Result<Caller, Problem> {
    caller.require(Scope::MemoryWrite)?;
    match caller.agent() {
        None => Ok(caller),
        Some(agent) => Err(Problem::new(
            Code::ForbiddenSpace,
            format!("this key belongs to the agent `{agent}`, and agents have no access to team spaces"),
        )),
    }
}

async fn find_shared(store: &Store, caller: &Caller, named: String, least: Access) -> Result<Space, Problem> {
    let space = store.space_shared(caller.user(), named).await?;
    if space.access < least {
        return Err(Problem::new(
            Code::ForbiddenSpace,
            "only the owner of this space can grant or revoke access to it",
        ));
    }
    Ok(space)
}

fn to_wire(space: Space) -> Wire {
    let (kind, agent, name) = match space.kind {
        SpaceKind::Personal => (WireKind::Personal, None, None),
        SpaceKind::Agent(agent) => (WireKind::Agent, Some(agent), None),
        SpaceKind::Team(name) => (WireKind::Team, None, Some(name)),
    };
    Wire {
        id: space.id.to_string(),
        kind,
        agent,
        name,
        access: match space.access {
            Access::Read => SpaceAccess::Read,
            Access::Write => SpaceAccess::Write,
            Access::Own => SpaceAccess::Own,
        },
        created_at: space.created_at.to_string(),
    }
}

fn grant_to_wire(grant: &Grant) -> WireGrant {
    WireGrant {
        user_id: grant.user.to_string(),
        user: grant.name.clone(),
        access: match grant.access {
            Access::Read => GrantAccess::Read,
            // Ownership is never granted, and an owner may also write.
            Access::Write | Access::Own => GrantAccess::Write,
        },
        granted_at: grant.granted_at.to_string(),
    }
}
