//! `lar config`.

use anyhow::Context as _;
use clap::Subcommand;
use lar_base::files::{TEXT_BYTES_MAX, read_small_text};
use lar_cli::{Output, output};
use serde_json::{Map, Value, json};

use super::settings::SETTINGS;
use super::{Config, Environment, Flags, file, find, find_setting, leaves, literal};

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the effective settings
    Show,
    /// Show each setting, its value, where that came from and what it is for
    Explain,
    /// Change a setting in the file
    Set {
        /// Such as engines.concurrency
        key: String,
        /// The new value
        value: String,
    },
    /// Print the JSON Schema of the file
    Schema,
}

/// Runs a command.
///
/// # Errors
/// When the configuration is not valid or cannot be written.
pub(crate) fn run(
    command: Command,
    flags: &Flags,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        Command::Show => {
            let (config, _) = Config::load(flags, environment)?;
            let text = toml::to_string(&config)?;
            output.show(&config, || text.trim_end().to_owned())
        }
        Command::Explain => explain(flags, environment, output),
        Command::Set { key, value } => set(&key, &value, flags, environment, output),
        Command::Schema => output.line(&serde_json::to_string_pretty(&schema())?),
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
    output
        .show(&json, || output::table(&["setting", "value", "from", "for"], rows.into_iter().map(Vec::from)))
}

fn set(
    key: &str,
    value: &str,
    flags: &Flags,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    let setting = find_setting(key)?;
    anyhow::ensure!(key != "remote", "[[remote]] entries are written into the file by hand");
    let path = file(flags, environment)?;
    let before = match read_small_text(&path, TEXT_BYTES_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let mut table: toml::Table = before.parse().with_context(|| format!("{} is no TOML", path.display()))?;
    super::set(&mut table, key, literal(setting, value));
    let folder = path.parent().context("the file has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    // The new file is tried before it takes the old one's place.
    let new = path.with_extension("toml.new");
    std::fs::write(&new, toml::to_string(&table)?)
        .with_context(|| format!("{} cannot be written", new.display()))?;
    // The environment would hide a bad value in the file for as long as it names a better one.
    let tried =
        Config::load(&Flags { config: Some(new.clone()), ..Flags::default() }, &environment.for_files());
    if let Err(error) = &tried
        && !remains(&before, key, error)
    {
        let _ = std::fs::remove_file(&new);
        // The file that was tried is gone; the message is about the value.
        let origin = format!(" (from {})", new.display());
        anyhow::bail!("{}", format!("{error:#}").replace(&origin, ""));
    }
    std::fs::rename(&new, &path)?;
    output.show(&json!({ "key": key, "file": path }), || {
        format!("{key} is set in {}. It takes effect when the server is started again.", path.display())
    })
}

/// Whether an error of the new file is one that the old file had already and that is about another setting: it
/// must not stand in the way of mending this one.
fn remains(before: &str, key: &str, error: &anyhow::Error) -> bool {
    let error = format!("{error:#}");
    let about = |setting: &str| error.contains(&format!("`{setting}`"));
    let there_before = before
        .parse::<toml::Table>()
        .is_ok_and(|table| leaves(&table).iter().any(|setting| setting != key && about(setting)));
    there_before && !about(key)
}

/// The JSON Schema of `lar.toml`.
fn schema() -> Value {
    let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
    let mut properties = Map::new();
    for setting in SETTINGS {
        let mut property = json!({ "type": setting.kind, "description": setting.about });
        if let Some(default) =
            find(&defaults, setting.key).filter(|_| leaves(&defaults).contains(&setting.key.into()))
        {
            property["default"] = serde_json::to_value(default).unwrap_or_default();
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
    fn the_schema_is_as_it_was() {
        insta::assert_json_snapshot!("config_schema", schema());
    }
}
