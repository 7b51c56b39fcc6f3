//! `/lar/v1/pools`: the state of each model's engine, and loading and unloading of models.

use axum::http::StatusCode;
use lar_api::Page;
use lar_api::models::{Pool as Wire, QueueDepth};
use lar_base::{Caller, Code, Problem, Scope};
use lar_engines::pools::PoolState;
use lar_engines::{PoolStatus, device};

use crate::auth::{Admin, Inference};
use crate::errors::{Failure, file_names};
use crate::extract::Path;
use crate::{App, State};

/// List pools
///
/// Returns all pools, sorted by name.
#[utoipa::path(get, path = "/lar/v1/pools", tag = "pools", responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(app: State, Inference(caller): Inference) -> axum::Json<Page<Wire>> {
    let data = app.gateway.engines().status().iter().map(|pool| to_wire(&app, &caller, pool)).collect();
    axum::Json(Page { data, next: None })
}

/// Show a pool
#[utoipa::path(get, path = "/lar/v1/pools/{id}/health", tag = "pools", params(("id" = String, Path)),
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn health(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<Wire>, Failure> {
    let found = app.gateway.engines().status().into_iter().find(|pool| pool.pool == id);
    let found = found.ok_or_else(|| Problem::not_found(format!("pool `{id}`")))?;
    Ok(axum::Json(to_wire(&app, &caller, &found)))
}

/// Load a model
///
/// Starts loading a model before a request needs it, and does not wait for the end.
#[utoipa::path(post, path = "/lar/v1/pools/{id}/load", tag = "pools", params(("id" = String, Path)),
    responses((status = 202), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn load(app: State, _: Admin, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    let route = app.gateway.route(&id).await?;
    app.gateway.engines().load(&route.pool);
    Ok(StatusCode::ACCEPTED)
}

/// Unload a model
///
/// Fails while tasks run on the model.
#[utoipa::path(post, path = "/lar/v1/pools/{id}/unload", tag = "pools", params(("id" = String, Path)),
    responses((status = 202), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn unload(app: State, _: Admin, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    let route = app.gateway.route(&id).await?;
    refuse_active(&app, &route.pool)?;
    app.gateway.engines().unload(&route.pool);
    Ok(StatusCode::ACCEPTED)
}

/// Checks that no tasks run on a model.
///
/// # Errors
/// [`Code::Conflict`], with the number of running tasks.
pub(crate) fn refuse_active(app: &App, pool: &str) -> Result<(), Problem> {
    let all = app.gateway.engines().status();
    match all.iter().find(|status| status.pool == pool).map_or(0, |status| status.active) {
        0 => Ok(()),
        active => {
            let detail = format!("`{pool}` has running tasks ({active}); cancel them or wait for their end");
            Err(Problem::new(Code::Conflict, detail))
        }
    }
}

/// Returns the name of a state on the wire.
pub(crate) fn state_name(state: &PoolState) -> &'static str {
    match state {
        PoolState::Unloaded => "unloaded",
        PoolState::Loading => "loading",
        PoolState::Ready => "ready",
        PoolState::Failed(_) => "failed",
    }
}

fn to_wire(app: &App, caller: &Caller, pool: &PoolStatus) -> Wire {
    let last_error = match &pool.state {
        PoolState::Failed(reason) if caller.has(Scope::Admin) => Some(reason.clone()),
        PoolState::Failed(reason) => Some(file_names(reason).into_owned()),
        _ => None,
    };
    Wire {
        id: pool.pool.clone(),
        state: state_name(&pool.state).into(),
        live: last_error.is_none(),
        ready: pool.state == PoolState::Ready,
        engine: pool.engine.name.clone(),
        slots: pool.engine.concurrency,
        context_tokens: pool.engine.context_tokens,
        memory_bytes: pool.memory.get(),
        threads: pool.threads,
        cores: device::cores(),
        threads_note: pool.threads.and_then(|threads| app.gateway.threads_note(threads)),
        active_leases: pool.active as u64,
        queue: QueueDepth { interactive: pool.waiting[0] as u64, batch: pool.waiting[1] as u64 },
        last_error,
    }
}
