//! Numeric bounds and constants of a schema are exact, or dropped and reported.

use proptest::prelude::*;
use serde_json::json;

use super::checked;
use crate::constraint_check::schema;
use crate::grammars::Grammars;
use lar_inference::Constraint;

/// Returns whether a grammar allows a text as a complete answer.
fn lets_through(grammars: &Grammars, constraint: &Constraint, text: &str) -> bool {
    let mut matcher = grammars.start(constraint).unwrap();
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    matcher.try_consume_tokens(&bytes).unwrap() == bytes.len() && matcher.is_accepting().unwrap()
}

/// Returns whether a number satisfies a bound.
fn keeps_to(keyword: &str, bound: i128, number: i128) -> bool {
    match keyword {
        "minimum" => number >= bound,
        "maximum" => number <= bound,
        "exclusiveMinimum" => number > bound,
        _ => number < bound,
    }
}

#[test]
fn bounds_of_64_bits_are_exact() {
    let grammars = Grammars::of_bytes().unwrap();
    let two_53 = 1_i128 << 53;
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let ten_16 = 10_i128.pow(16);
    for (kind, keyword, bound) in [
        ("integer", "maximum", two_53 - 1),
        ("integer", "maximum", two_53),
        ("integer", "minimum", -two_53),
        ("integer", "exclusiveMaximum", two_53),
        ("integer", "exclusiveMinimum", -two_53),
        ("integer", "maximum", ten_16),
        ("integer", "minimum", -ten_16),
        ("integer", "maximum", most),
        ("integer", "exclusiveMaximum", most + 1),
        ("number", "maximum", two_53),
        ("number", "exclusiveMaximum", two_53 - 1),
        ("number", "maximum", ten_16),
        ("number", "minimum", ten_16),
    ] {
        for strict in [false, true] {
            let source = format!(r#"{{"type":"{kind}","{keyword}":{bound}}}"#);
            let checked = schema(&grammars, &source, strict).outcome.unwrap();
            assert_eq!(checked.dropped, Vec::<String>::new(), "{source}");
            for number in [bound - 2, bound - 1, bound, bound + 1, bound + 2, 7, -7, least, 10 * most] {
                let is_let_through = lets_through(&grammars, &checked.constraint, &number.to_string());
                assert_eq!(is_let_through, keeps_to(keyword, bound, number), "{source} {number}");
            }
        }
    }
    // The precision of a double does not let the next whole number through, nor its half.
    let number =
        schema(&grammars, &format!(r#"{{"type":"number","maximum":{two_53}}}"#), true).outcome.unwrap();
    assert!(lets_through(&grammars, &number.constraint, "9007199254740991.5"));
    assert!(!lets_through(&grammars, &number.constraint, "9007199254740992.5"));
}

#[test]
fn integer_type_limits_are_accepted_in_strict_schemas() {
    let grammars = Grammars::of_bytes().unwrap();
    for (bounds, dropped) in [
        (json!({ "minimum": i64::MIN, "maximum": i64::MAX }), vec!["minimum"]),
        (json!({ "minimum": 0, "maximum": i64::MAX }), vec![]),
        (json!({ "minimum": 0, "maximum": u64::MAX }), vec!["maximum"]),
        (json!({ "minimum": i32::MIN, "maximum": u32::MAX }), vec![]),
        (json!({ "minimum": -((1_i64 << 53) - 1), "maximum": (1_i64 << 53) - 1 }), vec![]),
        (
            json!({ "exclusiveMinimum": i64::MIN, "exclusiveMaximum": i64::MAX }),
            vec!["exclusiveMinimum", "exclusiveMaximum"],
        ),
        (json!({ "minimum": -1e16, "maximum": 1.8446744073709552e19 }), vec!["minimum", "maximum"]),
    ] {
        for kind in ["integer", "number"] {
            let mut source = bounds.clone();
            source["type"] = json!(kind);
            let loose = checked(&source, false).unwrap();
            assert_eq!(checked(&source, true), Ok(loose.clone()), "{source}");
            if kind == "integer" {
                assert_eq!(loose.dropped, dropped, "{source}");
            }
            for number in [0_i64, 1, 12, i64::MAX - 1, i64::from(i32::MAX)] {
                let is_allowed = lar_chat_format::schema_violation(&source, &json!(number)).is_none();
                let is_let_through = lets_through(&grammars, &loose.constraint, &number.to_string());
                assert!(is_let_through || !is_allowed, "{source} {number}");
            }
        }
    }
    // A bound that excludes almost every number is refused by name.
    for source in [json!({ "type": "integer", "minimum": u64::MAX }), json!({ "maximum": -1e60 })] {
        assert!(checked(&source, true).unwrap_err().ends_with("imum` cannot be expressed"), "{source}");
    }
}

#[test]
fn an_inexact_constant_is_dropped_rather_than_rounded() {
    let grammars = Grammars::of_bytes().unwrap();
    let exact = json!({ "enum": [1, i64::MAX, 10_000_000_000_000_000_i64] });
    let constraint = checked(&exact, true).unwrap().constraint;
    for (text, is_listed) in [
        ("9223372036854775807", true),
        ("9223372036854775806", false),
        ("10000000000000000", true),
        ("10000000000000001", false),
    ] {
        assert_eq!(lets_through(&grammars, &constraint, text), is_listed, "{text}");
    }
    for other in [json!((1_i64 << 53) + 1), json!(i64::MIN), json!(u64::MAX)] {
        let source = json!({ "type": "integer", "const": other });
        assert_eq!(checked(&source, true), Err("`const` cannot be expressed".into()));
        let loose = checked(&source, false).unwrap();
        assert_eq!(loose.dropped, ["const"]);
        assert!(lets_through(&grammars, &loose.constraint, &other.to_string()));
    }
}

proptest! {
    #[test]
    fn bounds_of_any_size_are_kept_or_reported(
        power in 0_u32..120,
        beside in -3_i128..=3,
        negative: bool,
        is_double: bool,
        keyword in prop::sample::select(vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
        kind in prop::sample::select(vec!["integer", "number"]),
        other_end: bool,
    ) {
        let grammars = Grammars::of_bytes().unwrap();
        let bound = ((1_i128 << power) + beside) * if negative { -1 } else { 1 };
        let point = if is_double { ".0" } else { "" };
        let is_lower = keyword.ends_with("inimum");
        let far = if is_lower { r#","maximum":9000000000000000000"# } else { r#","minimum":-9000000000000000000"# };
        let far = if other_end { far } else { "" };
        let source = format!(r#"{{"type":"{kind}","{keyword}":{bound}{point}{far}}}"#);
        let loose = match schema(&grammars, &source, false).outcome {
            Ok(checked) => checked,
            Err(error) => return Err(TestCaseError::fail(format!("{source}: {error}"))),
        };
        let is_kept = loose.dropped.is_empty();
        prop_assert!(is_kept || bound.unsigned_abs() >= 1 << 53, "{}", source);
        // If the bound excludes usual values, a strict schema may be refused.
        let excludes_much = is_lower != negative && bound.unsigned_abs() >= 1 << 53;
        match schema(&grammars, &source, true).outcome {
            Ok(strict) => prop_assert_eq!(&strict, &loose, "{}", source),
            Err(reason) => prop_assert!(excludes_much && !is_kept, "{}: {}", source, reason),
        }
        let end = if other_end { 9_000_000_000_000_000_000_i128 } else { i128::MAX };
        for number in [bound - 5, bound - 1, bound, bound + 1, bound + 5, 0, 1, -1, i64::MAX.into(), i64::MIN.into()] {
            let is_within = if is_lower { number <= end } else { number >= -end };
            let is_allowed = is_within && keeps_to(keyword, bound, number);
            let is_let_through = lets_through(&grammars, &loose.constraint, &number.to_string());
            prop_assert!(is_let_through || !is_allowed, "{} excludes {}", source, number);
            prop_assert!(!is_let_through || is_allowed || !is_kept, "{} lets {} through", source, number);
        }
    }
}
