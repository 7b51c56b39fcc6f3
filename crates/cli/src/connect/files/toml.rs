//! Settings in TOML. Comments and order stay.

use anyhow::Context as _;
use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::config_entry::ConfigEntry;

/// Sets `settings` in `text` to their values in the document `new`. Adds each setting to `entries`.
pub(super) fn set(
    text: &str,
    new: &str,
    settings: &[impl AsRef<str>],
    entries: &mut Vec<ConfigEntry>,
) -> anyhow::Result<String> {
    let mut document = parse(text)?;
    let new: DocumentMut = new.parse().context("the recipe is not valid TOML")?;
    for setting in settings {
        let setting = setting.as_ref();
        let keys: Vec<&str> = setting.split('.').collect();
        let (last, parents) = keys.split_last().context("the setting has no name")?;
        let new_item = keys.iter().try_fold(new.as_item(), |item, key| item.get(key));
        let new_item = new_item.with_context(|| format!("the recipe has no `{setting}`"))?.clone();
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for key in parents {
            let item = table.entry(key).or_insert_with(|| {
                let mut parent = Table::new();
                parent.set_implicit(true);
                Item::Table(parent)
            });
            table = item
                .as_table_like_mut()
                .with_context(|| format!("`{key}` is not a table, so `{setting}` cannot be set"))?;
        }
        let before = table.get(last).map(value_of);
        entries.push(ConfigEntry { setting: setting.into(), before, after: value_of(&new_item) });
        table.insert(last, new_item);
    }
    Ok(document.to_string())
}

/// Restores the values before the change. Adds the settings that have other values by now, and stay, to `left`.
pub(super) fn unset(text: &str, entries: &[ConfigEntry], left: &mut Vec<String>) -> anyhow::Result<String> {
    let mut document = parse(text)?;
    for entry in entries {
        let keys: Vec<&str> = entry.setting.split('.').collect();
        let Some((last, parents)) = keys.split_last() else { continue };
        let top: &mut dyn TableLike = document.as_table_mut();
        let table =
            parents.iter().try_fold(top, |table, key| table.get_mut(key).and_then(Item::as_table_like_mut));
        let Some(table) = table else { continue };
        let Some(now) = table.get(last).map(value_of) else { continue };
        if now != entry.after {
            left.push(entry.setting.clone());
            continue;
        }
        table.remove(last);
        if let Some(before) = &entry.before {
            table.insert(last, toml_edit::value(item_of(before)?));
        }
    }
    Ok(document.to_string())
}

fn parse(text: &str) -> anyhow::Result<DocumentMut> {
    text.parse().map_err(|error| anyhow::anyhow!("the file is not valid TOML: {error}"))
}

/// Returns the value of an item, without its formatting.
fn value_of(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        return Value::Object(table.iter().map(|(name, item)| (name.to_owned(), value_of(item))).collect());
    }
    if let Some(tables) = item.as_array_of_tables() {
        let table = |table: &Table| value_of(&Item::Table(table.clone()));
        return Value::Array(tables.iter().map(table).collect());
    }
    match item.as_value() {
        Some(toml_edit::Value::Array(items)) => {
            Value::Array(items.iter().map(|value| value_of(&Item::Value(value.clone()))).collect())
        }
        Some(toml_edit::Value::String(text)) => Value::String(text.value().clone()),
        Some(toml_edit::Value::Integer(number)) => Value::from(*number.value()),
        Some(toml_edit::Value::Float(number)) => Value::from(*number.value()),
        Some(toml_edit::Value::Boolean(set)) => Value::Bool(*set.value()),
        Some(toml_edit::Value::Datetime(time)) => Value::String(time.value().to_string()),
        _ => Value::Null,
    }
}

fn item_of(value: &Value) -> anyhow::Result<toml_edit::Value> {
    Ok(match value {
        Value::Null => anyhow::bail!("TOML has no null"),
        Value::Bool(set) => (*set).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => {
            items.iter().map(item_of).collect::<anyhow::Result<toml_edit::Array>>()?.into()
        }
        Value::Object(fields) => {
            let mut table = toml_edit::InlineTable::new();
            for (name, value) in fields {
                table.insert(name, item_of(value)?);
            }
            table.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "[mcp_servers.lar]\ncommand = \"lar\"\nargs = [\"mcp\"]\n";

    #[test]
    fn other_toml_settings_survive_set_and_unset() {
        let texts = [
            "",
            "# mine\nmodel = \"x\" # why\n\n[mcp_servers.other]\ncommand = \"y\"\n",
            "[mcp_servers]\nlar = { command = \"old\" }\n",
            "mcp_servers = { }\n",
        ];
        for text in texts {
            let mut entries = Vec::new();
            let with = set(text, NEW, &["mcp_servers.lar"], &mut entries).unwrap();
            let read: DocumentMut = with.parse().unwrap();
            assert_eq!(read["mcp_servers"]["lar"]["command"].as_str(), Some("lar"), "{with}");
            for kept in ["# mine", "# why", "[mcp_servers.other]"] {
                assert_eq!(text.contains(kept), with.contains(kept), "{kept} {with}");
            }
            let mut left = Vec::new();
            let without = unset(&with, &entries, &mut left).unwrap();
            assert!(left.is_empty() && !without.contains("\"lar\""), "{without}");
            assert_eq!(text.contains("old"), without.contains("old"), "{without}");
        }
    }

    #[test]
    fn later_changes_stay_and_values_other_than_tables_are_refused() {
        let mut entries = Vec::new();
        let with = set("", NEW, &["mcp_servers.lar"], &mut entries).unwrap().replace("\"mcp\"", "\"mine\"");
        let mut left = Vec::new();
        assert_eq!(unset(&with, &entries, &mut left).unwrap(), with);
        assert_eq!(left, ["mcp_servers.lar"]);
        for text in ["mcp_servers = 7\n", "a = \n", "[[mcp_servers]]\na = 1\n"] {
            assert!(set(text, NEW, &["mcp_servers.lar"], &mut Vec::new()).is_err(), "{text}");
        }
    }
}
