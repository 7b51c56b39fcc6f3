//! The environment variables. Only this module reads them. It also names `LAR_` variables that have no
//! effect.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lar_base::Secret;

use super::settings::{SETTINGS, Setting};

/// `LAR_` variables that are not settings: secrets, and the URL that client commands use.
const OTHER_VARIABLES: [&str; 3] = ["LAR_OWNER_KEY", "LAR_KEY", "LAR_URL"];

/// The variables that are secrets.
const SECRETS: [&str; 2] = ["LAR_OWNER_KEY", "LAR_KEY"];

/// The environment variables when the process started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    values: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the variables that Lar uses, and removes the secrets from the environment, so that no child
    /// process inherits them. Must be called while the process has a single thread.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn read() -> Self {
        let ours = |name: &str| {
            name.starts_with("LAR_")
                || matches!(
                    name,
                    "HOME"
                        | "XDG_DATA_HOME"
                        | "XDG_CACHE_HOME"
                        | "CODEX_HOME"
                        | "CLAUDE_CONFIG_DIR"
                        | "OLLAMA_MODELS"
                        | "HF_HOME"
                        | "HF_HUB_CACHE"
                        | "HUGGINGFACE_HUB_CACHE"
                )
        };
        let mut values: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| ours(name))
            .collect();
        for name in SECRETS {
            let secret = lar_sandbox::take_secret(name);
            values.extend(secret.map(|secret| (name.to_owned(), secret)));
        }
        Self { values }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// Returns a copy without variables that are settings, except `LAR_DATA_DIR`, to check a file on its own.
    pub(crate) fn for_files(&self) -> Self {
        let is_setting = |name: &String| SETTINGS.iter().any(|setting| setting.variable() == *name);
        let kept =
            self.values.iter().filter(|(name, _)| name.as_str() == "LAR_DATA_DIR" || !is_setting(name));
        Self { values: kept.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// Returns an environment with only these variables.
    #[cfg(test)]
    pub(crate) fn of(values: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        Self { values: values.iter().map(own).collect() }
    }

    /// Returns a secret. Secrets come from the environment only, never from the file or a flag.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(Secret::new)
    }
}

/// Returns a warning for each `LAR_` variable that is not known.
pub(crate) fn unknown_variables(environment: &Environment) -> Vec<String> {
    let settings = SETTINGS.iter().map(Setting::variable);
    let known: Vec<String> = settings.chain(OTHER_VARIABLES.iter().map(|name| (*name).to_owned())).collect();
    let unknown = environment.values.keys().filter(|name| name.starts_with("LAR_") && !known.contains(name));
    let warnings = unknown.map(|name| {
        let likeness = |other: &&String| (strsim::jaro_winkler(other, name) * 1000.0) as u32;
        match known.iter().max_by_key(likeness).filter(|near| likeness(near) > 940) {
            Some(near) => format!("the environment variable {name} has no effect; did you mean {near}?"),
            None => format!(
                "the environment variable {name} has no effect; `lar config explain` lists the settings"
            ),
        }
    });
    warnings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_are_named_with_the_nearest_known_variable() {
        let values =
            [("LAR_LISTN", "x"), ("LAR_LISTEN", "x"), ("LAR_KEY", "x"), ("LAR_COLOUR", "x"), ("HOME", "/")];
        assert_eq!(
            unknown_variables(&Environment::of(&values)),
            [
                "the environment variable LAR_COLOUR has no effect; `lar config explain` lists the settings",
                "the environment variable LAR_LISTN has no effect; did you mean LAR_LISTEN?"
            ]
        );
    }
}
