//! The fields of a JSON item that have no field in a memory. They become tags such as `role:user`; a value that does
//! not fit in a tag becomes a line of the text.

use lar_api::memories::NewMemory;
use serde_json::Value;

use super::parsed_export::TAG_CHARS_MAX;

/// A field with its name. The name of a value in an object contains the object's name.
pub(super) type Detail = (String, String);

/// Returns the values of the fields of an item that are not in `known`.
pub(super) fn others(item: &Value, known: &[&str]) -> Vec<Detail> {
    let mut found = Vec::new();
    for (name, value) in item.as_object().into_iter().flatten() {
        if !known.contains(&name.as_str()) {
            flatten(name, value, &mut found);
        }
    }
    found
}

/// Adds the values in `value` with their names.
pub(super) fn flatten(name: &str, value: &Value, found: &mut Vec<Detail>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (inner, value) in fields {
                let name = if name.is_empty() { inner.clone() } else { format!("{name}.{inner}") };
                flatten(&name, value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| flatten(name, value, found)),
        Value::String(text) if text.trim().is_empty() => {}
        Value::String(text) => found.push((name.to_owned(), text.trim().to_owned())),
        Value::Bool(_) | Value::Number(_) => found.push((name.to_owned(), value.to_string())),
    }
}

/// Adds details to a memory.
pub(super) fn add(memory: &mut NewMemory, mut details: Vec<Detail>) {
    // The order of fields is that of the program that wrote them, and it can change.
    details.sort();
    for (name, value) in details {
        let tag = format!("{name}:{value}");
        if tag.chars().count() <= TAG_CHARS_MAX && !value.contains('\n') {
            memory.tags.push(tag);
        } else {
            memory.content.push_str(&format!("\n{name}: {value}"));
        }
    }
}

/// Returns the labels in a field, such as `tags`: a text, or a list of texts. What is no text in a list becomes a
/// detail.
pub(super) fn labels(name: &str, value: &Value, details: &mut Vec<Detail>) -> Vec<String> {
    match value {
        Value::String(label) => vec![label.clone()],
        Value::Array(all) => {
            let (labels, rest): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|one| one.is_string());
            rest.into_iter().for_each(|one| flatten(name, one, details));
            labels.into_iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        }
        other => {
            flatten(name, other, details);
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_in_every_form_are_kept() {
        for (value, expected, rest) in [
            (json!("one"), vec!["one"], vec![]),
            (json!(["one", { "name": "two" }, 3]), vec!["one"], vec![("tags.name", "two"), ("tags", "3")]),
            (json!({ "a": "b" }), vec![], vec![("tags.a", "b")]),
            (json!(null), vec![], vec![]),
        ] {
            let mut details = Vec::new();
            assert_eq!(labels("tags", &value, &mut details), expected, "{value}");
            let details: Vec<(&str, &str)> =
                details.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            assert_eq!(details, rest, "{value}");
        }
    }
}
