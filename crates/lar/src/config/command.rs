//! `lar config`: shows, explains and changes the settings.

use anyhow::Context as _;
use clap::Subcommand;
use lar_base::files::{TEXT_BYTES_MAX, read_small_text};
use lar_cli::{Output, output};
use serde_json::{Map, Value, json};

use super::dotted_keys::{self, find, leaves};
use super::environment::Environment;
use super::load::find_file;
use super::settings::{SETTINGS, find_setting, literal};
use super::{Config, Flags};

/// The subcommands of `lar config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the effective settings
    Show,
    /// Show the value, source and description of each setting
    Explain,
    /// Change a setting in the configuration file
    Set {
        /// The setting, such as engines.concurrency
        key: String,
        /// The new value
        value: String,
    },
    /// Print the JSON Schema of the configuration file
    Schema,
}

/// Runs the command.
///
/// # Errors
/// If the configuration is invalid or cannot be written.
pub(crate) fn run(
    command: ConfigCommand,
    flags: &Flags,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show => {
            let (config, _) = Config::load(flags, environment)?;
            let text = toml::to_string(&config)?;
            output.show(&config, || text.trim_end().to_owned())
        }
        ConfigCommand::Explain => explain(flags, environment, output),
        ConfigCommand::Set { key, value } => set(&key, &value, flags, environment, output),
        ConfigCommand::Schema => output.line(&serde_json::to_string_pretty(&schema())?),
    }
}

fn explain(flags: &Flags, environment: &Environment, output: &Output) -> anyhow::Result<()> {
    let (config, origins) = Config::load(flags, environment)?;
    let values = toml::Table::try_from(&config)?;
    let rows: Vec<[String; 4]> = SETTINGS
        .iter()
        .map(|setting| {
            let value = find(&values, setting.key).map_or_else(|| "–".into(), |value| value.to_string());
            let origin = origins.get(setting.key).cloned().unwrap_or_else(|| "default".into());
            [setting.key.into(), value, origin, setting.about.into()]
        })
        .collect();
    let json: Vec<Value> = rows
        .iter()
        .map(|[key, value, origin, about]| json!({ "key": key, "value": value, "origin": origin, "about": about }))
        .collect();
    output.show(&json, || {
        output::table(&["setting", "value", "source", "description"], rows.into_iter().map(Vec::from))
    })
}

fn set(
    key: &str,
    value: &str,
    flags: &Flags,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    let setting = find_setting(key)?;
    anyhow::ensure!(key != "remote", "`lar config set` cannot change [[remote]]: edit the file by hand");
    let path = find_file(flags, environment)?;
    let before = match read_small_text(&path, TEXT_BYTES_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let mut table: toml::Table =
        before.parse().with_context(|| format!("{} is not valid TOML", path.display()))?;
    dotted_keys::set(&mut table, key, literal(setting, value));
    let folder = path.parent().context("the file has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    // The new file is checked before it replaces the old one.
    let new = path.with_extension("toml.new");
    std::fs::write(&new, toml::to_string(&table)?)
        .with_context(|| format!("{} cannot be written", new.display()))?;
    // A variable in the environment would hide an invalid value in the file.
    let tried =
        Config::load(&Flags { config: Some(new.clone()), ..Flags::default() }, &environment.for_files());
    if let Err(error) = &tried
        && !remains(&before, key, error)
    {
        let _ = std::fs::remove_file(&new);
        // The checked file is removed, so the message does not name it.
        let origin = format!(" (from {})", new.display());
        anyhow::bail!("{}", format!("{error:#}").replace(&origin, ""));
    }
    std::fs::rename(&new, &path)?;
    output.show(&json!({ "key": key, "file": path }), || {
        format!("Set {key} in {}. The change takes effect when the server restarts.", path.display())
    })
}

/// Returns whether the old file already had this error, and the error is about another setting. Such an error
/// must not prevent a change of this setting.
fn remains(before: &str, key: &str, error: &anyhow::Error) -> bool {
    let error = format!("{error:#}");
    let about = |setting: &str| error.contains(&format!("`{setting}`"));
    let there_before = before
        .parse::<toml::Table>()
        .is_ok_and(|table| leaves(&table).iter().any(|setting| setting != key && about(setting)));
    there_before && !about(key)
}

/// Returns the JSON Schema of `lar.toml`.
fn schema() -> Value {
    let defaults = toml::Table::try_from(Config::default()).expect("the default settings are valid TOML");
    let mut properties = Map::new();
    for setting in SETTINGS {
        let mut property = json!({ "type": setting.kind, "description": setting.about });
        if let Some(default) =
            find(&defaults, setting.key).filter(|_| leaves(&defaults).contains(&setting.key.into()))
        {
            property["default"] = serde_json::to_value(default).expect("a TOML value serializes");
        }
        match setting.key.split_once('.') {
            None => {
                properties.insert(setting.key.into(), property);
            }
            Some((section, name)) => {
                let section = properties.entry(section).or_insert_with(
                    || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
                );
                section["properties"][name] = property;
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lar.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn the_schema_matches_its_snapshot() {
        insta::assert_json_snapshot!("config_schema", schema());
    }
}
