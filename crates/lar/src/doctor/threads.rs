//! Whether models compute with all cores of the machine, and why where they do not.

use lar_engines::device;
use serde_json::Value;

use super::{Finding, fine, note, running};
use crate::config::Config;

const ABOUT: &str = "threads";

/// What is set, and what the models of a running Lar compute with.
pub(super) async fn run(config: &Config) -> Vec<Finding> {
    let cores = device::cores();
    if let Some(set) = config.engines.threads.filter(|set| *set < cores) {
        let found = format!("`engines.threads` is {set} and this machine has {cores} cores");
        return vec![note(ABOUT, found, format!("use all: lar config set engines.threads {cores}"))];
    }
    let pools: Vec<Value> = running::list(config, "pools").await.unwrap_or_default();
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
