//! The table of all settings: key, type and description. Each setting is listed once.

use anyhow::bail;
use toml::Value;

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    /// The dotted key, as in `lar.toml`.
    pub(super) key: &'static str,
    /// Its JSON type.
    pub(super) kind: &'static str,
    /// The description that `lar config explain` and the reference show.
    pub(super) about: &'static str,
}

impl Setting {
    /// Returns the name of the setting's environment variable.
    pub(super) fn variable(&self) -> String {
        format!("LAR_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

macro_rules! settings {
    ($($key:literal $kind:literal $about:literal)+) => {
        /// All settings, in the order of the reference.
        pub(super) const SETTINGS: &[Setting] = &[$(Setting { key: $key, kind: $kind, about: $about },)+];
    };
}

settings! {
    "data_dir" "string" "Directory for all data; default: ~/.local/share/lar"
    "models_dir" "string" "Directory for models; several data directories can share it; default: DATA_DIR/models"
    "included_models_dir" "string" "Read-only directory of models that came with Lar, laid out like `models_dir`; the container image sets it"
    "hub" "string" "Model hub for hf: sources: the Hugging Face hub, or a mirror of it on your network"
    "listen" "string" "Address and port that the server listens on"
    "allowed_hosts" "array" "Host names that the server accepts in requests, in addition to the names of loopback"
    "allowed_origins" "array" "Origins of web pages and apps that can use the model APIs and /mcp with a key, such as app://obsidian.md, http://localhost:* or *; default: none"
    "insecure_lan" "boolean" "Allows the server to listen on addresses other than loopback without TLS"
    "log" "string" "Log level (error, warn, info, debug), or a filter such as info,lar_engines=debug"
    "engines.concurrency" "integer" "Slots per model: the number of tasks that run at the same time"
    "engines.context_tokens_max" "integer" "Maximum context length of each task, in tokens; default: as much as fits into half of the free model memory"
    "engines.memory" "string" "Memory that all loaded models can use together; default: four fifths of the machine's memory"
    "engines.keep_alive_s" "integer" "Seconds after which Lar unloads a model that nobody uses"
    "engines.threads" "integer" "Number of compute threads; default: one per core at first, then the number that Lar measures to be fastest"
    "engines.flash_attention" "boolean" "Computes attention without keeping the whole attention matrix in memory; default: the engine decides"
    "engines.cache_type" "string" "Format of the KV cache: f16, or q8 or q4, which need about half or a quarter of the memory and lower the quality"
    "engines.gpu_layers" "integer" "Layers of each model on the GPU, in a build with GPU support; default: as many as fit"
    "engines.speculative" "boolean" "Uses speculative decoding where it is faster; the answers stay the same"
    "engines.draft_model" "string" "Installed model that drafts tokens for larger models with the same vocabulary"
    "engines.background_model" "string" "Model for an app's background requests, such as titles and tags, instead of the model that the app names; for example `small`"
    "engines.gbnf" "boolean" "Accepts recursive GBNF grammars; their cost is unbounded, so a hostile grammar can block a model for minutes"
    "engines.preload" "boolean" "Loads the default model when the server starts"
    "engines.llama_server" "string" "Path of a llama-server program that runs the models instead of the embedded engine"
    "engines.prompt_cache" "string" "RAM per model for KV caches that were evicted from their slot: first those of paused answers, then those of earlier prompts"
    "engines.share_prompt_cache" "boolean" "Shares the prefix cache between keys; response times then reveal to one key which prompts other keys sent"
    "engines.confinement" "string" "Reaction if the kernel cannot fully confine the worker of a model: best-effort (Lar loads the model; the log and lar doctor name what is missing), or require (Lar loads no model)"
    "memory.secrets" "string" "Handling of secrets in a text to save: refuse (Lar saves nothing), redact (Lar saves the rest), or quarantine (the rest goes to the inbox)"
    "memory.chat" "string" "Memory in the page, lar chat and lar ask: remember (recalls memories, and saves what you ask for or correct), recall, or off"
    "memory.judge" "string" "Model that judges which memories are outdated, if its calibration shows that it is fit: auto (the default chat model, while it is loaded), off, or the name of a model"
    "memory.consolidation" "string" "Comparison of memories in idle hours, which proposes to supersede duplicates and to tag themes, and links contradictions: on, or off"
    "limits.body" "string" "Maximum size of a request body"
    "limits.bodies" "string" "Maximum size of all request bodies together; a body counts until its prompt is tokenized or its request is answered; one key can use half"
    "limits.connections" "integer" "Maximum number of open connections, reduced if the limit on open files is too low; beyond it, Lar closes idle connections first"
    "limits.connections_per_address" "integer" "Maximum number of open connections from one other address; programs on this machine can use seven eighths of all connections"
    "limits.requests_per_minute" "integer" "Requests per minute for a key without its own rate limit; 0: no limit"
    "limits.queue_len_max" "integer" "Maximum number of waiting tasks per model and priority"
    "limits.queue_full" "string" "Reaction if the queue is full: reject (Lar rejects the new task), or drop-oldest (Lar drops the task that has waited longest; deprecated name: drop-lru)"
    "limits.batch_wait_max_s" "integer" "Seconds after which a waiting batch task goes before interactive tasks"
    "limits.slot_hold_max_s" "integer" "Seconds after which Lar can stop a task if its user or key has every slot of a model, others wait, and pausing does not help them; 0: never"
    "limits.shutdown_grace_s" "integer" "Seconds that running answers get to finish when the server stops"
    "listener" "array" "Additional listeners: [[listener]] addr, key_file (the key for requests without a key), cert_file and private_key_file (TLS)"
    "remote" "array" "Remote llama-servers: [[remote]] name, url, key_file"
}

/// Finds the setting with this key.
pub(super) fn find_setting(key: &str) -> anyhow::Result<&'static Setting> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
        return Ok(setting);
    }
    let likeness = |setting: &&Setting| (strsim::jaro_winkler(setting.key, key) * 1000.0) as u32;
    match SETTINGS.iter().max_by_key(likeness).filter(|setting| likeness(setting) > 750) {
        Some(near) => bail!("there is no setting `{key}`; did you mean `{}`?", near.key),
        None => bail!("there is no setting `{key}`; `lar config explain` lists the settings"),
    }
}

/// Converts a text from the environment or the command line to the setting's type. A text that cannot be
/// converted stays a string; `Config::load` rejects it with the setting's name.
pub(super) fn literal(setting: &Setting, text: &str) -> Value {
    match setting.kind {
        "boolean" => text.parse().map(Value::Boolean).unwrap_or_else(|_| Value::String(text.into())),
        "integer" => text.parse().map(Value::Integer).unwrap_or_else(|_| Value::String(text.into())),
        "array" => Value::Array(text.split(',').map(|item| Value::String(item.trim().into())).collect()),
        _ => Value::String(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::dotted_keys::leaves;

    #[test]
    fn every_setting_is_listed_once() {
        let mut config = Config { models_dir: Some("x".into()), ..Config::default() };
        config.included_models_dir = Some("x".into());
        config.engines.threads = Some(1);
        config.engines.flash_attention = Some(true);
        config.engines.gpu_layers = Some(1);
        config.engines.draft_model = Some(String::new());
        config.engines.background_model = Some(String::new());
        config.engines.context_tokens_max = Some(128);
        config.engines.memory = Some(lar_base::Bytes(1));
        config.engines.llama_server = Some("x".into());
        let table = toml::Table::try_from(config).unwrap();
        let mut keys = leaves(&table);
        let mut listed: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        keys.sort();
        listed.sort_unstable();
        assert_eq!(keys, listed);
    }

    #[test]
    fn the_reference_has_a_row_for_each_setting() {
        let reference = include_str!("../../../../docs/reference/configuration.md");
        for setting in SETTINGS {
            let Setting { key, kind, about } = setting;
            let row = format!("| `{key}` | `{}` | {kind} | {about} |\n", setting.variable());
            assert!(reference.contains(&row), "{row}");
        }
    }
}
