//! Tests which keywords are dropped and which objects are closed.

use super::*;

fn dropped(schema: Value, level: Level) -> Vec<String> {
    loosen(&schema, level).dropped
}

fn closed(mut schema: Value) -> Value {
    close(&mut schema);
    schema
}

#[test]
fn unsupported_keywords_are_dropped_and_named() {
    let schema = json!({
        "type": "object",
        "properties": {
            "tags": { "type": "array", "uniqueItems": true, "items": { "type": "string", "pattern": "^(?!x)" } },
            "when": { "type": "string", "format": "iso-week" },
            "size": { "type": "integer", "maximum": 1e60 },
            "of": { "$ref": "https://example.com/a.json" },
        },
        "propertyNames": { "pattern": "^[a-z]+$" },
        "if": { "required": ["a"] },
        "then": {},
    });
    assert_eq!(
        dropped(schema.clone(), Level::Whole),
        ["properties.size.maximum"],
        "no 64-bit integer reaches it"
    );
    let loose = loosen(&schema, Level::Supported);
    assert_eq!(
        loose.dropped,
        [
            "properties.tags.uniqueItems",
            "properties.tags.items.pattern",
            "properties.when.format",
            "properties.size.maximum",
            "properties.of.$ref",
            "propertyNames",
            "if",
            "then",
        ]
    );
    let expected = json!({
        "type": "object",
        "properties": {
            "tags": { "type": "array", "items": { "type": "string" } },
            "when": { "type": "string" },
            "size": { "type": "integer" },
            "of": {},
        },
    });
    assert_eq!(loose.schema, expected);
}

#[test]
fn a_strict_schema_may_lose_a_bound_that_excludes_nearly_nothing() {
    let whole = |schema: Value| {
        let LoosenedSchema { schema, dropped, missing } = loosen(&schema, Level::Whole);
        (schema, dropped, missing)
    };
    let named = |keyword: &str| vec![keyword.to_owned()];
    let integer = json!({ "type": "integer" });
    assert_eq!(
        whole(json!({ "type": "integer", "maximum": u64::MAX })),
        (integer.clone(), named("maximum"), None)
    );
    assert_eq!(
        whole(json!({ "type": "integer", "minimum": u64::MAX })),
        (integer, named("minimum"), Some("minimum".into()))
    );
    let other = json!({ "properties": { "a": { "maximum": 1e60, "const": u64::MAX } } });
    let dropped = vec!["properties.a.const".to_owned(), "properties.a.maximum".to_owned()];
    assert_eq!(
        whole(other),
        (json!({ "properties": { "a": {} } }), dropped, Some("properties.a.const".into()))
    );
    let bounded = json!({ "items": { "type": "integer", "minimum": 0, "maximum": i64::MAX } });
    assert_eq!(whole(bounded.clone()), (bounded, Vec::new(), None));
}

#[test]
fn many_dropped_keywords_are_partly_named_and_counted() {
    let many = Value::Array(vec![json!({ "not": {} }); 17_000]);
    let names = dropped(json!({ "prefixItems": many }), Level::Supported);
    assert_eq!(names.len(), DROPPED_MAX + 1);
    assert_eq!((names[0].as_str(), names[63].as_str()), ("prefixItems.0.not", "prefixItems.63.not"));
    assert_eq!(names[64], "and 16936 more");
    let name = "x".repeat(100_000);
    let long =
        (0..40).fold(json!({ "not": {} }), |inner, _| json!({ "properties": { (name.as_str()): inner } }));
    let [path]: [String; 1] = dropped(long, Level::Supported).try_into().unwrap();
    assert_eq!(path.len(), PATH_BYTES_MAX);
    assert!(path.starts_with(&format!("properties.{}.properties.", "x".repeat(NAME_BYTES_MAX))), "{path}");
}

#[test]
fn keywords_without_effect_are_dropped_silently() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "type": ["object", null], "enum": null, "required": true,
        "uniqueItems": false, "propertyNames": { "type": "string" }, "dependentRequired": {}, "items": null,
        "properties": { "a": { "type": "str", "minLength": 3.0 }, "b": "string", "c": { "type": "any" } },
    });
    let expected = json!({
        "type": "object", "properties": { "a": { "type": "string", "minLength": 3 }, "b": {}, "c": {} },
    });
    let whole = LoosenedSchema { schema: expected, dropped: Vec::new(), missing: None };
    assert_eq!(loosen(&schema, Level::Whole), whole);
}

#[test]
fn each_level_keeps_less_of_a_schema() {
    let schema = json!({
        "type": "object", "required": ["a", "z"], "additionalProperties": false,
        "properties": { "a": { "oneOf": [{ "type": "integer", "minimum": 2 }, { "$ref": "#/$defs/b" }] } },
        "$defs": { "b": { "type": "string" } },
    });
    let at = |level| loosen(&schema, level);
    assert_eq!(at(Level::Supported).schema, schema);
    let plain = at(Level::Plain);
    assert_eq!(plain.dropped, ["properties.a.oneOf.0.minimum", "properties.a.oneOf"]);
    assert_eq!(
        plain.schema["properties"]["a"],
        json!({ "anyOf": [{ "type": "integer" }, { "$ref": "#/$defs/b" }] })
    );
    assert_eq!(
        at(Level::NoReferences).schema["properties"]["a"],
        json!({ "anyOf": [{ "type": "integer" }, {}] })
    );
    let names = json!({
        "type": "object", "required": ["a"], "additionalProperties": false, "properties": { "a": {} },
    });
    let without = |schema: Value, dropped: &str| LoosenedSchema {
        schema,
        dropped: vec![dropped.into()],
        missing: Some(dropped.into()),
    };
    assert_eq!(at(Level::Names), without(names, "properties"));
    assert_eq!(at(Level::Any), without(json!({ "type": "object" }), "schema"));
    assert_eq!(loosen(&json!({ "type": "array" }), Level::Any).schema, json!({ "type": "array" }));
    assert_eq!(loosen(&json!({ "minimum": 1 }), Level::Any).schema, json!({}));
}

#[test]
fn objects_with_listed_properties_are_closed() {
    let object = |more: Value| {
        let mut object = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let shut = || object(json!({ "additionalProperties": false }));
    let open = || object(json!({}));
    assert_eq!(closed(open()), shut());
    assert_eq!(closed(json!({ "type": "object" })), json!({ "type": "object" }));
    let unevaluated = json!({ "unevaluatedProperties": false });
    assert_eq!(closed(object(unevaluated))["additionalProperties"], json!(false));
    for more in
        [json!({ "additionalProperties": true }), json!({ "additionalProperties": { "type": "integer" } })]
    {
        assert_eq!(closed(object(more.clone())), object(more));
    }
    assert_eq!(
        closed(json!({ "items": open(), "properties": { "x": open() } })),
        json!({ "items": shut(), "properties": { "x": shut() }, "additionalProperties": false }),
        "nested objects are closed, too"
    );
    assert_eq!(
        closed(json!({ "anyOf": [open(), { "type": "null" }] })),
        json!({ "anyOf": [shut(), { "type": "null" }] })
    );
    // If properties are defined in several places, no place has all of them.
    for schema in [
        json!({ "properties": { "a": {} }, "required": ["a", "b"] }),
        json!({ "allOf": [open(), open()] }),
        json!({ "properties": { "b": {} }, "anyOf": [open(), open()] }),
        json!({ "allOf": [{ "$ref": "#/$defs/base" }, open()], "$defs": { "base": open() } }),
    ] {
        assert_eq!(closed(schema.clone()), schema);
    }
    assert_eq!(
        closed(json!({ "allOf": [{ "$ref": "#/$defs/one" }], "$defs": { "one": open() } })),
        json!({ "allOf": [{ "$ref": "#/$defs/one" }], "$defs": { "one": shut() } })
    );
}
