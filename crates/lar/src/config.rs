//! The configuration: defaults, then `lar.toml`, then `LAR_*` of the environment, then flags.
//!
//! [`settings::SETTINGS`] lists every setting once; the environment's names, `config explain`, the JSON
//! Schema and the reference page come from it, and a test holds it to [`Config`].

mod command;
mod environment;
mod ranges;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use lar_base::Bytes;
use lar_base::files::{TEXT_BYTES_MAX, read_small_text};
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::protocol::CacheType;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub(crate) use command::{Command, run};
pub(crate) use environment::{Environment, unknown_variables};
use settings::{SETTINGS, Setting};

use crate::logging;

/// The heading of options that every command takes, below the command's own.
pub(crate) const GLOBAL_OPTIONS: &str = "Global options";

/// What `limits.body` may be, in bytes.
const BODY_MIN: u64 = 1024;
const BODY_MAX: u64 = 4 << 30;

/// The settings that have flags.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Flags {
    /// Directory of all data [env: LAR_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL_OPTIONS)]
    data_dir: Option<PathBuf>,
    /// Address that the server listens on [env: LAR_LISTEN]
    #[arg(long, global = true, value_name = "ADDRESS:PORT", help_heading = GLOBAL_OPTIONS)]
    listen: Option<SocketAddr>,
    /// Configuration file [default: lar.toml in the data directory]
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL_OPTIONS)]
    config: Option<PathBuf>,
}

/// Everything that can be set.
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
}

/// How models are run.
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

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MemoryConfig {
    pub(crate) secrets: SecretsPolicy,
    pub(crate) chat: ChatMemoryMode,
}

/// What memory does in the page and in `lar chat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChatMemoryMode {
    Off,
    Recall,
    #[default]
    Remember,
}

/// What is done about secrets in what is to be remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SecretsPolicy {
    #[default]
    Refuse,
    Redact,
    Quarantine,
}

/// Named limits.
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

/// What happens when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueueFull {
    Reject,
    #[serde(rename = "drop-lru")]
    DropOldest,
}

/// A further place to listen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerConfig {
    pub(crate) addr: SocketAddr,
    /// Holds the key that requests without one get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) private_key_file: Option<PathBuf>,
}

/// A `llama-server` that runs elsewhere.
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

/// Where each setting that is not a default came from.
pub(crate) type Origins = BTreeMap<String, String>;

impl Config {
    /// Reads it from everywhere.
    ///
    /// # Errors
    /// When the file or a value is not what it should be; the message names the setting.
    pub(crate) fn load(flags: &Flags, environment: &Environment) -> anyhow::Result<(Self, Origins)> {
        let file = file(flags, environment)?;
        let text = match read_small_text(&file, TEXT_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && flags.config.is_none() => {
                String::new()
            }
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        };
        let mut table: Table = text.parse().with_context(|| format!("{} is no TOML", file.display()))?;
        let mut origins = Origins::new();
        for key in leaves(&table) {
            find_setting(&key).with_context(|| file.display().to_string())?;
            origins.insert(key, file.display().to_string());
        }
        for setting in SETTINGS {
            let name = setting.variable();
            if let Some(text) = environment.get(&name) {
                set(&mut table, setting.key, literal(setting, text));
                origins.insert(setting.key.into(), name);
            }
        }
        let flag = |path: &PathBuf| Value::String(path.display().to_string());
        let flags = [
            ("data_dir", flags.data_dir.as_ref().map(flag)),
            ("listen", flags.listen.map(|listen| Value::String(listen.to_string()))),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                set(&mut table, key, value);
                origins.insert(key.into(), format!("--{}", key.replace('_', "-")));
            }
        }
        ranges::check(&table)?;
        let mut config: Self = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
            let (path, reason) = (error.path().to_string(), error.inner().message().to_owned());
            let origin = origins.get(&path).map(|origin| format!(" (from {origin})")).unwrap_or_default();
            anyhow::anyhow!("`{path}`{origin} is not valid: {reason}")
        })?;
        if config.data_dir.as_os_str().is_empty() {
            config.data_dir = default_data_dir(environment)?;
        }
        config.data_dir = std::path::absolute(&config.data_dir)?;
        // Children do not run in this folder.
        let paths =
            [&mut config.models_dir, &mut config.included_models_dir, &mut config.engines.llama_server];
        for path in paths.into_iter().flatten() {
            *path = std::path::absolute(&*path)?;
        }
        config.check()?;
        Ok((config, origins))
    }

    /// The defaults, with the data directory that would be used: for commands that must run although the
    /// configuration is not valid.
    ///
    /// # Errors
    /// When there is no place for a data directory.
    pub(crate) fn fallback(flags: &Flags, environment: &Environment) -> anyhow::Result<Self> {
        let file = file(flags, environment)?;
        let data_dir = match (&flags.data_dir, environment.get("LAR_DATA_DIR")) {
            (Some(directory), _) => directory.clone(),
            (None, Some(directory)) => directory.into(),
            (None, None) => file.parent().map(PathBuf::from).unwrap_or_default(),
        };
        Ok(Self { data_dir: std::path::absolute(data_dir)?, ..Self::default() })
    }

    fn check(&self) -> anyhow::Result<()> {
        lar_server::AllowedOrigins::parse(&self.allowed_origins)
            .map_err(|reason| anyhow::anyhow!("`allowed_origins`: {reason}"))?;
        lar_egress::check_base(&self.hub).map_err(|error| anyhow::anyhow!("`hub`: {error}"))?;
        logging::check_filter(&self.log).map_err(|reason| anyhow::anyhow!("`log`: {reason}"))?;
        ensure!(
            self.engines.cache_type == CacheType::F16 || self.engines.flash_attention != Some(false),
            "`engines.cache_type` other than f16 needs flash attention; leave `engines.flash_attention` out"
        );
        let body = self.limits.body.get();
        ensure!(
            (BODY_MIN..=BODY_MAX).contains(&body),
            "`limits.body` must be from {BODY_MIN} to {BODY_MAX}, is {body}"
        );
        for listener in &self.listeners {
            ensure!(
                listener.cert_file.is_some() == listener.private_key_file.is_some(),
                "the listener on {} needs `cert_file` and `private_key_file`, or neither",
                listener.addr
            );
        }
        let plain = self.listeners.iter().filter(|listener| listener.cert_file.is_none());
        let plain = plain.map(|listener| listener.addr).chain([self.listen]);
        if let Some(open) = plain.into_iter().find(|at| !at.ip().is_loopback())
            && !self.insecure_lan
        {
            bail!(
                "listening on {} would let other machines in over plain HTTP; choose it with `insecure_lan = true` \
                 (LAR_INSECURE_LAN=true), give a `[[listener]]` a `cert_file`, or listen on 127.0.0.1 behind a reverse proxy with TLS",
                open
            );
        }
        Ok(())
    }

    pub(crate) fn models_dir(&self) -> PathBuf {
        self.models_dir.clone().unwrap_or_else(|| self.data_dir.join("models"))
    }
}

/// The configuration file that is read.
fn file(flags: &Flags, environment: &Environment) -> anyhow::Result<PathBuf> {
    if let Some(file) = &flags.config {
        return Ok(file.clone());
    }
    let data_dir = match (&flags.data_dir, environment.get("LAR_DATA_DIR")) {
        (Some(directory), _) => directory.clone(),
        (None, Some(directory)) => directory.into(),
        (None, None) => default_data_dir(environment)?,
    };
    Ok(data_dir.join("lar.toml"))
}

fn default_data_dir(environment: &Environment) -> anyhow::Result<PathBuf> {
    match (environment.get("XDG_DATA_HOME"), environment.home()) {
        (Some(data), _) => Ok(PathBuf::from(data).join("lar")),
        (None, Some(home)) => Ok(home.join(".local/share/lar")),
        (None, None) => bail!("there is no HOME to keep data below; name a place with --data-dir"),
    }
}

/// The keys of all values that are no tables, dotted.
fn leaves(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => keys.extend(leaves(inner).into_iter().map(|key| format!("{name}.{key}"))),
            _ => keys.push(name.clone()),
        }
    }
    keys
}

/// The setting of this name.
fn find_setting(key: &str) -> anyhow::Result<&'static Setting> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
        return Ok(setting);
    }
    let likeness = |setting: &&Setting| (strsim::jaro_winkler(setting.key, key) * 1000.0) as u32;
    match SETTINGS.iter().max_by_key(likeness).filter(|setting| likeness(setting) > 750) {
        Some(near) => bail!("there is no setting `{key}`; did you mean `{}`?", near.key),
        None => bail!("there is no setting `{key}`; `lar config explain` lists them"),
    }
}

fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
    }
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.into(), value);
        }
        Some((section, rest)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Some(section) = section.as_table_mut() {
                set(section, rest, value);
            }
        }
    }
}

/// A text from the environment or the command line as the setting's type; what does not fit stays a text,
/// and is refused with the setting's name.
fn literal(setting: &Setting, text: &str) -> Value {
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

    fn environment(values: &[(&str, &str)]) -> Environment {
        Environment::of(values)
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display().to_string();
        std::fs::write(
            directory.path().join("lar.toml"),
            "log = \"warn\"\nlisten = \"127.0.0.1:1\"\n[engines]\nthreads = 3\nconcurrency = 2\n",
        )
        .unwrap();
        let environment = environment(&[
            ("LAR_DATA_DIR", &path),
            ("LAR_ENGINES_CONCURRENCY", "7"),
            ("LAR_LISTEN", "127.0.0.1:2"),
        ]);
        let flags = Flags { listen: Some("127.0.0.1:3".parse().unwrap()), ..Flags::default() };
        let (config, origins) = Config::load(&flags, &environment).unwrap();
        assert_eq!(
            (config.log.as_str(), config.engines.threads, config.engines.concurrency),
            ("warn", Some(3), 7)
        );
        assert_eq!(config.listen.port(), 3);
        assert_eq!(origins["listen"], "--listen");
        assert_eq!(origins["engines.concurrency"], "LAR_ENGINES_CONCURRENCY");
        assert!(origins["log"].ends_with("lar.toml"));
    }

    #[test]
    fn mistakes_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display().to_string();
        let error_for = |text: &str, more: &[(&str, &str)]| {
            std::fs::write(directory.path().join("lar.toml"), text).unwrap();
            let values = [&[("LAR_DATA_DIR", path.as_str())], more].concat();
            format!("{:#}", Config::load(&Flags::default(), &environment(&values)).unwrap_err())
        };
        assert!(error_for("lisen = 1", &[]).ends_with("there is no setting `lisen`; did you mean `listen`?"));
        assert!(error_for("[engines]\nconcurency = 1", &[]).contains("did you mean `engines.concurrency`?"));
        assert!(error_for("log = [", &[]).contains("is no TOML"));
        let many = error_for("", &[("LAR_ENGINES_THREADS", "many")]);
        assert!(many.contains("`engines.threads` (from LAR_ENGINES_THREADS)"), "{many}");
        assert!(many.contains("invalid type: string \"many\""), "{many}");
        assert!(
            error_for("[engines]\nconcurrency = 0", &[])
                .contains("`engines.concurrency` must be from 1 to 256, is 0")
        );
        assert!(error_for("listen = \"0.0.0.0:5270\"", &[]).contains("insecure_lan"));
        assert!(error_for("[engines]\ncache_type = \"q2\"", &[]).contains("`engines.cache_type`"));
        let both = "[engines]\ncache_type = \"q8\"\nflash_attention = false";
        assert!(error_for(both, &[]).contains("needs flash attention"));
        let many = error_for("", &[("LAR_LIMITS_SHUTDOWN_GRACE_S", "18446744073709551615")]);
        assert!(
            many.contains("`limits.shutdown_grace_s` must be from 0 to 4294967296, is 1844674"),
            "{many}"
        );
        let tokens = error_for("[engines]\ncontext_tokens_max = 9223372036854775807", &[]);
        assert!(
            tokens.contains("`engines.context_tokens_max` must be from 128 to 4194304, is 922337"),
            "{tokens}"
        );
        for (hub, reason) in [
            ("../../x", "is not an http or https URL"),
            ("file:///etc", "its scheme is `file`"),
            ("https://mirror.lan/?a=", "has a query"),
            ("", "is not an http or https URL"),
        ] {
            let refused = error_for(&format!("hub = \"{hub}\""), &[]);
            assert!(refused.starts_with("`hub`: `") && refused.contains(reason), "{hub}: {refused}");
        }
        for filter in ["][", "[[[", "info,lar_engines=loud", "inof"] {
            let refused = error_for(&format!("log = \"{filter}\""), &[]);
            assert!(
                refused.starts_with("`log`: ") && refused.contains("error, warn, info, debug"),
                "{refused}"
            );
        }
    }

    #[test]
    fn filters_and_mirrors_that_are_good_are_taken() {
        for filter in
            ["info", "WARN", "off", "info,lar_engines=debug", "warn,lar_store", "lar_server[request]=debug"]
        {
            assert_eq!(logging::check_filter(filter), Ok(()), "{filter}");
        }
        for hub in [lar_catalog::HUB, "http://127.0.0.1:8080", "https://mirror.lan/hf/"] {
            assert!(lar_egress::check_base(hub).is_ok(), "{hub}");
        }
    }

    #[test]
    fn a_file_of_settings_is_a_small_regular_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display().to_string();
        let file = directory.path().join("lar.toml");
        let refused = || {
            let values = environment(&[("LAR_DATA_DIR", path.as_str())]);
            format!("{:#}", Config::load(&Flags::default(), &values).unwrap_err())
        };
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        let expected = format!("{} cannot be read: it is a device, not a regular file", file.display());
        assert_eq!(refused(), expected);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "#".repeat(2 << 20)).unwrap();
        assert!(refused().contains("lar.toml cannot be read: it has more than 1.0 MiB"), "{}", refused());
    }
}
