//! The configuration. Flags override environment variables, which override `lar.toml`, which overrides the
//! defaults.
//!
//! [`settings::SETTINGS`] lists every setting once. The names of environment variables, `config explain`, the
//! JSON Schema and the reference page come from it. A test compares it with [`Config`]. [`load`] reads and
//! checks the settings.

mod command;
mod dotted_keys;
mod environment;
mod load;
mod ranges;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use lar_base::{Bytes, deprecation};
use lar_engines::embedded::ConfinementPolicy;
use lar_inference::protocol::CacheType;
use lar_memory::{ConsolidationMode, JudgeModel};
use serde::{Deserialize, Serialize};

pub(crate) use command::{ConfigCommand, run};
pub(crate) use environment::{Environment, unknown_variables};

/// The heading of the options that every command takes, shown below the command's own options.
pub(crate) const GLOBAL_OPTIONS: &str = "Global options";

/// The settings that have a command-line flag.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Flags {
    /// Directory for all data [env: LAR_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL_OPTIONS)]
    data_dir: Option<PathBuf>,
    /// Address and port that the server listens on [env: LAR_LISTEN]
    #[arg(long, global = true, value_name = "ADDRESS:PORT", help_heading = GLOBAL_OPTIONS)]
    listen: Option<SocketAddr>,
    /// Configuration file [default: lar.toml in the data directory]
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL_OPTIONS)]
    config: Option<PathBuf>,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) models_dir: Option<PathBuf>,
    pub(crate) included_models_dir: Option<PathBuf>,
    pub(crate) hub: String,
    pub(crate) listen: SocketAddr,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) insecure_lan: bool,
    pub(crate) log: String,
    pub(crate) engines: EnginesConfig,
    pub(crate) memory: MemoryConfig,
    pub(crate) limits: LimitsConfig,
    #[serde(rename = "listener")]
    pub(crate) listeners: Vec<ListenerConfig>,
    #[serde(rename = "remote")]
    pub(crate) remotes: Vec<RemoteConfig>,
    /// The renamed values whose old names the file or the environment uses.
    #[serde(skip)]
    deprecated: Vec<RenamedValue>,
}

/// The settings of engines and models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EnginesConfig {
    pub(crate) concurrency: u32,
    pub(crate) context_tokens_max: Option<u32>,
    pub(crate) memory: Option<Bytes>,
    pub(crate) keep_alive_s: u64,
    pub(crate) threads: Option<u32>,
    pub(crate) flash_attention: Option<bool>,
    pub(crate) cache_type: CacheType,
    pub(crate) gpu_layers: Option<u32>,
    pub(crate) speculative: bool,
    pub(crate) draft_model: Option<String>,
    pub(crate) background_model: Option<String>,
    pub(crate) gbnf: bool,
    pub(crate) preload: bool,
    pub(crate) llama_server: Option<PathBuf>,
    pub(crate) prompt_cache: Bytes,
    pub(crate) share_prompt_cache: bool,
    pub(crate) confinement: ConfinementPolicy,
}

/// The settings of memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MemoryConfig {
    pub(crate) secrets: SecretsPolicy,
    pub(crate) chat: ChatMemoryMode,
    /// `auto`, `off`, or the name of a model.
    pub(crate) judge: String,
    pub(crate) consolidation: IdleConsolidation,
}

/// The use of memory in the page, `lar chat` and `lar ask`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChatMemoryMode {
    Off,
    Recall,
    #[default]
    Remember,
}

/// The comparison of memories in idle hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IdleConsolidation {
    #[default]
    On,
    Off,
}

/// The handling of secrets in a text to save as a memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SecretsPolicy {
    #[default]
    Refuse,
    Redact,
    Quarantine,
}

/// The settings of limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    pub(crate) body: Bytes,
    pub(crate) bodies: Bytes,
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) requests_per_minute: u32,
    pub(crate) queue_len_max: usize,
    pub(crate) queue_full: QueueFull,
    pub(crate) batch_wait_max_s: u64,
    pub(crate) slot_hold_max_s: u64,
    pub(crate) shutdown_grace_s: u64,
}

/// The reaction to a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueueFull {
    Reject,
    #[serde(alias = "drop-lru")]
    DropOldest,
}

/// A renamed value of a setting. The old value works for one more release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenamedValue {
    /// The dotted key of the setting.
    setting: &'static str,
    old: &'static str,
    new: &'static str,
}

/// All renamed values. The settings' types accept each old value as a serde alias.
const RENAMED_VALUES: &[RenamedValue] =
    &[RenamedValue { setting: "limits.queue_full", old: "drop-lru", new: "drop-oldest" }];

/// An additional listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerConfig {
    pub(crate) addr: SocketAddr,
    /// The file with the key for requests without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) private_key_file: Option<PathBuf>,
}

/// A `llama-server` on another host or port that Lar does not start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoteConfig {
    pub(crate) name: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            models_dir: None,
            included_models_dir: None,
            hub: lar_catalog::HUB.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 5270)),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            insecure_lan: false,
            log: "info".into(),
            engines: EnginesConfig::default(),
            memory: MemoryConfig::default(),
            limits: LimitsConfig::default(),
            listeners: Vec::new(),
            remotes: Vec::new(),
            deprecated: Vec::new(),
        }
    }
}

impl MemoryConfig {
    /// Returns the model that judges links.
    pub(crate) fn judge_model(&self) -> JudgeModel {
        match self.judge.as_str() {
            "auto" => JudgeModel::WhileLoaded,
            "off" => JudgeModel::Off,
            model => JudgeModel::Named(model.to_owned()),
        }
    }

    /// Returns whether memories are compared in idle hours.
    pub(crate) fn consolidation_mode(&self) -> ConsolidationMode {
        match self.consolidation {
            IdleConsolidation::On => ConsolidationMode::On,
            IdleConsolidation::Off => ConsolidationMode::Off,
        }
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            secrets: SecretsPolicy::default(),
            chat: ChatMemoryMode::default(),
            judge: "auto".to_owned(),
            consolidation: IdleConsolidation::default(),
        }
    }
}

impl Default for EnginesConfig {
    fn default() -> Self {
        Self {
            concurrency: 4,
            context_tokens_max: None,
            memory: None,
            keep_alive_s: 1800,
            threads: None,
            flash_attention: None,
            cache_type: CacheType::F16,
            gpu_layers: None,
            speculative: true,
            draft_model: None,
            background_model: None,
            gbnf: false,
            preload: true,
            llama_server: None,
            prompt_cache: Bytes::mib(512),
            share_prompt_cache: false,
            confinement: ConfinementPolicy::BestEffort,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body: Bytes::mib(16),
            bodies: Bytes::mib(128),
            connections: 2048,
            connections_per_address: 512,
            requests_per_minute: 0,
            queue_len_max: 256,
            queue_full: QueueFull::Reject,
            batch_wait_max_s: 60,
            slot_hold_max_s: 1800,
            shutdown_grace_s: 30,
        }
    }
}

impl Config {
    /// Logs a warning for each renamed value whose old name is in use.
    pub(crate) fn warn_deprecated(&self) {
        for RenamedValue { setting, old, new } in &self.deprecated {
            deprecation::warn_once(&format!("{setting} = \"{old}\""), &format!("{setting} = \"{new}\""));
        }
    }

    pub(crate) fn models_dir(&self) -> PathBuf {
        self.models_dir.clone().unwrap_or_else(|| self.data_dir.join("models"))
    }
}
