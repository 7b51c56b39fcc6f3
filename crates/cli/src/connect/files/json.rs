//! Places in JSON, as people write it: comments and order stay.

use anyhow::{Context as _, bail};
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::Value;

use super::ConfigEntry;

/// Sets the places `ours` of the document `new` in `text`; what was there is noted.
pub(super) fn set(
    text: &str,
    new: &Value,
    ours: &[&str],
    places: &mut Vec<ConfigEntry>,
) -> anyhow::Result<String> {
    let root = parse(text)?;
    if root.value().is_some() && root.object_value().is_none() {
        bail!("it holds no JSON object");
    }
    let top = root.object_value_or_set();
    for at in ours {
        let steps = steps(at);
        let after = value_at(new, &steps).with_context(|| format!("the recipe has no {at}"))?;
        let (last, folders) = steps.split_last().context("the place has no name")?;
        let mut object = top.clone();
        for step in folders {
            object = object
                .object_value_or_create(step)
                .with_context(|| format!("`{step}` of it is no object, on the way to {at}"))?;
        }
        if at.ends_with("[]") {
            let after = after.get(0).context("the recipe's list is empty")?.clone();
            let list = object
                .array_value_or_create(last)
                .with_context(|| format!("`{last}` of it is no list, on the way to {at}"))?;
            list.append(input(&after));
            places.push(ConfigEntry { at: (*at).into(), before: None, after });
            continue;
        }
        let before = object.get(last).and_then(|prop| prop.value()).and_then(|value| value.to_serde_value());
        put(&object, last, after);
        places.push(ConfigEntry { at: (*at).into(), before, after: after.clone() });
    }
    Ok(root.to_string())
}

/// Puts back what was there; places that hold something else by now are named in `left`.
pub(super) fn unset(text: &str, places: &[ConfigEntry], left: &mut Vec<String>) -> anyhow::Result<String> {
    let root = parse(text)?;
    for place in places {
        let steps = steps(&place.at);
        let Some((last, folders)) = steps.split_last() else { continue };
        let object = folders
            .iter()
            .try_fold(root.object_value(), |object, step| object.map(|object| object.object_value(step)));
        let Some(Some(object)) = object else { continue };
        if place.at.ends_with("[]") {
            let list = object.array_value(last).map(|list| list.elements()).unwrap_or_default();
            let ours = |node: &CstNode| node.to_serde_value().as_ref() == Some(&place.after);
            if let Some(element) = list.into_iter().find(ours) {
                element.remove();
            }
            continue;
        }
        let Some(prop) = object.get(last) else { continue };
        if prop.value().and_then(|value| value.to_serde_value()).as_ref() != Some(&place.after) {
            left.push(place.at.clone());
            continue;
        }
        match &place.before {
            Some(before) => put(&object, last, before),
            None => prop.remove(),
        }
    }
    Ok(root.to_string())
}

fn parse(text: &str) -> anyhow::Result<CstRootNode> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    // A byte order mark is not JSON's.
    let options = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
    CstRootNode::parse(text.trim_start_matches('\u{feff}'), &options)
        .map_err(|error| anyhow::anyhow!("it is no JSON: {error}"))
}

fn put(object: &CstObject, name: &str, value: &Value) {
    match object.get(name) {
        Some(prop) => prop.set_value(input(value)),
        None => _ = object.append(name, input(value)),
    }
}

fn steps(at: &str) -> Vec<&str> {
    at.trim_end_matches("[]").split('.').collect()
}

fn value_at<'a>(new: &'a Value, steps: &[&str]) -> Option<&'a Value> {
    steps.iter().try_fold(new, |value, step| value.get(step))
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
        let mut places = Vec::new();
        let text = set(text, &new, &["mcpServers.lar", "hooks.Start[]"], &mut places)?;
        Ok((text, places))
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
            let (with, places) = set_in(text).unwrap();
            assert!(with.contains("\"command\": \"lar\"") && with.contains("\"a\": 1"), "{with}");
            for kept in ["// mine", "\"other\"", "\"b\":2", "1e400", "a: 'b'"] {
                assert_eq!(text.contains(kept), with.contains(kept), "{kept} {with}");
            }
            let mut left = Vec::new();
            let without = unset(&with, &places, &mut left).unwrap();
            assert!(left.is_empty() && !without.contains("\"lar\": {"), "{without}");
            assert_eq!(text.contains("old"), without.contains("old"), "{without}");
            let (again, _) = set_in(&without).unwrap();
            assert!(again.contains("\"command\": \"lar\""), "{again}");
        }
    }

    #[test]
    fn an_entry_that_was_changed_since_stays() {
        let (with, places) = set_in("{}").unwrap();
        let changed = with.replace("\"command\": \"lar\"", "\"command\": \"mine\"");
        let mut left = Vec::new();
        let without = unset(&changed, &places, &mut left).unwrap();
        assert_eq!(left, ["mcpServers.lar"]);
        assert!(without.contains("mine"), "{without}");
    }

    #[test]
    fn a_value_that_is_no_object_is_refused() {
        for text in
            ["{", "[1]", "7", "{\"mcpServers\": 7}", "{\"hooks\": {\"Start\": 7}}", "<xml/>", "{\"a\":1} x"]
        {
            assert!(set_in(text).is_err(), "{text}");
        }
    }
}
