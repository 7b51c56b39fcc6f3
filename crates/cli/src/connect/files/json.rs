//! Settings in JSON, which may have comments and trailing commas. Comments and order stay.

use anyhow::{Context as _, bail};
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::Value;

use super::config_entry::ConfigEntry;

/// Sets `settings` in `text` to their values in the document `new`. Adds each setting to `entries`.
pub(super) fn set(
    text: &str,
    new: &Value,
    settings: &[impl AsRef<str>],
    entries: &mut Vec<ConfigEntry>,
) -> anyhow::Result<String> {
    let root = parse(text)?;
    if root.value().is_some() && root.object_value().is_none() {
        bail!("the file is not a JSON object");
    }
    let top = root.object_value_or_set();
    for setting in settings {
        let setting = setting.as_ref();
        let keys = keys(setting);
        let after = value_at(new, &keys).with_context(|| format!("the recipe has no `{setting}`"))?;
        let (last, parents) = keys.split_last().context("the setting has no name")?;
        let mut object = top.clone();
        for key in parents {
            object = object
                .object_value_or_create(key)
                .with_context(|| format!("`{key}` is not an object, so `{setting}` cannot be set"))?;
        }
        if setting.ends_with("[]") {
            let after = after.get(0).context("the recipe's list is empty")?.clone();
            let list = object
                .array_value_or_create(last)
                .with_context(|| format!("`{last}` is not a list, so `{setting}` cannot be set"))?;
            list.append(input(&after));
            entries.push(ConfigEntry { setting: setting.into(), before: None, after });
            continue;
        }
        let before = object.get(last).and_then(|prop| prop.value()).and_then(|value| value.to_serde_value());
        put(&object, last, after);
        entries.push(ConfigEntry { setting: setting.into(), before, after: after.clone() });
    }
    Ok(root.to_string())
}

/// Restores the values before the change. Adds the settings that have other values by now, and stay, to `left`.
pub(super) fn unset(text: &str, entries: &[ConfigEntry], left: &mut Vec<String>) -> anyhow::Result<String> {
    let root = parse(text)?;
    for entry in entries {
        let keys = keys(&entry.setting);
        let Some((last, parents)) = keys.split_last() else { continue };
        let object = parents
            .iter()
            .try_fold(root.object_value(), |object, key| object.map(|object| object.object_value(key)));
        let Some(Some(object)) = object else { continue };
        if entry.setting.ends_with("[]") {
            let list = object.array_value(last).map(|list| list.elements()).unwrap_or_default();
            let is_ours = |node: &CstNode| node.to_serde_value().as_ref() == Some(&entry.after);
            if let Some(element) = list.into_iter().find(is_ours) {
                element.remove();
            }
            continue;
        }
        let Some(prop) = object.get(last) else { continue };
        if prop.value().and_then(|value| value.to_serde_value()).as_ref() != Some(&entry.after) {
            left.push(entry.setting.clone());
            continue;
        }
        match &entry.before {
            Some(before) => put(&object, last, before),
            None => prop.remove(),
        }
    }
    Ok(root.to_string())
}

fn parse(text: &str) -> anyhow::Result<CstRootNode> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    // JSON has no byte order mark, but some editors write one.
    let options = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
    CstRootNode::parse(text.trim_start_matches('\u{feff}'), &options)
        .map_err(|error| anyhow::anyhow!("the file is not valid JSON: {error}"))
}

fn put(object: &CstObject, name: &str, value: &Value) {
    match object.get(name) {
        Some(prop) => prop.set_value(input(value)),
        None => _ = object.append(name, input(value)),
    }
}

fn keys(setting: &str) -> Vec<&str> {
    setting.trim_end_matches("[]").split('.').collect()
}

fn value_at<'a>(new: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(new, |value, key| value.get(key))
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(set) => CstInputValue::Bool(*set),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(fields) => {
            CstInputValue::Object(fields.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set_in(text: &str) -> anyhow::Result<(String, Vec<ConfigEntry>)> {
        let new =
            json!({ "mcpServers": { "lar": { "command": "lar" } }, "hooks": { "Start": [{ "a": 1 }] } });
        let mut entries = Vec::new();
        let text = set(text, &new, &["mcpServers.lar", "hooks.Start[]"], &mut entries)?;
        Ok((text, entries))
    }

    #[test]
    fn other_json_settings_survive_set_and_unset() {
        let texts = [
            "",
            "{}",
            "{\n  // mine\n  \"theme\": \"dark\",\n  \"mcpServers\": { \"other\": { \"command\": \"x\" } }\n}\n",
            "{\"mcpServers\":{\"lar\":{\"command\":\"old\"}},\"hooks\":{\"Start\":[{\"b\":2}]},\"n\":1e400}",
            "{ a: 'b', }",
        ];
        for text in texts {
            let (with, entries) = set_in(text).unwrap();
            assert!(with.contains("\"command\": \"lar\"") && with.contains("\"a\": 1"), "{with}");
            for kept in ["// mine", "\"other\"", "\"b\":2", "1e400", "a: 'b'"] {
                assert_eq!(text.contains(kept), with.contains(kept), "{kept} {with}");
            }
            let mut left = Vec::new();
            let without = unset(&with, &entries, &mut left).unwrap();
            assert!(left.is_empty() && !without.contains("\"lar\": {"), "{without}");
            assert_eq!(text.contains("old"), without.contains("old"), "{without}");
            let (again, _) = set_in(&without).unwrap();
            assert!(again.contains("\"command\": \"lar\""), "{again}");
        }
    }

    #[test]
    fn a_setting_that_was_changed_since_stays() {
        let (with, entries) = set_in("{}").unwrap();
        let changed = with.replace("\"command\": \"lar\"", "\"command\": \"mine\"");
        let mut left = Vec::new();
        let without = unset(&changed, &entries, &mut left).unwrap();
        assert_eq!(left, ["mcpServers.lar"]);
        assert!(without.contains("mine"), "{without}");
    }

    #[test]
    fn invalid_json_and_values_of_other_types_are_refused() {
        for text in
            ["{", "[1]", "7", "{\"mcpServers\": 7}", "{\"hooks\": {\"Start\": 7}}", "<xml/>", "{\"a\":1} x"]
        {
            assert!(set_in(text).is_err(), "{text}");
        }
    }
}
