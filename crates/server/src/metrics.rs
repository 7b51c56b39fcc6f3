//! `/metrics`: the metrics of the whole server. The other crates register theirs; gauges of the current state are
//! rendered here.

pub(crate) mod requests;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use lar_base::{Code, Problem};
use lar_egress::Ledger;
use lar_engines::pools::PoolState;
use lar_gateway::Gateway;
use prometheus_client::registry::Registry;

use crate::auth::Admin;
use crate::errors::Failure;
use crate::pools::state_to_wire;

/// Show metrics
///
/// Returns the metrics of the whole server in the OpenMetrics text format. Requires the scope `admin`.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200)))]
pub(crate) async fn show(
    State(registry): State<Arc<Registry>>,
    State(gateway): State<Gateway>,
    State(ledger): State<Ledger>,
    _: Admin,
) -> Result<Response, Failure> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let text = text.trim_end_matches("# EOF\n").to_owned() + &gauges(&gateway, &ledger) + "# EOF\n";
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Renders the metrics that are read from the current state instead of counted.
fn gauges(gateway: &Gateway, ledger: &Ledger) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, f64)>| {
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let _ = writeln!(text, "{name}{suffix}{{{labels}}} {value}");
        }
    };
    let pools = gateway.engines().status();
    let waiting = pools.iter().flat_map(|pool| {
        ["interactive", "batch"].into_iter().zip(pool.waiting).map(|(priority, count)| {
            (format!("model=\"{}\",priority=\"{priority}\"", pool.pool), count as f64)
        })
    });
    family("lar_queue_depth", "gauge", "Waiting tasks", waiting.collect());
    let row = |pool: &lar_engines::PoolStatus, value: f64| (format!("model=\"{}\"", pool.pool), value);
    let active = pools.iter().map(|pool| row(pool, pool.active as f64));
    family("lar_active_leases", "gauge", "Running tasks", active.collect());
    let ready = pools.iter().map(|pool| row(pool, f64::from(u8::from(pool.state == PoolState::Ready))));
    family("lar_pool_ready", "gauge", "Whether the model is loaded", ready.collect());
    let states = pools
        .iter()
        .map(|pool| (format!("model=\"{}\",state=\"{}\"", pool.pool, state_to_wire(&pool.state)), 1.0));
    family("lar_model_state", "gauge", "State of the model's engine", states.collect());
    let memory = lar_engines::device::memory();
    let used = memory.map(|memory| memory.total.get().saturating_sub(memory.available.get()));
    let used = used.map(|bytes| ("device=\"cpu\"".to_owned(), bytes as f64));
    family("lar_device_memory_used_bytes", "gauge", "Memory in use", used.into_iter().collect());
    let out = ledger.snapshot().into_iter();
    let out = out.map(|(destination, count)| (format!("destination=\"{destination}\""), count as f64));
    family("lar_egress_connections", "counter", "Connections that left this machine", out.collect());
    text
}
