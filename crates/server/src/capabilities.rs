//! `GET /lar/v1/capabilities` and `GET /lar/v1/devices`: what this Lar supports, and the hardware of its
//! server.

use axum::Json;
use lar_api::models::{Capabilities, Confinement, Devices, EngineCapability};
use lar_catalog::Kind;
use lar_engines::device;

use crate::State;
use crate::auth::Inference;
use crate::errors::Failure;

/// The names of the APIs that Lar serves.
const APIS: [&str; 6] = ["openai", "anthropic", "ollama", "llama.cpp", "mcp", "lar"];

/// Show capabilities
///
/// Returns Lar's version, its APIs, the installed models, the hardware, and the sandbox of the model
/// processes.
#[utoipa::path(get, path = "/lar/v1/capabilities", tag = "operate", responses((status = 200, body = Capabilities)))]
pub(crate) async fn show(app: State, _: Inference) -> Result<Json<Capabilities>, Failure> {
    let (policy, missing) = app.gateway.confinement().await?;
    let pools = app.gateway.engines().status();
    let installed = app.catalog.list();
    let engines = installed.iter().map(|model| {
        let pool = pools.iter().find(|pool| pool.pool == model.name);
        EngineCapability {
            model: model.name.clone(),
            engine: pool.map_or_else(String::new, |pool| pool.engine.name.clone()),
            workloads: match model.kind {
                Kind::Chat => vec!["completion".into()],
                Kind::Embedding => vec!["embedding".into()],
                Kind::Rerank => vec!["rerank".into()],
            },
            ctx_max: app.gateway.context_of(model),
            slots: pool.map_or(1, |pool| pool.engine.concurrency),
        }
    });
    Ok(Json(Capabilities {
        version: env!("CARGO_PKG_VERSION").into(),
        apis: APIS.map(ToOwned::to_owned).to_vec(),
        engines: engines.collect(),
        devices: list_devices(),
        confinement: Confinement { policy: policy.as_str().into(), complete: missing.is_empty(), missing },
    }))
}

/// Show devices
///
/// Returns the processor threads, the memory and the GPUs of the server.
#[utoipa::path(get, path = "/lar/v1/devices", tag = "operate", responses((status = 200, body = Devices)))]
pub(crate) async fn devices(_: State, _: Inference) -> Json<Devices> {
    Json(list_devices())
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
