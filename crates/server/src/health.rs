//! `/healthz` and `/readyz`: liveness and readiness of the server.

use axum::extract::State;
use lar_base::{Code, Problem};
use lar_catalog::Catalog;
use lar_engines::pools::PoolState;
use lar_gateway::Gateway;
use lar_store::Store;
use serde_json::{Value, json};

use crate::errors::Failure;

/// Check liveness
///
/// Succeeds while the process runs.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200)))]
pub(crate) async fn alive() -> axum::Json<Value> {
    axum::Json(json!({ "status": "ok" }))
}

/// Check readiness
///
/// Succeeds if the database is open and, in case a default model is installed, loading it has not failed.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200), (status = 503)))]
pub(crate) async fn ready(
    State(store): State<Store>,
    State(catalog): State<Catalog>,
    State(gateway): State<Gateway>,
) -> Result<axum::Json<Value>, Failure> {
    store.ping().await?;
    if let Ok(default) = catalog.resolve("default") {
        let failed = gateway.engines().status().into_iter().find_map(|pool| match pool.state {
            PoolState::Failed(reason) if pool.pool == default.model.name => Some(reason),
            _ => None,
        });
        if let Some(reason) = failed {
            return Err(
                Problem::new(Code::PoolUnavailable, format!("`{}`: {reason}", default.model.name)).into()
            );
        }
    }
    Ok(axum::Json(json!({ "status": "ok" })))
}
