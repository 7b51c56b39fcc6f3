//! Closes objects: they accept only the properties that their schema lists, unless it says otherwise.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Keywords that allow, or may allow, other properties.
const OPEN: &[&str] = &[
    "additionalProperties",
    "patternProperties",
    "unevaluatedProperties",
    "propertyNames",
    "allOf",
    "anyOf",
    "oneOf",
    "$ref",
    "dependentSchemas",
    "dependencies",
    "if",
    "then",
    "else",
];

/// Closes the objects of a schema. An object whose properties are defined in several places stays open: parts
/// of an `allOf`, alternatives next to `properties`, and definitions that such a part refers to.
pub fn close(schema: &mut Value) {
    let mut parts = HashSet::new();
    references_of_parts(schema, false, &mut parts);
    close_in(schema, "#", &parts);
}

/// Collects the references whose targets would change their meaning when closed.
fn references_of_parts(schema: &Value, part: bool, found: &mut HashSet<String>) {
    let Value::Object(fields) = schema else { return };
    if let Some(reference) = fields.get("$ref").and_then(Value::as_str)
        && (part || fields.contains_key("properties") || fields.contains_key("allOf"))
    {
        found.insert(reference.to_owned());
    }
    for (keyword, value) in fields {
        let part = part || merges(fields, keyword);
        match value {
            Value::Array(schemas) => {
                schemas.iter().for_each(|schema| references_of_parts(schema, part, found));
            }
            Value::Object(schemas) if is_map(keyword) => {
                schemas.values().for_each(|schema| references_of_parts(schema, part, found));
            }
            _ => references_of_parts(value, part, found),
        }
    }
}

fn close_in(schema: &mut Value, path: &str, parts: &HashSet<String>) {
    let Value::Object(fields) = schema else { return };
    let merging: Vec<String> = fields.keys().filter(|keyword| merges(fields, keyword)).cloned().collect();
    for (keyword, value) in fields.iter_mut() {
        if merging.contains(keyword) || matches!(keyword.as_str(), "const" | "enum" | "default" | "examples")
        {
            continue;
        }
        match value {
            Value::Array(schemas) => {
                schemas.iter_mut().for_each(|schema| close_in(schema, "", parts));
            }
            Value::Object(schemas) if is_map(keyword) => {
                for (name, schema) in schemas {
                    // The path is needed only if a reference may lead there.
                    let path =
                        if parts.is_empty() { String::new() } else { format!("{path}/{keyword}/{name}") };
                    if !parts.contains(&path) {
                        close_in(schema, &path, parts);
                    }
                }
            }
            _ => close_in(value, "", parts),
        }
    }
    let required = fields.get("required").and_then(Value::as_array);
    let listed = |properties: &Value| {
        // A required property that is not listed is defined elsewhere, or only by its name.
        let known = |name: &Value| name.as_str().is_none_or(|name| properties.get(name).is_some());
        properties.is_object() && required.is_none_or(|names| names.iter().all(known))
    };
    let closed = fields.get("properties").is_some_and(listed)
        && !OPEN.iter().any(|keyword| {
            // Without other definitions of properties, this equals `additionalProperties`.
            let shut = |value: &Value| *keyword == "unevaluatedProperties" && value == &json!(false);
            fields.get(*keyword).is_some_and(|value| !value.is_null() && !shut(value))
        });
    if closed {
        fields.insert("additionalProperties".into(), json!(false));
    }
}

/// Returns whether the schemas under a keyword are merged with the keywords next to it.
fn merges(fields: &serde_json::Map<String, Value>, keyword: &str) -> bool {
    let alone = |keyword: &str| {
        let others = ["properties", "allOf", "anyOf", "oneOf", "$ref", "required", "additionalProperties"];
        !others.iter().any(|other| *other != keyword && fields.contains_key(*other))
    };
    match keyword {
        // A single part is the whole: pydantic writes references this way.
        "allOf" => !(alone(keyword) && fields["allOf"].as_array().is_some_and(|parts| parts.len() == 1)),
        "anyOf" | "oneOf" => !alone(keyword),
        "not" | "if" | "then" | "else" | "dependentSchemas" | "contains" | "propertyNames" => true,
        _ => false,
    }
}

fn is_map(keyword: &str) -> bool {
    matches!(keyword, "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas")
}
