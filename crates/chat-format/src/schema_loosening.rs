//! Prepares callers' JSON schemas for a grammar.
//!
//! A grammar cannot express every keyword of JSON Schema. [`loosen`] drops the keywords that it cannot
//! express and names each of them, in levels from the original schema to any value of its type. A looser
//! schema accepts everything that a stricter one does. Every level converts numeric bounds as described in
//! [`bounds`]. [`close()`] is the only step in the other direction: an object that lists its properties and
//! does not mention others accepts no others, as in llama.cpp and Ollama.

mod bounds;
mod close;
mod keywords;

use serde_json::{Map, Value, json};

use bounds::{Bounds, Loss, is_bound};
pub use close::close;
use keywords::{ALWAYS, PLAIN, UNSUPPORTED, fits, has_no_effect, is_constant, is_wide};

/// The deepest nesting of schemas; deeper ones become any value.
const DEPTH_MAX: usize = 64;
/// The most properties that [`Level::Names`] keeps.
const NAMES_MAX: usize = 200;
/// The most dropped keywords that are named; the others are only counted.
const DROPPED_MAX: usize = 64;
/// The longest property name in the path of a dropped keyword, and the longest path, in bytes: headers,
/// frames and the log contain it.
const NAME_BYTES_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 512;

/// The whitespace between the tokens of a JSON text, as in llama.cpp's own grammars: without a limit, small
/// models write it endlessly.
const WHITESPACE: &str = r" |\n{1,2}[ \t]{0,20}";

/// How much of a schema is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All of it, except keywords without effect.
    Whole,
    /// Without keywords and values that grammars cannot express.
    Supported,
    /// Types, properties, items, alternatives and references.
    Plain,
    /// The same without references.
    NoReferences,
    /// An object's properties, with any values.
    Names,
    /// Any value of the schema's type.
    Any,
}

impl Level {
    /// All levels, from the strictest to the loosest.
    pub const ALL: [Self; 6] =
        [Self::Whole, Self::Supported, Self::Plain, Self::NoReferences, Self::Names, Self::Any];
}

/// A schema after it was loosened to one [`Level`].
#[derive(Debug, Clone, PartialEq)]
pub struct LoosenedSchema {
    /// The schema, with the keywords in `dropped` removed or loosened.
    pub schema: Value,
    /// The paths of the keywords that were dropped or loosened, such as `properties.a.uniqueItems`. If there
    /// are more than [`DROPPED_MAX`], the last entry is the number of the others.
    pub dropped: Vec<String>,
    /// The first of them whose loss lets answers violate the schema. A numeric bound that excluded almost
    /// nothing does not count.
    pub missing: Option<String>,
}

/// Returns whether an object of the schema has so many optional properties that its grammar is too expensive
/// to compile.
pub fn is_too_wide(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => is_wide(fields) || fields.values().any(is_too_wide),
        Value::Array(schemas) => schemas.iter().any(is_too_wide),
        _ => false,
    }
}

/// Limits the whitespace that llguidance allows between the tokens of a JSON text, so that a model cannot
/// fill its answer with it. Takes and returns a schema; a schema that is not an object stays as it is.
#[must_use]
pub fn bound_whitespace(mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.insert("x-guidance".into(), json!({ "whitespace_pattern": WHITESPACE }));
    }
    schema
}

/// Loosens a schema to a level.
pub fn loosen(schema: &Value, level: Level) -> LoosenedSchema {
    let mut step = Step { root: schema, level, dropped: Vec::new(), more: 0, missing: None };
    let loose = match level {
        Level::Whole | Level::Supported | Level::Plain | Level::NoReferences => {
            step.schema(schema, &Path::Root, 0)
        }
        Level::Names => step.names(),
        Level::Any => step.any(),
    };
    let Step { mut dropped, more, missing, .. } = step;
    dropped.extend((more > 0).then(|| format!("and {more} more")));
    LoosenedSchema { schema: loose, dropped, missing }
}

/// The path of a keyword.
enum Path<'a> {
    Root,
    In(&'a Path<'a>, &'a str),
}

impl Path<'_> {
    /// Returns the path to `last`, with long names truncated.
    fn text(&self, last: &str) -> String {
        let mut names = vec![cut(last, NAME_BYTES_MAX)];
        let mut node = self;
        while let Path::In(before, name) = node {
            names.push(cut(name, NAME_BYTES_MAX));
            node = before;
        }
        names.reverse();
        cut(&names.join("."), PATH_BYTES_MAX).to_owned()
    }
}

/// Truncates a text to this many bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

struct Step<'a> {
    root: &'a Value,
    level: Level,
    dropped: Vec<String>,
    /// The number of dropped keywords beyond [`DROPPED_MAX`].
    more: usize,
    missing: Option<String>,
}

impl Step<'_> {
    fn drop(&mut self, path: &Path<'_>, keyword: &str) {
        self.missing.get_or_insert_with(|| path.text(keyword));
        self.name(path, keyword);
    }

    /// Records the path of a keyword that was dropped or loosened.
    fn name(&mut self, path: &Path<'_>, keyword: &str) {
        if self.dropped.len() >= DROPPED_MAX {
            self.more += 1;
            return;
        }
        let path = path.text(keyword);
        if !self.dropped.contains(&path) {
            self.dropped.push(path);
        }
    }

    fn schema(&mut self, schema: &Value, path: &Path<'_>, depth: usize) -> Value {
        let Value::Object(fields) = schema else {
            // `true` and `false` are schemas; other values have no meaning.
            return if schema.is_boolean() { schema.clone() } else { json!({}) };
        };
        if depth > DEPTH_MAX {
            self.drop(path, "depth");
            return json!({});
        }
        let mut kept = Map::new();
        for (keyword, value) in fields {
            if has_no_effect(keyword, value) || is_bound(keyword) {
                continue;
            }
            if let Some((keyword, value)) = self.keyword(fields, keyword, value, path, depth) {
                kept.insert(keyword, value);
            }
        }
        self.bounds(fields, &mut kept, path);
        Value::Object(kept)
    }

    fn bounds(&mut self, fields: &Map<String, Value>, kept: &mut Map<String, Value>, path: &Path<'_>) {
        if matches!(self.level, Level::Plain | Level::NoReferences) {
            let dropped =
                fields.iter().filter(|(keyword, value)| is_bound(keyword) && !has_no_effect(keyword, value));
            return dropped.for_each(|(keyword, _)| self.drop(path, keyword));
        }
        let bounds = Bounds::of(fields);
        for (keyword, loss) in bounds.lost {
            match loss {
                Loss::Most => self.drop(path, keyword),
                Loss::Little | Loss::None => self.name(path, keyword),
            }
        }
        kept.extend(bounds.kept.into_iter().map(|(keyword, bound)| (keyword.to_owned(), bound)));
    }

    fn keyword(
        &mut self,
        fields: &Map<String, Value>,
        keyword: &str,
        value: &Value,
        path: &Path<'_>,
        depth: usize,
    ) -> Option<(String, Value)> {
        let loose = self.level != Level::Whole;
        let plain = matches!(self.level, Level::Plain | Level::NoReferences);
        let refuse = (loose && UNSUPPORTED.contains(&keyword))
            || (plain && !PLAIN.contains(&keyword) && !ALWAYS.contains(&keyword))
            || (self.level == Level::NoReferences && keyword == "$ref")
            || ((loose || is_constant(keyword)) && !fits(self.root, fields, keyword, value));
        if refuse {
            self.drop(path, keyword);
            return None;
        }
        if loose && is_wide(fields) && matches!(keyword, "required" | "additionalProperties") {
            return None;
        }
        let here = Path::In(path, keyword);
        let value = match (keyword, value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(schemas)) => {
                let schemas = schemas.iter().map(|(name, schema)| {
                    (name.clone(), self.schema(schema, &Path::In(&here, name), depth + 1))
                });
                Value::Object(schemas.collect())
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                let schemas = schemas.iter().enumerate().map(|(index, schema)| {
                    self.schema(schema, &Path::In(&here, &index.to_string()), depth + 1)
                });
                Value::Array(schemas.collect())
            }
            ("items" | "additionalProperties" | "additionalItems", schema) => {
                self.schema(schema, &here, depth + 1)
            }
            ("required", Value::Array(names)) => {
                names.iter().filter(|name| name.is_string()).cloned().collect()
            }
            ("type", kinds) => self.kinds(kinds, path)?,
            _ => keywords::as_count(keyword, value).unwrap_or_else(|| value.clone()),
        };
        if keyword == "oneOf" && plain {
            self.drop(path, keyword);
            return Some(("anyOf".into(), value));
        }
        Some((keyword.into(), value))
    }

    /// Normalizes types to their names in JSON Schema, including names from programming languages.
    fn kinds(&mut self, kinds: &Value, path: &Path<'_>) -> Option<Value> {
        let mut known = Vec::new();
        let listed = match kinds {
            Value::Array(kinds) => kinds.as_slice(),
            kind => std::slice::from_ref(kind),
        };
        for kind in listed.iter().filter_map(Value::as_str) {
            match keywords::kind(kind) {
                Some(kind) if !known.contains(&kind) => known.push(kind),
                Some(_) => {}
                // Any type, or an unknown one.
                None => {
                    if kind != "any" {
                        self.drop(path, "type");
                    }
                    return None;
                }
            }
        }
        match known.as_slice() {
            [] => None,
            [kind] => Some(json!(kind)),
            kinds => Some(json!(kinds)),
        }
    }

    fn names(&mut self) -> Value {
        let properties = self.root["properties"].as_object().filter(|names| names.len() <= NAMES_MAX);
        let Some(properties) = properties else { return self.any() };
        self.drop(&Path::Root, "properties");
        let names: Map<String, Value> = properties.keys().map(|name| (name.clone(), json!({}))).collect();
        let required = self.root["required"].as_array().into_iter().flatten();
        let required: Vec<&Value> =
            required.filter(|name| name.as_str().is_some_and(|name| names.contains_key(name))).collect();
        let open = self.root["additionalProperties"] != json!(false);
        json!({
            "type": "object", "required": required, "additionalProperties": open, "properties": names,
        })
    }

    fn any(&mut self) -> Value {
        self.drop(&Path::Root, "schema");
        let kind = &self.root["type"];
        if kind == "object" || self.root.get("properties").is_some() {
            json!({ "type": "object" })
        } else if kind == "array" {
            json!({ "type": "array" })
        } else {
            json!({})
        }
    }
}

#[cfg(test)]
mod tests;
