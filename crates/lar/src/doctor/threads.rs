//! Whether models compute with all cores of the machine, and why where they do not.

use std::time::Duration;

use lar_egress::{Egress, Method, Request, Trust};
use lar_engines::device;
use serde_json::Value;

use super::{Finding, fine, note};
use crate::config::Config;
use crate::data_dir;

/// Answers on the same machine come at once.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The list of pools is short.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const ABOUT: &str = "threads";

/// What is set, and what the models of a running Lar compute with.
pub(super) async fn run(config: &Config) -> Vec<Finding> {
    let cores = device::cores();
    if let Some(set) = config.engines.threads.filter(|set| *set < cores) {
        let found = format!("`engines.threads` is {set} and this machine has {cores} cores");
        return vec![note(ABOUT, found, format!("use all: lar config set engines.threads {cores}"))];
    }
    let pools = pools(config).await.unwrap_or_default();
    let few = pools.iter().filter_map(|pool| {
        let (name, why) = (pool["id"].as_str()?, pool["threads_note"].as_str()?);
        let mend = format!(
            "nothing needs to be done; to hold it to all cores: lar config set engines.threads {cores}"
        );
        Some(note(ABOUT, format!("{name} computes with {why}"), mend))
    });
    let few: Vec<Finding> = few.collect();
    if !few.is_empty() {
        return few;
    }
    let loaded = pools.iter().filter_map(|pool| Some((pool["id"].as_str()?, pool["threads"].as_u64()?)));
    let loaded: Vec<String> = loaded.map(|(name, threads)| format!("{name} with {threads}")).collect();
    vec![fine(
        ABOUT,
        match loaded.as_slice() {
            [] => format!("models begin with one for each core; this machine has {cores} cores"),
            loaded => format!("{}; this machine has {cores} cores", loaded.join(", ")),
        },
    )]
}

/// The pools of the Lar that runs with this data directory.
async fn pools(config: &Config) -> Option<Vec<Value>> {
    let server = data_dir::running(&config.data_dir).filter(|server| super::alive(server.pid))?;
    let key = data_dir::owner_key(&config.data_dir).ok()??;
    let request = Request::new(Method::Get, format!("{}/lar/v1/pools", server.url), Trust::Operator);
    let request = request.header("authorization", format!("Bearer {}", key.expose())).timeout(TIMEOUT);
    let answer = Egress::new().ok()?.send(request).await.ok()?;
    let bytes = answer.bytes(ANSWER_BYTES_MAX).await.ok()?;
    let page: Value = serde_json::from_slice(&bytes).ok()?;
    page["data"].as_array().cloned()
}
