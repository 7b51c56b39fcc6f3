//! Any schema is held to as far as it can be; what its grammar lets through is JSON.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn checked(source: &Value, strict: bool) -> Result<Checked, String> {
    schema(&Grammars::of_bytes().unwrap(), &source.to_string(), strict).outcome
}

fn checks() -> Checks {
    let checker = Checker { grammars: Some(Grammars::of_bytes().unwrap()), ..Checker::default() };
    Checks { checker, waiting: VecDeque::new() }
}

/// An object with one property of this name.
fn object(name: &str) -> Constraint {
    Constraint::JsonSchema(
        json!({ "type": "object", "properties": { name: { "type": "string" } } }).to_string(),
    )
}

#[test]
fn a_check_that_nobody_waits_for_is_not_computed_and_a_known_one_does_not_wait() {
    let mut checks = checks();
    let vocab = || -> Vocab<'static> { unreachable!("its grammars are made") };
    for (id, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        assert_eq!(checks.add(id, object(name), false), None);
    }
    checks.cancel(2);
    let ids = |frames: Vec<FromWorker>| -> Vec<u64> {
        let id = |frame| match frame {
            FromWorker::Checked { id, outcome: Ok(_) } => id,
            other => panic!("{other:?}"),
        };
        frames.into_iter().map(id).collect()
    };
    assert_eq!(ids(checks.compute_next(vocab)), [1, 3], "what is the same is answered together");
    assert_eq!(ids(checks.add(5, object("a"), false).into_iter().collect()), [5], "before those that wait");
    assert_eq!(checks.add(6, object("a"), true), None, "a strict one is another question");
    assert_eq!(ids(checks.compute_next(vocab)), [4], "2 was cancelled");
    assert_eq!(ids(checks.compute_next(vocab)), [6]);
    assert!(checks.is_empty());
}

#[test]
fn what_a_busy_moment_said_of_a_schema_is_asked_again() {
    let mut checker = Checker::default();
    let now = Instant::from_millis(1_000);
    let found = |is_for_time| Found { outcome: Err("it takes too long to compile".into()), is_for_time };
    for (name, is_for_time, is_known_later) in [("a", true, false), ("b", false, true)] {
        let Constraint::JsonSchema(source) = object(name) else { unreachable!("it is a schema") };
        checker.keep(&source, true, &found(is_for_time), now);
        assert!(checker.known(&object(name), true, now).is_some());
        let later = checker.known(&object(name), true, now.after(KEPT_FOR_TIME));
        assert_eq!(later.is_some(), is_known_later, "{name}");
    }
}

#[test]
fn what_a_grammar_cannot_say_loosens_a_schema_and_refuses_a_strict_one() {
    let unique = json!({ "type": "object", "properties": { "a": { "type": "array", "uniqueItems": true } } });
    let loose = checked(&unique, false).unwrap();
    assert_eq!(loose.dropped, ["properties.a.uniqueItems"]);
    let kept = r#"{"type":"object","properties":{"a":{"type":"array"}},"additionalProperties":false}"#;
    assert_eq!(loose.constraint, Constraint::JsonSchema(kept.into()));
    let error = checked(&unique, true).unwrap_err();
    assert!(error.starts_with("`properties.a.uniqueItems` cannot be expressed: "), "{error}");

    for (schema, dropped) in [
        (json!({ "type": "object", "propertyNames": { "pattern": "^a" } }), vec!["propertyNames"]),
        (json!({ "not": { "type": "string" } }), vec!["not"]),
        (json!({ "if": { "type": "string" }, "then": { "minLength": 1 } }), vec!["if", "then"]),
        (json!({ "dependentSchemas": { "a": { "required": ["b"] } } }), vec!["dependentSchemas"]),
        (json!({ "type": "string", "pattern": "^(?!a).*$" }), vec!["pattern"]),
        (json!({ "type": "string", "format": "idn-email" }), vec!["format"]),
        (json!({ "type": "integer", "minimum": -1e60 }), vec!["minimum"]),
        (json!({ "oneOf": [{ "type": "object" }, { "type": "object", "required": ["a"] }] }), vec!["oneOf"]),
        (json!({ "$ref": "https://example.com/" }), vec!["$ref"]),
        (json!({ "$ref": "#" }), vec!["$ref"]),
        (json!({ "type": "object", "properties": { "a": false }, "required": ["a"] }), vec!["properties"]),
        (json!({ "description": "x".repeat(300_000) }), vec!["schema"]),
    ] {
        let loose = checked(&schema, false).unwrap();
        assert_eq!(loose.dropped, dropped, "{schema:.100}");
    }
    for whole in [
        json!({ "type": ["string", "null"], "enum": null }),
        json!({ "type": "array", "uniqueItems": false }),
        json!({ "type": "object", "propertyNames": { "type": "string" }, "additionalProperties": {} }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "object", "properties": { "next": { "$ref": "#/$defs/a" } } } } }),
    ] {
        assert_eq!(checked(&whole, true).unwrap().dropped, Vec::<String>::new(), "{whole}");
    }
    assert_eq!(checked(&json!([]), false).unwrap_err(), "it must be a JSON object");
}

#[test]
fn a_schema_that_would_hold_a_model_up_is_loosened_at_a_bounded_cost() {
    let wide: serde_json::Map<String, Value> =
        (0..5000).map(|number| (format!("property_{number}"), json!({ "type": "string" }))).collect();
    let wide = json!({ "type": "object", "properties": wide });
    let grammars = Grammars::of_bytes().unwrap();
    let begun = thread_time();
    let loose = schema(&grammars, &wide.to_string(), false).outcome.unwrap();
    let took = thread_time().saturating_sub(begun);
    assert_eq!(loose.dropped, ["properties"]);
    assert!(took < 4 * STEPS_TIME_MAX, "{took:?}");
    assert!(schema(&grammars, &wide.to_string(), true).outcome.is_err());
}

/// A schema of any keywords, with values that fit them or do not.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!(true)),
        Just(json!({ "type": "string" })),
        Just(json!({ "type": "integer" })),
        Just(json!({ "type": ["number", "null"] })),
        Just(json!({ "enum": ["a", 1, null] })),
        Just(json!({ "const": { "a": [1] } })),
        Just(json!({ "$ref": "#" })),
        Just(json!({ "$ref": "#/$defs/a" })),
        Just(json!({ "$ref": "#/properties/b" })),
        Just(json!("string")),
        Just(json!(null)),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let keyword = prop_oneof![
            (
                prop::sample::select(vec![
                    "items",
                    "additionalProperties",
                    "not",
                    "if",
                    "then",
                    "else",
                    "contains",
                    "propertyNames",
                    "unevaluatedItems",
                    "unevaluatedProperties",
                    "additionalItems",
                ]),
                inner.clone(),
            ),
            (
                prop::sample::select(vec!["anyOf", "oneOf", "allOf", "prefixItems", "items"]),
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            ),
            (
                prop::sample::select(vec![
                    "properties",
                    "patternProperties",
                    "$defs",
                    "definitions",
                    "dependentSchemas",
                    "dependencies",
                ]),
                prop::collection::hash_map(prop::sample::select(vec!["a", "b", "^c", "d e"]), inner, 0..3)
                    .prop_map(|map| map
                        .into_iter()
                        .map(|(name, schema)| (name.to_owned(), schema))
                        .collect::<Value>()),
            ),
            (
                prop::sample::select(vec![
                    "type",
                    "required",
                    "enum",
                    "const",
                    "minLength",
                    "maxLength",
                    "pattern",
                    "format",
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "multipleOf",
                    "minItems",
                    "maxItems",
                    "uniqueItems",
                    "minContains",
                    "maxContains",
                    "minProperties",
                    "maxProperties",
                    "dependentRequired",
                    "$ref",
                    "$schema",
                    "$id",
                    "title",
                    "nullable",
                    "x-guidance",
                ]),
                prop::sample::select(vec![
                    json!(0),
                    json!(1),
                    json!(2.5),
                    json!(-3),
                    json!(1e60),
                    json!("object"),
                    json!("array"),
                    json!("string"),
                    json!("int"),
                    json!("date"),
                    json!("odd"),
                    json!("^a+(?!b)$"),
                    json!("[0-9]{2}"),
                    json!("("),
                    json!(["a"]),
                    json!(["object", "null"]),
                    json!([]),
                    json!(null),
                    json!(true),
                    json!({ "a": ["b"] }),
                    json!("http://json-schema.org/draft-04/schema#"),
                ]),
            ),
        ];
        prop::collection::vec(keyword, 1..5).prop_map(|keywords| {
            keywords.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()
        })
    })
}

/// A text that the grammar lets through, chosen by `choices`; `None` where it did not end in time.
fn text_of(grammars: &Grammars, constraint: &Constraint, choices: &[u8]) -> Option<Vec<u8>> {
    let mut matcher = grammars.start_timed(constraint).unwrap();
    let mut text = Vec::new();
    for choice in choices {
        if matcher.may_end() {
            return Some(text);
        }
        let mut allowed = Vec::new();
        matcher.mask().unwrap().iter_set_entries(|id| allowed.extend(u8::try_from(id)));
        let byte = *allowed.get(usize::from(*choice) % allowed.len().max(1))?;
        matcher.take(u32::from(byte)).unwrap();
        text.push(byte);
    }
    matcher.may_end().then_some(text)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_schema_is_refused_unless_it_is_strict(
        source in any_schema().prop_filter("an object", Value::is_object), choices: [u8; 32],
    ) {
        let grammars = Grammars::of_bytes().unwrap();
        let checked = schema(&grammars, &source.to_string(), false).outcome;
        let checked = match checked {
            Ok(checked) => checked,
            Err(error) => return Err(TestCaseError::fail(format!("{source}: {error}"))),
        };
        let again = schema(&grammars, &source.to_string(), true).outcome;
        prop_assert_eq!(again.is_ok(), checked.dropped.is_empty() , "{}", source);
        if let Some(text) = text_of(&grammars, &checked.constraint, &choices) {
            // JSON bounds no number; serde_json does.
            let read = serde_json::from_slice::<Value>(&text);
            let fine = read.as_ref().is_err_and(|error| error.to_string().contains("number out of range")) || read.is_ok();
            prop_assert!(fine, "{}: {:?}", source, String::from_utf8_lossy(&text));
        }
    }
}
