//! `GET /lar/v1/capabilities` and `GET /lar/v1/devices`: what this Lar supports, and the hardware of its
//! server.

use axum::Json;
use axum::extract::State;
use lar_api::models::{
    Capabilities, Confinement, ConfinementPolicy as WirePolicy, Devices, EngineCapability,
};
use lar_api::tasks::Workload;
use lar_catalog::{Catalog, Kind};
use lar_engines::device;
use lar_engines::embedded::ConfinementPolicy;
use lar_gateway::Gateway;

use crate::auth::Inference;
use crate::errors::Failure;

/// The names of the APIs that Lar serves.
const APIS: [&str; 6] = ["openai", "anthropic", "ollama", "llama.cpp", "mcp", "lar"];

/// Show capabilities
///
/// Returns Lar's version, its APIs, the installed models, the hardware, and the sandbox of the model
/// processes.
#[utoipa::path(get, path = "/lar/v1/capabilities", tag = "operate", responses((status = 200, body = Capabilities)))]
pub(crate) async fn show(
    State(catalog): State<Catalog>,
    State(gateway): State<Gateway>,
    _: Inference,
) -> Result<Json<Capabilities>, Failure> {
    let (policy, missing) = gateway.confinement().await?;
    let pools = gateway.engines().status();
    let installed = catalog.list();
    let engines = installed.iter().map(|model| {
        let pool = pools.iter().find(|pool| pool.pool == model.name);
        EngineCapability {
            model: model.name.clone(),
            engine: pool.map_or_else(String::new, |pool| pool.engine.name.clone()),
            workloads: match model.kind {
                Kind::Chat => vec![Workload::Completion],
                Kind::Embedding => vec![Workload::Embedding],
                Kind::Rerank => vec![Workload::Rerank],
            },
            ctx_max: gateway.context_of(model),
            slots: pool.map_or(1, |pool| pool.engine.concurrency),
        }
    });
    Ok(Json(Capabilities {
        version: env!("CARGO_PKG_VERSION").into(),
        apis: APIS.map(ToOwned::to_owned).to_vec(),
        engines: engines.collect(),
        devices: list_devices(),
        confinement: Confinement { policy: policy_to_wire(policy), complete: missing.is_empty(), missing },
    }))
}

/// Show devices
///
/// Returns the processor threads, the memory and the GPUs of the server.
#[utoipa::path(get, path = "/lar/v1/devices", tag = "operate", responses((status = 200, body = Devices)))]
pub(crate) async fn devices(_: Inference) -> Json<Devices> {
    Json(list_devices())
}

/// Returns the policy on the wire.
fn policy_to_wire(policy: ConfinementPolicy) -> WirePolicy {
    match policy {
        ConfinementPolicy::BestEffort => WirePolicy::BestEffort,
        ConfinementPolicy::Require => WirePolicy::Require,
    }
}

fn list_devices() -> Devices {
    let memory = device::memory();
    Devices {
        threads: device::threads(),
        memory_bytes: memory.map_or(0, |memory| memory.total.get()),
        memory_available_bytes: memory.map_or(0, |memory| memory.available.get()),
        graphics: device::graphics(),
    }
}
