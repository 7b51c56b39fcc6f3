//! Validates a value against a JSON Schema, for tool calls whose grammar was looser than the caller's schema.
//!
//! Keywords that are not implemented (`pattern`, `format`, references to other documents) always match. After
//! too many steps everything matches: a caller's schema must not cost more than its answer. Whole numbers are
//! compared exactly, because beyond 2^53 different numbers have the same double.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// The most schemas that are checked for one value.
const STEPS_MAX: usize = 20_000;
/// The deepest nesting of schemas and values.
const DEPTH_MAX: usize = 64;
/// The largest double that is compared as a whole number.
const WHOLE_MAX: f64 = 1e30;

/// Returns the path and the keyword of the first violation, such as `tags.uniqueItems`; `None` if no
/// violation was found.
#[must_use]
pub fn schema_violation(schema: &Value, value: &Value) -> Option<String> {
    let mut check = Check { root: schema, steps: 0 };
    check.schema_violation(schema, value, "", 0).filter(|_| check.steps <= STEPS_MAX)
}

struct Check<'a> {
    root: &'a Value,
    steps: usize,
}

impl<'a> Check<'a> {
    fn fits(&mut self, schema: &'a Value, value: &Value, depth: usize) -> bool {
        self.schema_violation(schema, value, "", depth).is_none()
    }

    fn schema_violation(
        &mut self,
        schema: &'a Value,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        self.steps += 1;
        if self.steps > STEPS_MAX || depth > DEPTH_MAX {
            return None;
        }
        let fields = match schema {
            Value::Bool(false) => return Some(under(path, "false")),
            Value::Object(fields) => fields,
            _ => return None,
        };
        self.reference(fields, value, path, depth)
            .or_else(|| plain(fields, value, path))
            .or_else(|| self.choices(fields, value, path, depth))
            .or_else(|| match value {
                Value::Object(members) => self.members(fields, members, path, depth),
                Value::Array(items) => self.items(fields, items, path, depth),
                _ => None,
            })
    }

    fn reference(
        &mut self,
        fields: &'a Map<String, Value>,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let pointer = fields.get("$ref")?.as_str()?.strip_prefix('#')?;
        let schema = self.root.pointer(pointer)?;
        self.schema_violation(schema, value, path, depth + 1)
    }

    /// Checks schemas that apply to the same value.
    fn choices(
        &mut self,
        fields: &'a Map<String, Value>,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let schemas = |keyword: &str| fields.get(keyword).and_then(Value::as_array).map(Vec::as_slice);
        for schema in schemas("allOf").unwrap_or_default() {
            if let Some(schema_violation) = self.schema_violation(schema, value, path, depth + 1) {
                return Some(schema_violation);
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(schemas) = schemas(keyword) else { continue };
            let fitting = schemas.iter().filter(|schema| self.fits(schema, value, depth + 1)).count();
            if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                return Some(under(path, keyword));
            }
        }
        if let Some(schema) = fields.get("not")
            && self.fits(schema, value, depth + 1)
        {
            return Some(under(path, "not"));
        }
        let branch = if self.fits(fields.get("if")?, value, depth + 1) { "then" } else { "else" };
        self.schema_violation(fields.get(branch)?, value, path, depth + 1)
    }

    fn members(
        &mut self,
        fields: &'a Map<String, Value>,
        members: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let names = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let lacks = |list: &Value| {
            names(list).iter().any(|name| name.as_str().is_some_and(|name| !members.contains_key(name)))
        };
        if fields.get("required").is_some_and(lacks) {
            return Some(under(path, "required"));
        }
        let dependent = fields.get("dependentRequired").and_then(Value::as_object);
        if dependent.into_iter().flatten().any(|(name, list)| members.contains_key(name) && lacks(list)) {
            return Some(under(path, "dependentRequired"));
        }
        let properties = fields.get("properties").and_then(Value::as_object);
        let known = |name: &str| properties.and_then(|properties| properties.get(name));
        let others = fields.get("additionalProperties").filter(|_| !fields.contains_key("patternProperties"));
        for (name, value) in members {
            if let Some(schema) = fields.get("propertyNames")
                && !self.fits(schema, &Value::from(name.as_str()), depth + 1)
            {
                return Some(under(path, "propertyNames"));
            }
            let schema_violation = match (known(name), others) {
                (Some(schema), _) => self.schema_violation(schema, value, &under(path, name), depth + 1),
                (None, Some(Value::Bool(false))) => Some(under(path, "additionalProperties")),
                (None, Some(schema)) => self.schema_violation(schema, value, &under(path, name), depth + 1),
                (None, None) => None,
            };
            if schema_violation.is_some() {
                return schema_violation;
            }
        }
        None
    }

    fn items(
        &mut self,
        fields: &'a Map<String, Value>,
        items: &[Value],
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let first = fields.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            let Some(schema) = first.get(index).or_else(|| fields.get("items")) else { continue };
            let schema_violation =
                self.schema_violation(schema, item, &format!("{path}[{index}]"), depth + 1);
            if schema_violation.is_some() {
                return schema_violation;
            }
        }
        let contained = fields.get("contains")?;
        let found = items.iter().filter(|item| self.fits(contained, item, depth + 1)).count();
        let bound = |name: &str, usual: usize| {
            fields.get(name).and_then(Value::as_u64).map_or(usual, |bound| bound as usize)
        };
        let within = (bound("minContains", 1)..=bound("maxContains", usize::MAX)).contains(&found);
        (!within).then(|| under(path, "contains"))
    }
}

/// Checks keywords that involve no other schema.
fn plain(fields: &Map<String, Value>, value: &Value, path: &str) -> Option<String> {
    let keyword =
        fields.iter().find(|(keyword, limit)| !keeps(keyword, limit, value)).map(|(keyword, _)| keyword);
    keyword.map(|keyword| under(path, keyword))
}

fn keeps(keyword: &str, limit: &Value, value: &Value) -> bool {
    let at_least = |length: Option<usize>| {
        length.zip(limit.as_u64()).is_none_or(|(length, least)| length as u64 >= least)
    };
    let at_most =
        |length: Option<usize>| length.zip(limit.as_u64()).is_none_or(|(length, most)| length as u64 <= most);
    let characters = || value.as_str().map(|text| text.chars().count());
    let items = || value.as_array().map(Vec::len);
    let members = || value.as_object().map(Map::len);
    let numbers = value.as_f64().zip(limit.as_f64());
    match keyword {
        "type" => match limit {
            Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
            kind => is_of(kind, value),
        },
        "enum" => limit.as_array().is_none_or(|values| values.iter().any(|other| same(other, value))),
        "const" => same(limit, value),
        "minLength" => at_least(characters()),
        "maxLength" => at_most(characters()),
        "minItems" => at_least(items()),
        "maxItems" => at_most(items()),
        "minProperties" => at_least(members()),
        "maxProperties" => at_most(members()),
        "uniqueItems" if *limit == true => value.as_array().is_none_or(|items| are_unique(items)),
        "minimum" => compare(value, limit).is_none_or(Ordering::is_ge),
        "maximum" => compare(value, limit).is_none_or(Ordering::is_le),
        "exclusiveMinimum" => compare(value, limit).is_none_or(Ordering::is_gt),
        "exclusiveMaximum" => compare(value, limit).is_none_or(Ordering::is_lt),
        "multipleOf" => numbers.is_none_or(|(number, of)| {
            // In binary, 0.3 is not an exact multiple of 0.1.
            let times = number / of;
            of == 0.0 || !times.is_finite() || (times - times.round()).abs() < 1e-6
        }),
        _ => true,
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("number") => value.is_number(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    }
}

/// Compares as JSON Schema does: 1 and 1.0 are equal.
fn same(one: &Value, other: &Value) -> bool {
    one == other || compare(one, other) == Some(Ordering::Equal)
}

/// Compares two numbers; `None` if one value is not a number.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

/// Returns a whole number, in any notation.
fn whole(value: &Value) -> Option<i128> {
    let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    let is_whole = |double: &f64| double.fract() == 0.0 && double.abs() <= WHOLE_MAX;
    integer.or_else(|| value.as_f64().filter(is_whole).map(|double| double as i128))
}

/// Returns whether all items differ; long lists are not checked.
fn are_unique(items: &[Value]) -> bool {
    const COMPARED_MAX: usize = 1_000;
    items.len() > COMPARED_MAX
        || items.iter().enumerate().all(|(index, item)| !items[..index].iter().any(|other| same(other, item)))
}

fn under(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_violation_names_the_path_and_the_keyword() {
        let tags = json!({ "properties": { "tags": { "type": "array", "items": { "type": "string" }, "uniqueItems": true } } });
        let list = json!({ "$defs": { "list": { "type": "object", "properties": { "next": { "$ref": "#/$defs/list" } }, "required": ["id"] } }, "$ref": "#/$defs/list" });
        let when = json!({ "if": { "required": ["a"] }, "then": { "required": ["b"] }, "else": { "minProperties": 1 } });
        for (schema, value, expected) in [
            (json!({}), json!(1), None),
            (json!(false), json!(1), Some("false")),
            (json!({ "type": "integer" }), json!(2.0), None),
            (json!({ "type": ["string", "null"] }), json!(1), Some("type")),
            (json!({ "enum": [1, "a"] }), json!(1.0), None),
            (json!({ "const": "a" }), json!("b"), Some("const")),
            (tags.clone(), json!({ "tags": ["a", "b"] }), None),
            (tags.clone(), json!({ "tags": ["a", "a"] }), Some("tags.uniqueItems")),
            (tags, json!({ "tags": ["a", 1] }), Some("tags[1].type")),
            (list.clone(), json!({ "id": 1, "next": { "id": 2 } }), None),
            (list, json!({ "id": 1, "next": {} }), Some("next.required")),
            (json!({ "not": { "required": ["z"] } }), json!({ "z": 1 }), Some("not")),
            (json!({ "oneOf": [{ "type": "string" }, { "minLength": 2 }] }), json!("ab"), Some("oneOf")),
            (json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }), json!(1), Some("anyOf")),
            (when.clone(), json!({ "a": 1, "b": 1 }), None),
            (when.clone(), json!({ "a": 1 }), Some("required")),
            (when, json!({}), Some("minProperties")),
            (
                json!({ "additionalProperties": false, "properties": { "a": {} } }),
                json!({ "b": 1 }),
                Some("additionalProperties"),
            ),
            (json!({ "additionalProperties": { "maximum": 3 } }), json!({ "b": 4 }), Some("b.maximum")),
            (json!({ "propertyNames": { "maxLength": 1 } }), json!({ "bb": 4 }), Some("propertyNames")),
            (json!({ "dependentRequired": { "a": ["b"] } }), json!({ "a": 1 }), Some("dependentRequired")),
            (json!({ "contains": { "const": 1 }, "maxContains": 1 }), json!([1, 1]), Some("contains")),
            (json!({ "multipleOf": 0.1 }), json!(0.3), None),
            (json!({ "maximum": 1_i64 << 53 }), json!((1_i64 << 53) + 1), Some("maximum")),
            (json!({ "maximum": 2.0_f64.powi(53) }), json!((1_i64 << 53) + 1), Some("maximum")),
            (json!({ "minimum": (1_i64 << 53) + 1 }), json!(2.0_f64.powi(53)), Some("minimum")),
            (json!({ "maximum": i64::MAX }), json!(u64::MAX), Some("maximum")),
            (json!({ "exclusiveMaximum": u64::MAX }), json!(u64::MAX - 1), None),
            (json!({ "exclusiveMinimum": i64::MIN }), json!(i64::MIN), Some("exclusiveMinimum")),
            (json!({ "const": (1_i64 << 53) + 1 }), json!(1_i64 << 53), Some("const")),
            (json!({ "maximum": 1e60, "minimum": 0.5 }), json!(1), None),
            (json!({ "pattern": "^b", "format": "email" }), json!("a"), None),
        ] {
            assert_eq!(schema_violation(&schema, &value).as_deref(), expected, "{schema} {value}");
        }
    }

    #[test]
    fn an_endless_schema_stops_at_the_step_limit() {
        assert_eq!(schema_violation(&json!({ "$ref": "#" }), &json!({})), None);
        let wide = json!({ "anyOf": vec![json!({ "$ref": "#" }); 50] });
        assert_eq!(schema_violation(&wide, &json!({})), None);
    }
}
