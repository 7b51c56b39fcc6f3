//! Every schema is applied as far as possible, and the resulting grammar allows only JSON.

mod bounds;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn checked(source: &Value, strict: bool) -> Result<CheckedConstraint, String> {
    schema(&Grammars::of_bytes().unwrap(), &source.to_string(), strict).outcome
}

/// Makes checks that take `SECONDS` of processor time each.
fn checks_of<const SECONDS: u64>() -> Checks {
    thread_local! { static TIME: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) } }
    fn clock<const SECONDS: u64>() -> Duration {
        // It is read before and after each check.
        TIME.replace(TIME.get() + Duration::from_secs(SECONDS))
    }
    let checker = Checker { grammars: Some(Grammars::of_bytes().unwrap()), ..Checker::default() };
    Checks { checker, clock: clock::<SECONDS>, ..Checks::default() }
}

fn no_vocab() -> Vocab<'static> {
    unreachable!("the grammars exist already")
}

/// Returns an object schema with one property of this name.
fn object(name: &str) -> Constraint {
    Constraint::JsonSchema(
        json!({ "type": "object", "properties": { name: { "type": "string" } } }).to_string(),
    )
}

fn to_check(name: &str, strict: bool) -> ConstraintCheck {
    ConstraintCheck { constraint: object(name), strict }
}

/// Returns which checks were answered, and the dropped keywords of each.
fn answered(frames: Vec<FromWorker>) -> Vec<(u64, u32, Result<Vec<String>, String>)> {
    let answer = |frame| match frame {
        FromWorker::Checked { id, index, outcome } => (id, index, outcome.map(|checked| checked.dropped)),
        other => panic!("{other:?}"),
    };
    frames.into_iter().map(answer).collect()
}

/// Returns which requests were answered; nothing may have been dropped.
fn ids(frames: Vec<FromWorker>) -> Vec<u64> {
    let whole = |(id, _, dropped): (u64, u32, Result<Vec<String>, String>)| {
        assert_eq!(dropped, Ok(Vec::new()), "{id}");
        id
    };
    answered(frames).into_iter().map(whole).collect()
}

#[test]
fn cancelled_checks_are_skipped_and_cached_ones_answered_at_once() {
    let mut checks = checks_of::<0>();
    for (id, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        assert!(checks.add(id, 1, vec![to_check(name, false)]).is_empty());
    }
    checks.cancel(2);
    assert_eq!(ids(checks.compute_next(no_vocab)), [1, 3], "identical checks are answered together");
    assert_eq!(ids(checks.add(5, 1, vec![to_check("a", false)])), [5], "before those that wait");
    assert!(checks.add(6, 1, vec![to_check("a", true)]).is_empty(), "a strict check has its own outcome");
    assert_eq!(ids(checks.compute_next(no_vocab)), [4], "2 was cancelled");
    assert_eq!(ids(checks.compute_next(no_vocab)), [6]);
    assert!(checks.is_empty());
}

#[test]
fn a_caller_with_one_check_waits_for_one_of_a_caller_with_a_hundred() {
    let mut checks = checks_of::<1>();
    for id in 0..100 {
        checks.add(id, 1, vec![to_check(&format!("of_{id}"), false)]);
    }
    checks.add(100, 2, vec![to_check("cancelled", false)]);
    checks.add(101, 2, vec![to_check("one", false), to_check("of_99", false)]);
    checks.cancel(100);
    assert_eq!(ids(checks.compute_next(no_vocab)), [0]);
    assert_eq!(ids(checks.compute_next(no_vocab)), [101], "100 was cancelled");
    assert_eq!(ids(checks.compute_next(no_vocab)), [1]);
    assert_eq!(ids(checks.compute_next(no_vocab)), [101, 99], "identical checks are answered together");
    (2..99).for_each(|id| checks.cancel(id));
    assert!(checks.is_empty());
}

#[test]
fn callers_take_turns_by_time_and_not_by_number() {
    let mut checks = checks_of::<1>();
    let several = |of: &str| (0..3).map(|number| to_check(&format!("{of}_{number}"), false)).collect();
    checks.add(1, 1, several("a"));
    checks.waiting.charge(1, 3_000_000);
    checks.add(2, 2, several("b"));
    let order: Vec<u64> = (0..6).flat_map(|_| ids(checks.compute_next(no_vocab))).collect();
    assert_eq!(order, [2, 2, 2, 1, 1, 1], "the first caller has used three seconds before");
}

#[test]
fn the_time_limit_of_a_request_affects_no_other_request() {
    const SECONDS: u64 = 4;
    let mut checks = checks_of::<SECONDS>();
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut tools: Vec<ConstraintCheck> = names.iter().map(|name| to_check(name, false)).collect();
    tools[5].strict = true;
    checks.add(1, 1, tools.clone());
    // Another caller's checks, which have their own time.
    checks.add(2, 2, vec![to_check("x", false), to_check("y", false)]);
    let computed: Vec<_> = (0..4).map(|_| answered(checks.compute_next(no_vocab))).collect();
    let whole = || Ok(Vec::new());
    assert_eq!(computed[0], [(1, 5, whole())], "the strict one goes first");
    assert_eq!(computed[1], [(2, 0, whole())]);
    assert_eq!(computed[2], [(1, 0, whole())]);
    assert_eq!(computed[3], [(2, 1, whole())]);
    // The third check starts at 8 s and ends at 12 s; the rest is loosened to any object.
    let any = || Ok(vec!["schema".to_owned()]);
    let last = answered(checks.compute_next(no_vocab));
    assert_eq!(last, [(1, 1, whole()), (1, 2, any()), (1, 3, any()), (1, 4, any())]);
    assert!(checks.is_empty());

    // When sent again, checked schemas are cached, and the others get a new time limit.
    let known = answered(checks.add(3, 1, tools));
    assert_eq!(known, [(3, 0, whole()), (3, 1, whole()), (3, 5, whole())]);
    let rest: Vec<_> = (0..3).flat_map(|_| answered(checks.compute_next(no_vocab))).collect();
    assert_eq!(rest, [(3, 2, whole()), (3, 3, whole()), (3, 4, whole())]);
}

#[test]
fn a_strict_schema_out_of_time_is_refused_with_a_reason() {
    let refused = out_of_time(&to_check("a", true)).unwrap_err();
    assert!(
        refused.starts_with("it was not checked: the schemas of this request take over 10 s"),
        "{refused}"
    );
    let broken = ConstraintCheck { constraint: Constraint::JsonSchema("[]".into()), strict: false };
    assert_eq!(out_of_time(&broken), Err("it must be a JSON object".into()));
}

#[test]
fn an_outcome_that_time_decided_expires() {
    let mut checker = Checker::default();
    let now = Instant::from_millis(1_000);
    let found =
        |is_for_time| SchemaOutcome { outcome: Err("it takes too long to compile".into()), is_for_time };
    for (name, is_for_time, is_known_later) in [("a", true, false), ("b", false, true)] {
        let Constraint::JsonSchema(source) = object(name) else { unreachable!("it is a schema") };
        checker.keep(&source, true, &found(is_for_time), now);
        assert!(checker.cached(&to_check(name, true), now).is_some());
        let later = checker.cached(&to_check(name, true), now.after(TIMED_OUTCOME_TTL));
        assert_eq!(later.is_some(), is_known_later, "{name}");
    }
}

#[test]
fn unsupported_keywords_loosen_a_schema_and_refuse_a_strict_one() {
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
fn an_expensive_schema_is_loosened_at_bounded_cost() {
    let wide: serde_json::Map<String, Value> =
        (0..5000).map(|number| (format!("property_{number}"), json!({ "type": "string" }))).collect();
    let wide = json!({ "type": "object", "properties": wide });
    let grammars = Grammars::of_bytes().unwrap();
    let started = thread_time();
    let loose = schema(&grammars, &wide.to_string(), false).outcome.unwrap();
    let took = thread_time().saturating_sub(started);
    assert_eq!(loose.dropped, ["properties"]);
    assert!(took < 4 * STEPS_TIME_MAX, "{took:?}");
    assert!(schema(&grammars, &wide.to_string(), true).outcome.is_err());
}

/// Generates a schema of any keywords, with values that fit them or do not.
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

/// Returns a text that the grammar allows, selected by `choices`; `None` if it did not end in time.
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
    fn only_strict_schemas_are_refused(
        source in any_schema().prop_filter("an object", Value::is_object), choices: [u8; 32],
    ) {
        let grammars = Grammars::of_bytes().unwrap();
        let checked = schema(&grammars, &source.to_string(), false).outcome;
        let checked = match checked {
            Ok(checked) => checked,
            Err(error) => return Err(TestCaseError::fail(format!("{source}: {error}"))),
        };
        match schema(&grammars, &source.to_string(), true).outcome {
            // A numeric bound is no reason to refuse a schema.
            Ok(strict) => {
                prop_assert!(checked.dropped.iter().all(|path| path.ends_with("imum")), "{}", source);
                prop_assert_eq!(&strict, &checked, "{}", source);
            }
            Err(_) => prop_assert!(!checked.dropped.is_empty(), "{}", source),
        }
        if let Some(text) = text_of(&grammars, &checked.constraint, &choices) {
            // JSON does not limit numbers, but serde_json does.
            let read = serde_json::from_slice::<Value>(&text);
            let fine = read.as_ref().is_err_and(|error| error.to_string().contains("number out of range")) || read.is_ok();
            prop_assert!(fine, "{}: {:?}", source, String::from_utf8_lossy(&text));
        }
    }
}
