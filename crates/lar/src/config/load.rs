//! Loads the configuration: reads `lar.toml`, the environment and the flags, and checks the values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use lar_base::files::{TEXT_BYTES_MAX, read_small_text};
use lar_inference::protocol::CacheType;
use toml::{Table, Value};

use super::dotted_keys::{find, leaves, set};
use super::environment::Environment;
use super::settings::{SETTINGS, find_setting, literal};
use super::{Config, Flags, RENAMED_VALUES, RenamedValue, ranges};
use crate::logging;

/// The range of `limits.body`, in bytes.
const BODY_MIN: u64 = 1024;
const BODY_MAX: u64 = 4 << 30;

/// The source of each setting that is not a default: a file, an environment variable or a flag.
pub(crate) type Origins = BTreeMap<String, String>;

impl Config {
    /// Loads the configuration from the file, the environment and the flags.
    ///
    /// # Errors
    /// If the file or a value is invalid; the message names the setting.
    pub(crate) fn load(flags: &Flags, environment: &Environment) -> anyhow::Result<(Self, Origins)> {
        let file = find_file(flags, environment)?;
        let text = match read_small_text(&file, TEXT_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && flags.config.is_none() => {
                String::new()
            }
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        };
        let mut table: Table =
            text.parse().with_context(|| format!("{} is not valid TOML", file.display()))?;
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
        let is_used = |value: &&RenamedValue| {
            find(&table, value.setting).and_then(Value::as_str).is_some_and(|text| text == value.old)
        };
        let deprecated: Vec<RenamedValue> = RENAMED_VALUES.iter().filter(is_used).copied().collect();
        let mut config: Self = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
            let (path, reason) = (error.path().to_string(), error.inner().message().to_owned());
            let origin = origins.get(&path).map(|origin| format!(" (from {origin})")).unwrap_or_default();
            anyhow::anyhow!("`{path}`{origin} is not valid: {reason}")
        })?;
        config.deprecated = deprecated;
        if config.data_dir.as_os_str().is_empty() {
            config.data_dir = default_data_dir(environment)?;
        }
        config.data_dir = std::path::absolute(&config.data_dir)?;
        // Child processes have another working directory.
        let paths =
            [&mut config.models_dir, &mut config.included_models_dir, &mut config.engines.llama_server];
        for path in paths.into_iter().flatten() {
            *path = std::path::absolute(&*path)?;
        }
        config.check()?;
        Ok((config, origins))
    }

    /// Returns the default settings with the data directory that [`Config::load`] would use, for commands
    /// that must run with an invalid configuration.
    ///
    /// # Errors
    /// If no data directory is given and HOME is not set.
    pub(crate) fn fallback(flags: &Flags, environment: &Environment) -> anyhow::Result<Self> {
        let file = find_file(flags, environment)?;
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
            "an `engines.cache_type` other than f16 needs flash attention: remove `engines.flash_attention = \
             false`"
        );
        let body = self.limits.body.get();
        ensure!(
            (BODY_MIN..=BODY_MAX).contains(&body),
            "`limits.body` must be between {BODY_MIN} and {BODY_MAX}, got {body}"
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
                "a listener on {} without TLS would admit other machines over plain HTTP. To allow this, set \
                 `insecure_lan = true` (LAR_INSECURE_LAN=true). Otherwise use a `[[listener]]` with a \
                 `cert_file`, or listen on 127.0.0.1 behind a reverse proxy with TLS",
                open
            );
        }
        Ok(())
    }
}

/// Returns the path of the configuration file.
pub(super) fn find_file(flags: &Flags, environment: &Environment) -> anyhow::Result<PathBuf> {
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
        (None, None) => {
            bail!("HOME is not set, so there is no default data directory: choose one with --data-dir")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::QueueFull;

    fn environment(values: &[(&str, &str)]) -> Environment {
        Environment::of(values)
    }

    #[test]
    fn flags_override_the_environment_and_the_environment_overrides_the_file() {
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
    fn the_old_name_of_a_value_is_accepted_and_reported() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display().to_string();
        let load = |text: &str, more: &[(&str, &str)]| {
            std::fs::write(directory.path().join("lar.toml"), text).unwrap();
            let values = [&[("LAR_DATA_DIR", path.as_str())], more].concat();
            Config::load(&Flags::default(), &environment(&values)).unwrap().0
        };
        let old = [
            load("[limits]\nqueue_full = \"drop-lru\"\n", &[]),
            load("", &[("LAR_LIMITS_QUEUE_FULL", "drop-lru")]),
        ];
        for config in old {
            assert_eq!(config.limits.queue_full, QueueFull::DropOldest);
            assert_eq!(config.deprecated, RENAMED_VALUES);
            assert!(toml::to_string(&config).unwrap().contains("queue_full = \"drop-oldest\""));
        }
        let new = load("[limits]\nqueue_full = \"drop-oldest\"\n", &[]);
        assert_eq!(new.limits.queue_full, QueueFull::DropOldest);
        assert!(new.deprecated.is_empty());
    }

    #[test]
    fn errors_name_the_invalid_setting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display().to_string();
        let error_for = |text: &str, more: &[(&str, &str)]| {
            std::fs::write(directory.path().join("lar.toml"), text).unwrap();
            let values = [&[("LAR_DATA_DIR", path.as_str())], more].concat();
            format!("{:#}", Config::load(&Flags::default(), &environment(&values)).unwrap_err())
        };
        assert!(error_for("lisen = 1", &[]).ends_with("there is no setting `lisen`; did you mean `listen`?"));
        assert!(error_for("[engines]\nconcurency = 1", &[]).contains("did you mean `engines.concurrency`?"));
        assert!(error_for("log = [", &[]).contains("is not valid TOML"));
        let many = error_for("", &[("LAR_ENGINES_THREADS", "many")]);
        assert!(many.contains("`engines.threads` (from LAR_ENGINES_THREADS)"), "{many}");
        assert!(many.contains("invalid type: string \"many\""), "{many}");
        assert!(
            error_for("[engines]\nconcurrency = 0", &[])
                .contains("`engines.concurrency` must be between 1 and 256, got 0")
        );
        assert!(error_for("listen = \"0.0.0.0:5270\"", &[]).contains("insecure_lan"));
        assert!(error_for("[engines]\ncache_type = \"q2\"", &[]).contains("`engines.cache_type`"));
        let both = "[engines]\ncache_type = \"q8\"\nflash_attention = false";
        assert!(error_for(both, &[]).contains("needs flash attention"));
        let many = error_for("", &[("LAR_LIMITS_SHUTDOWN_GRACE_S", "18446744073709551615")]);
        assert!(
            many.contains("`limits.shutdown_grace_s` must be between 0 and 4294967296, got 1844674"),
            "{many}"
        );
        let tokens = error_for("[engines]\ncontext_tokens_max = 9223372036854775807", &[]);
        assert!(
            tokens.contains("`engines.context_tokens_max` must be between 128 and 4194304, got 922337"),
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
    fn valid_filters_and_hubs_are_accepted() {
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
    fn a_configuration_file_must_be_a_small_regular_file() {
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
        assert!(
            refused().contains("lar.toml cannot be read: it is larger than the limit of 1.0 MiB"),
            "{}",
            refused()
        );
    }
}
