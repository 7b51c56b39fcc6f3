//! The number of compute threads: whether models use all cores of the machine, and the reason if they do not.

use lar_engines::device;
use serde_json::Value;

use super::finding::{Finding, fine, note};
use super::running;
use crate::config::Config;

const ABOUT: &str = "threads";

/// Checks the setting `engines.threads`, and the number of threads of each model that the running Lar has
/// loaded.
pub(super) async fn run(config: &Config, lar: &str) -> Vec<Finding> {
    let cores = device::cores();
    if let Some(set) = config.engines.threads.filter(|set| *set < cores) {
        let found = format!("`engines.threads` is {set}, and this machine has {cores} cores");
        return vec![note(
            ABOUT,
            found,
            format!("to use all cores: {lar} config set engines.threads {cores}"),
        )];
    }
    let pools: Vec<Value> = running::list(config, "pools").await.unwrap_or_default();
    let few = pools.iter().filter_map(|pool| {
        let (name, why) = (pool["id"].as_str()?, pool["threads_note"].as_str()?);
        let mend = format!(
            "you need not do anything; to use all cores always: {lar} config set engines.threads {cores}"
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
            [] => format!("models start with one thread per core; this machine has {cores} cores"),
            loaded => format!("{}; this machine has {cores} cores", loaded.join(", ")),
        },
    )]
}
