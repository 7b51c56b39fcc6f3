//! The keywords and values of JSON Schema that a grammar can express.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::bounds::is_exact_constant;

/// Keywords of JSON Schema that `llguidance` does not support.
pub(super) const UNSUPPORTED: &[&str] = &[
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
];
/// The keywords that [`super::Level::Plain`] keeps.
pub(super) const PLAIN: &[&str] = &[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "$ref",
    "$defs",
    "definitions",
];
/// Keywords that do not restrict values, and names that JSON Schema does not define.
pub(super) const ALWAYS: &[&str] = &[
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "contentMediaType",
    "contentEncoding",
    "nullable",
    "strict",
];
/// The formats that `llguidance` supports.
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown"];
/// Keywords whose value is a count.
const COUNTS: &[&str] = &["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
/// The largest count: a grammar has a state for each step.
const COUNT_MAX: f64 = 100_000.0;
/// The most optional properties of one object: 5,000 take ten seconds to compile.
const OPTIONAL_MAX: usize = 500;
/// The most decimal places of `multipleOf`.
const STEP_DIGITS_MAX: i32 = 9;

/// Returns whether a keyword with this value accepts everything, so that dropping it changes nothing.
pub(super) fn has_no_effect(keyword: &str, value: &Value) -> bool {
    match keyword {
        "const" | "default" | "examples" | "example" => false,
        "$schema" | "$id" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor" | "$vocabulary" => true,
        "id" => value.is_string(),
        "uniqueItems" => value != &json!(true),
        "propertyNames" => {
            let any = |value: &Value| {
                value == &json!(true) || value == &json!({}) || value == &json!({ "type": "string" })
            };
            any(value) || value.is_null()
        }
        "dependentRequired" | "dependentSchemas" | "dependencies" => {
            value.as_object().is_none_or(Map::is_empty)
        }
        // Draft 3 has it in each property.
        "required" => !value.is_array(),
        "enum" | "anyOf" | "oneOf" | "allOf" | "prefixItems" => !value.is_array(),
        "properties" | "patternProperties" | "$defs" | "definitions" => !value.is_object(),
        "items" => !(value.is_object() || value.is_array() || value.is_boolean()),
        "unevaluatedItems" | "unevaluatedProperties" => value != &json!(false),
        _ => value.is_null(),
    }
}

/// Returns whether an object has more optional properties than a grammar can offer: its cost grows with their
/// square.
pub(super) fn is_wide(fields: &Map<String, Value>) -> bool {
    let listed = fields.get("properties").and_then(Value::as_object).map_or(0, Map::len);
    let required = fields.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    listed.saturating_sub(required) > OPTIONAL_MAX
}

/// Returns whether a grammar can express a known keyword with this value.
pub(super) fn fits(root: &Value, fields: &Map<String, Value>, keyword: &str, value: &Value) -> bool {
    let is_count = || value.as_f64().is_some_and(|number| number.abs() <= COUNT_MAX);
    match keyword {
        "properties" => !is_wide(fields),
        "format" => value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        "pattern" => value.as_str().is_some_and(is_regular),
        "patternProperties" => {
            value.as_object().is_some_and(|patterns| patterns.keys().all(|pattern| is_regular(pattern)))
        }
        "$ref" => value.as_str().is_some_and(|reference| resolves(root, reference)),
        "minProperties" | "maxProperties" => is_count() && all_required(fields),
        _ if COUNTS.contains(&keyword) => is_count() && value.as_f64() >= Some(0.0),
        _ if is_constant(keyword) => is_exact_constant(value),
        "multipleOf" => value.as_f64().is_some_and(is_step),
        _ => true,
    }
}

/// Returns whether a keyword lists values. If llguidance would change a number in it, every level drops it:
/// otherwise the answer would have to contain the wrong number.
pub(super) fn is_constant(keyword: &str) -> bool {
    matches!(keyword, "const" | "enum")
}

/// Converts a count to a whole number: some libraries write `3.0`.
pub(super) fn as_count(keyword: &str, value: &Value) -> Option<Value> {
    let count = value.as_f64().filter(|_| COUNTS.contains(&keyword) && value.is_f64())?;
    (count.fract() == 0.0 && (0.0..=COUNT_MAX).contains(&count)).then(|| json!(count as u64))
}

/// Returns JSON Schema's name of a type.
pub(super) fn kind(name: &str) -> Option<&'static str> {
    Some(match name {
        "string" | "str" | "text" => "string",
        "integer" | "int" | "long" => "integer",
        "number" | "float" | "double" | "decimal" => "number",
        "boolean" | "bool" => "boolean",
        "object" | "dict" | "map" => "object",
        "array" | "list" | "tuple" => "array",
        "null" | "none" => "null",
        _ => return None,
    })
}

/// Returns whether a pattern is a regular language: it has no lookarounds and no back references.
fn is_regular(pattern: &str) -> bool {
    let lookaround = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "\\k<"].iter().any(|part| pattern.contains(part));
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next().is_some_and(|next| ('1'..='9').contains(&next)) {
            return false;
        }
    }
    !lookaround
}

fn resolves(root: &Value, reference: &str) -> bool {
    if reference == "#" || reference == "#/" {
        return true;
    }
    let Some(path) = reference.strip_prefix("#/") else { return false };
    let step = |node: &'_ Value, name: &str| match node {
        Value::Array(values) => name.parse::<usize>().ok().filter(|index| *index < values.len()).is_some(),
        other => other.get(name).is_some(),
    };
    let mut node = root;
    for name in path.split('/') {
        if !step(node, name) {
            return false;
        }
        node = match node {
            Value::Array(values) => &values[name.parse::<usize>().unwrap_or(0)],
            other => &other[name],
        };
    }
    true
}

/// Returns whether all listed properties of an object are required: a grammar counts properties only then.
fn all_required(fields: &Map<String, Value>) -> bool {
    let required = fields.get("required").and_then(Value::as_array);
    let required: HashSet<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
    let listed = fields.get("properties").and_then(Value::as_object);
    listed.is_none_or(|listed| listed.keys().all(|name| required.contains(name.as_str())))
}

fn is_step(step: f64) -> bool {
    let digits = (0..=STEP_DIGITS_MAX).find(|digits| (step * 10f64.powi(*digits)).fract() == 0.0);
    step > 0.0 && digits.is_some_and(|digits| step * 10f64.powi(digits) < f64::from(u32::MAX))
}
