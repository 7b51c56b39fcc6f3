//! What the environment says: the one place that reads it, and names what it says in vain.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lar_base::Secret;

use super::settings::{SETTINGS, Setting};

/// Variables that are no settings: secrets, and where clients find a Lar.
const OTHER_VARIABLES: [&str; 3] = ["LAR_OWNER_KEY", "LAR_KEY", "LAR_URL"];

/// Those of them that are secrets.
const SECRETS: [&str; 2] = ["LAR_OWNER_KEY", "LAR_KEY"];

/// What the environment said when the process started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    values: BTreeMap<String, String>,
}

impl Environment {
    /// Reads it, and takes the secrets out of it, so that no child gets them. The only place that does. Must be called
    /// while the process has a single thread.
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

    /// Without the settings that it holds, so that a file is judged by itself.
    pub(crate) fn for_files(&self) -> Self {
        let is_setting = |name: &String| SETTINGS.iter().any(|setting| setting.variable() == *name);
        let kept =
            self.values.iter().filter(|(name, _)| name.as_str() == "LAR_DATA_DIR" || !is_setting(name));
        Self { values: kept.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// One that says this and no more.
    #[cfg(test)]
    pub(crate) fn of(values: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        Self { values: values.iter().map(own).collect() }
    }

    /// A secret, which is taken from the environment and nowhere else.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(Secret::new)
    }
}

/// What is to be said of variables that begin with `LAR_` and set nothing.
pub(crate) fn unknown_variables(environment: &Environment) -> Vec<String> {
    let settings = SETTINGS.iter().map(Setting::variable);
    let known: Vec<String> = settings.chain(OTHER_VARIABLES.iter().map(|name| (*name).to_owned())).collect();
    let unknown = environment.values.keys().filter(|name| name.starts_with("LAR_") && !known.contains(name));
    let warnings = unknown.map(|name| {
        let likeness = |other: &&String| (strsim::jaro_winkler(other, name) * 1000.0) as u32;
        match known.iter().max_by_key(likeness).filter(|near| likeness(near) > 940) {
            Some(near) => format!("the variable {name} sets nothing; did you mean {near}?"),
            None => format!("the variable {name} sets nothing; `lar config explain` lists the settings"),
        }
    });
    warnings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_set_nothing_are_named_with_the_nearest_that_do() {
        let values =
            [("LAR_LISTN", "x"), ("LAR_LISTEN", "x"), ("LAR_KEY", "x"), ("LAR_COLOUR", "x"), ("HOME", "/")];
        assert_eq!(
            unknown_variables(&Environment::of(&values)),
            [
                "the variable LAR_COLOUR sets nothing; `lar config explain` lists the settings",
                "the variable LAR_LISTN sets nothing; did you mean LAR_LISTEN?"
            ]
        );
    }
}
