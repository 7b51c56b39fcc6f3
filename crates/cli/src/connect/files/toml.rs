//! Places in TOML: comments and order stay.

use anyhow::Context as _;
use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::ConfigEntry;

/// Sets the places `ours` of the document `new` in `text`; what was there is noted.
pub(super) fn set(
    text: &str,
    new: &str,
    ours: &[&str],
    places: &mut Vec<ConfigEntry>,
) -> anyhow::Result<String> {
    let mut document = parse(text)?;
    let new: DocumentMut = new.parse().context("the recipe is no TOML")?;
    for at in ours {
        let steps: Vec<&str> = at.split('.').collect();
        let (last, folders) = steps.split_last().context("the place has no name")?;
        let new_item = steps.iter().try_fold(new.as_item(), |item, step| item.get(step));
        let new_item = new_item.with_context(|| format!("the recipe has no {at}"))?.clone();
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for step in folders {
            let item = table.entry(step).or_insert_with(|| {
                let mut made = Table::new();
                made.set_implicit(true);
                Item::Table(made)
            });
            table = item
                .as_table_like_mut()
                .with_context(|| format!("`{step}` of it is no table, on the way to {at}"))?;
        }
        let before = table.get(last).map(value_of);
        places.push(ConfigEntry { at: (*at).into(), before, after: value_of(&new_item) });
        table.insert(last, new_item);
    }
    Ok(document.to_string())
}

/// Puts back what was there; places that hold something else by now are named in `left`.
pub(super) fn unset(text: &str, places: &[ConfigEntry], left: &mut Vec<String>) -> anyhow::Result<String> {
    let mut document = parse(text)?;
    for place in places {
        let steps: Vec<&str> = place.at.split('.').collect();
        let Some((last, folders)) = steps.split_last() else { continue };
        let top: &mut dyn TableLike = document.as_table_mut();
        let table =
            folders.iter().try_fold(top, |table, step| table.get_mut(step).and_then(Item::as_table_like_mut));
        let Some(table) = table else { continue };
        let Some(now) = table.get(last).map(value_of) else { continue };
        if now != place.after {
            left.push(place.at.clone());
            continue;
        }
        table.remove(last);
        if let Some(before) = &place.before {
            table.insert(last, toml_edit::value(item_of(before)?));
        }
    }
    Ok(document.to_string())
}

fn parse(text: &str) -> anyhow::Result<DocumentMut> {
    text.parse().map_err(|error| anyhow::anyhow!("it is no TOML: {error}"))
}

/// What an item says, without how it is written.
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
            let mut places = Vec::new();
            let with = set(text, NEW, &["mcp_servers.lar"], &mut places).unwrap();
            let read: DocumentMut = with.parse().unwrap();
            assert_eq!(read["mcp_servers"]["lar"]["command"].as_str(), Some("lar"), "{with}");
            for kept in ["# mine", "# why", "[mcp_servers.other]"] {
                assert_eq!(text.contains(kept), with.contains(kept), "{kept} {with}");
            }
            let mut left = Vec::new();
            let without = unset(&with, &places, &mut left).unwrap();
            assert!(left.is_empty() && !without.contains("\"lar\""), "{without}");
            assert_eq!(text.contains("old"), without.contains("old"), "{without}");
        }
    }

    #[test]
    fn later_changes_stay_and_values_that_are_no_tables_are_refused() {
        let mut places = Vec::new();
        let with = set("", NEW, &["mcp_servers.lar"], &mut places).unwrap().replace("\"mcp\"", "\"mine\"");
        let mut left = Vec::new();
        assert_eq!(unset(&with, &places, &mut left).unwrap(), with);
        assert_eq!(left, ["mcp_servers.lar"]);
        for text in ["mcp_servers = 7\n", "a = \n", "[[mcp_servers]]\na = 1\n"] {
            assert!(set(text, NEW, &["mcp_servers.lar"], &mut Vec::new()).is_err(), "{text}");
        }
    }
}
