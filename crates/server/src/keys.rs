//! `/lar/v1/keys`: the API keys of a user. Only the response that creates a key contains its secret.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lar_api::Page;
use lar_api::keys::{Key as Wire, KeyScope, MemoryMode as WireMemoryMode, NewKey as WireNewKey};
use lar_base::{Code, KeyId, MemoryMode, Problem, Scope, Scopes, Timestamp};
use lar_store::{KeyRecord, NewKey, Store};

use crate::auth::{Admin, AuthState};
use crate::authenticator::new_secret;
use crate::errors::Failure;
use crate::extract::{self, Path};
use crate::idempotency::{self, IdempotentJson};
use crate::sign_in_links::Links;

/// The maximum time until a key expires: a hundred years.
const LIFE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The maximum length of a key's name.
pub(crate) const NAME_CHARS_MAX: usize = 100;

/// Create an API key
///
/// Only this response contains the key's secret.
#[utoipa::path(post, path = "/lar/v1/keys", tag = "keys", request_body = WireNewKey,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 201, body = Wire), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(store): State<Store>,
    State(auth): State<AuthState>,
    Admin(caller): Admin,
    new: IdempotentJson<WireNewKey>,
) -> Result<Response, Failure> {
    let (new, once) = new.into_parts(&caller);
    if let Some(id) = idempotency::earlier_id::<KeyId>(&store, once.as_ref()).await? {
        // Only the secret's digest is stored, so Lar cannot repeat the response.
        let detail = format!(
            "this request already created the key {id}, and Lar cannot show its secret again. Revoke the key \
             and send a new request"
        );
        return Err(Problem::new(Code::Conflict, detail).into());
    }
    let name = new.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "name",
            format!("must be one line of 1 to {NAME_CHARS_MAX} characters"),
        )
        .into());
    }
    let scopes = match new.scopes {
        None => default_scopes(),
        Some(texts) => {
            let parse =
                |text: &String| text.parse::<Scope>().map_err(|reason| Problem::invalid("scopes", reason));
            Scopes::of(texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?)
        }
    };
    let allowed = store.user_scopes(caller.user()).await?;
    if let Some(beyond) = scopes.iter().find(|scope| !allowed.contains(*scope)) {
        let reason = format!("contains `{beyond}`, a scope that none of this user's keys has");
        return Err(Problem::invalid("scopes", reason).into());
    }
    if new.expires_in_s.is_some_and(|seconds| !(1..=LIFE_MAX.as_secs()).contains(&seconds)) {
        let reason = format!("must be between 1 and {} (a hundred years)", LIFE_MAX.as_secs());
        return Err(Problem::invalid("expires_in_s", reason).into());
    }
    if new.requests_per_minute == Some(0) {
        return Err(Problem::invalid("requests_per_minute", "must be at least 1").into());
    }
    if let Some(agent) = &new.agent {
        lar_memory::check_agent_name(agent).map_err(|reason| Problem::invalid("agent", reason))?;
    }
    let memory = new.memory.as_deref().map_or(Ok(MemoryMode::Off), str::parse);
    let memory = memory.map_err(|reason: String| Problem::invalid("memory", reason))?;
    for (mode, scope) in [(MemoryMode::Recall, Scope::MemoryRead), (MemoryMode::Remember, Scope::MemoryWrite)]
    {
        if memory >= mode && !scopes.contains(scope) {
            let reason = format!("is `{}`, which needs the scope `{scope}`", memory.as_str());
            return Err(Problem::invalid("memory", reason).into());
        }
    }
    let client = new.client;
    if let Some(client) = &client
        && lar_clients::find(client).is_none()
    {
        let known: Vec<&str> = lar_clients::recipes().iter().map(|recipe| recipe.name.as_str()).collect();
        return Err(Problem::invalid("client", format!("must be one of {}", known.join(", "))).into());
    }
    let secret = new_secret();
    let key = NewKey {
        user: caller.user(),
        name,
        agent: new.agent,
        digest: auth.authenticator.digest(secret.expose()),
        scopes,
        requests_per_minute: new.requests_per_minute,
        memory,
        client,
        expires_at: new.expires_in_s.map(|seconds| Timestamp::now().after(Duration::from_secs(seconds))),
    };
    let made = store.key_create(key, once).await?;
    let body = Wire { secret: Some(secret.expose().to_owned()), ..to_wire(&made) };
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// List API keys
///
/// Returns the keys of the user, including revoked ones, oldest first.
#[utoipa::path(get, path = "/lar/v1/keys", tag = "keys", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(
    State(store): State<Store>,
    State(auth): State<AuthState>,
    Admin(caller): Admin,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    auth.key_activity.try_flush().await;
    let keys = store.key_list(caller.user()).await?;
    Ok(axum::Json(Page { data: keys.iter().map(to_wire).collect(), next: None }))
}

/// Revoke an API key
///
/// Also ends the browser sessions that belong to the key. The owner's key in the data directory cannot be
/// revoked.
#[utoipa::path(delete, path = "/lar/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn revoke(
    State(store): State<Store>,
    State(auth): State<AuthState>,
    State(links): State<Links>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let id = extract::id(&id, "key")?;
    if auth.authenticator.is_owner_key(id) {
        let detail = "this is the owner's key, which the command line uses. To replace it, stop Lar, \
                      remove `owner.key` from the data directory, and start Lar, which creates a new one. \
                      Then revoke this key";
        return Err(Problem::new(Code::Conflict, detail).into());
    }
    store.key_revoke(caller.user(), id).await?;
    links.remove_of(id);
    auth.authenticator.forget();
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the scopes of a new key whose request names none: those that apps need, without `conversations`.
pub(crate) fn default_scopes() -> Scopes {
    Scopes::of([Scope::Inference, Scope::MemoryRead, Scope::MemoryWrite])
}

/// Returns a scope on the wire.
pub(crate) fn scope_to_wire(scope: Scope) -> KeyScope {
    match scope {
        Scope::Inference => KeyScope::Inference,
        Scope::Conversations => KeyScope::Conversations,
        Scope::MemoryRead => KeyScope::MemoryRead,
        Scope::MemoryWrite => KeyScope::MemoryWrite,
        Scope::Admin => KeyScope::Admin,
    }
}

fn memory_mode_to_wire(mode: MemoryMode) -> WireMemoryMode {
    match mode {
        MemoryMode::Off => WireMemoryMode::Off,
        MemoryMode::Recall => WireMemoryMode::Recall,
        MemoryMode::Remember => WireMemoryMode::Remember,
    }
}

fn to_wire(key: &KeyRecord) -> Wire {
    Wire {
        id: key.id.to_string(),
        name: key.name.clone(),
        fingerprint: key.fingerprint.clone(),
        scopes: key.scopes.iter().map(scope_to_wire).collect(),
        removed_scopes: key.removed_scopes.iter().map(scope_to_wire).collect(),
        agent: key.agent.clone(),
        requests_per_minute: key.requests_per_minute,
        memory: memory_mode_to_wire(key.memory),
        client: key.client.clone(),
        last_seen_at: key.last_seen_at.map(|at| at.to_string()),
        created_at: key.created_at.to_string(),
        expires_at: key.expires_at.map(|at| at.to_string()),
        revoked_at: key.revoked_at.map(|at| at.to_string()),
        secret: None,
    }
}
