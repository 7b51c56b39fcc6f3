//! `/lar/v1/users`: the users of this Lar. Each user has their own keys, conversations and memories.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lar_api::Page;
use lar_api::users::{NewUser, User as Wire};
use lar_base::{Code, MemoryMode, Problem, Scope, Scopes, UserId};
use lar_store::{NewKey, Store, User};

use crate::auth::{Admin, AuthState};
use crate::authenticator::new_secret;
use crate::errors::Failure;
use crate::extract::Path;
use crate::idempotency::{self, IdempotentJson};
use crate::keys;
use crate::sign_in_links::{self, Links};

/// Invite a user
///
/// Creates the user, their first key, and a sign-in link for their browser. Only this response contains the
/// key's secret and the link.
#[utoipa::path(post, path = "/lar/v1/users", tag = "keys", request_body = NewUser,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 201, body = Wire), (status = 400, body = lar_api::ProblemBody),
              (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn invite(
    State(store): State<Store>,
    State(auth): State<AuthState>,
    State(links): State<Links>,
    Admin(caller): Admin,
    new: IdempotentJson<NewUser>,
) -> Result<Response, Failure> {
    let (new, once) = new.into_parts(&caller);
    if let Some(id) = idempotency::earlier_id::<UserId>(&store, once.as_ref()).await? {
        // Only the secret's digest is stored, so Lar cannot repeat the response.
        let detail = format!(
            "this request already invited the user {id}, and Lar cannot show their key again. Remove the \
             user and send a new request"
        );
        return Err(Problem::new(Code::Conflict, detail).into());
    }
    let name = lar_memory::check_agent_name(&new.name).map_err(|reason| Problem::invalid("name", reason))?;
    let user = store.user_create(name.to_owned(), once).await?;
    let secret = new_secret();
    let key = NewKey {
        user: user.id,
        name: user.name.clone(),
        agent: None,
        digest: auth.authenticator.digest(secret.expose()),
        // The user's browser signs in with this key, so it may read conversations.
        scopes: Scopes::of(keys::default_scopes().iter().chain([Scope::Conversations])),
        requests_per_minute: None,
        memory: MemoryMode::Off,
        client: None,
        expires_at: None,
    };
    let key = store.key_create(key, None).await?;
    let (link, _) = links.make(&auth.authenticator, key.id);
    let body = Wire {
        secret: Some(secret.expose().to_owned()),
        sign_in_url: Some(sign_in_links::url(auth.address, &link)),
        ..to_wire(&user)
    };
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// List users
#[utoipa::path(get, path = "/lar/v1/users", tag = "keys", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(State(store): State<Store>, _: Admin) -> Result<axum::Json<Page<Wire>>, Failure> {
    let users = store.user_list().await?;
    Ok(axum::Json(Page { data: users.iter().map(to_wire).collect(), next: None }))
}

/// Remove a user
///
/// Revokes the keys and grants of a user, named by name or id. The user's conversations and memories stay in
/// the database, and the owner of Lar gets their team spaces.
#[utoipa::path(delete, path = "/lar/v1/users/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    State(store): State<Store>,
    State(auth): State<AuthState>,
    _: Admin,
    Path(named): Path<String>,
    _: Request,
) -> Result<StatusCode, Failure> {
    let user = store.user_named(named).await?;
    store.user_remove(user.id).await?;
    auth.authenticator.forget();
    Ok(StatusCode::NO_CONTENT)
}

fn to_wire(user: &User) -> Wire {
    Wire {
        id: user.id.to_string(),
        name: user.name.clone(),
        created_at: user.created_at.to_string(),
        secret: None,
        sign_in_url: None,
    }
}
