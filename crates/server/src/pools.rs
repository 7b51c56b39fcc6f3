//! `/lar/v1/pools`: the state of each model's engine, and loading and unloading of models.

mod status;

use axum::extract::State;
use axum::http::StatusCode;
use lar_api::Page;
use lar_api::models::{Pool as Wire, QueueDepth};
use lar_base::{Caller, Problem, Scope};
use lar_engines::pools::PoolState;
use lar_engines::{PoolStatus, device};
use lar_gateway::Gateway;

pub(crate) use self::status::{refuse_active, state_to_wire};
use crate::auth::{Admin, Inference};
use crate::errors::{Failure, file_names};
use crate::extract::Path;

/// List pools
///
/// Returns all pools, sorted by name.
#[utoipa::path(get, path = "/lar/v1/pools", tag = "pools", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
) -> axum::Json<Page<Wire>> {
    let data = gateway.engines().status().iter().map(|pool| to_wire(&gateway, &caller, pool)).collect();
    axum::Json(Page { data, next: None })
}

/// Show a pool
#[utoipa::path(get, path = "/lar/v1/pools/{id}/health", tag = "pools", params(("id" = String, Path)),
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn health(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<Wire>, Failure> {
    let found = gateway.engines().status().into_iter().find(|pool| pool.pool == id);
    let found = found.ok_or_else(|| Problem::not_found(format!("pool `{id}`")))?;
    Ok(axum::Json(to_wire(&gateway, &caller, &found)))
}

/// Load a model
///
/// Starts loading a model before a request needs it, and does not wait for the end.
#[utoipa::path(post, path = "/lar/v1/pools/{id}/load", tag = "pools", params(("id" = String, Path)),
    responses((status = 202), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn load(
    State(gateway): State<Gateway>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let route = gateway.route(&id).await?;
    gateway.engines().load(&route.pool);
    Ok(StatusCode::ACCEPTED)
}

/// Unload a model
///
/// Fails while tasks run on the model.
#[utoipa::path(post, path = "/lar/v1/pools/{id}/unload", tag = "pools", params(("id" = String, Path)),
    responses((status = 202), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn unload(
    State(gateway): State<Gateway>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let route = gateway.route(&id).await?;
    refuse_active(gateway.engines(), &route.pool)?;
    gateway.engines().unload(&route.pool);
    Ok(StatusCode::ACCEPTED)
}

fn to_wire(gateway: &Gateway, caller: &Caller, pool: &PoolStatus) -> Wire {
    let last_error = match &pool.state {
        PoolState::Failed(reason) if caller.has(Scope::Admin) => Some(reason.clone()),
        PoolState::Failed(reason) => Some(file_names(reason).into_owned()),
        _ => None,
    };
    Wire {
        id: pool.pool.clone(),
        state: state_to_wire(&pool.state),
        live: last_error.is_none(),
        ready: pool.state == PoolState::Ready,
        engine: pool.engine.name.clone(),
        slots: pool.engine.concurrency,
        context_tokens: pool.engine.context_tokens,
        memory_bytes: pool.memory.get(),
        threads: pool.threads,
        cores: device::cores(),
        threads_note: pool.threads.and_then(|threads| gateway.threads_note(threads)),
        active_leases: pool.active as u64,
        queue: QueueDepth { interactive: pool.waiting[0] as u64, batch: pool.waiting[1] as u64 },
        last_error,
    }
}
