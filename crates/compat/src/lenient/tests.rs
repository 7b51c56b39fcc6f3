//! Tests of the lenient reader and its errors.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Sample {
    count: u32,
    level: Option<i8>,
    ratio: Option<f32>,
    flag: bool,
    name: String,
    names: Vec<String>,
    inner: Option<Box<Sample>>,
    biases: BTreeMap<String, f32>,
    schema: Value,
}

fn read(value: &Value) -> Result<Sample, Problem> {
    from_value(value, OutOfRange::Refused)
}

#[test]
fn whole_numbers_may_be_written_as_doubles_and_null_is_absent_at_any_depth() {
    let read = read(&json!({
        "count": 8.0, "level": -3.0, "ratio": 1, "flag": null, "name": null, "names": null,
        "inner": { "count": 2, "names": ["a"], "inner": null, "flag": null }, "biases": { "1": 2, "2": null },
        "schema": { "default": null, "multipleOf": 2.0 },
    }))
    .unwrap();
    let inner = Sample { count: 2, names: vec!["a".into()], ..Sample::default() };
    let expected = Sample {
        count: 8,
        level: Some(-3),
        ratio: Some(1.0),
        inner: Some(Box::new(inner)),
        biases: BTreeMap::from([("1".into(), 2.0)]),
        schema: json!({ "default": null, "multipleOf": 2.0 }),
        ..Sample::default()
    };
    assert_eq!(read, expected, "a field of type `Value` is unchanged");
}

#[test]
fn errors_say_what_a_field_must_be_with_the_names_of_json() {
    let cases = [
        (json!({ "count": -1 }), "`count` must be an integer between 0 and 4294967295"),
        (json!({ "count": 1.5 }), "`count` must be an integer between 0 and 4294967295"),
        (json!({ "count": "8" }), "`count` must be an integer between 0 and 4294967295"),
        (json!({ "level": 300 }), "`level` must be an integer between -128 and 127"),
        (json!({ "ratio": "hot" }), "`ratio` must be a number"),
        (json!({ "flag": 1 }), "`flag` must be a boolean"),
        (json!({ "inner": { "name": 1 } }), "`inner.name` must be a string"),
        (json!({ "names": ["a", 1] }), "`names[1]` must be a string"),
        (json!({ "names": "a" }), "`names` must be an array"),
        (json!({ "inner": [] }), "`inner` must be an object"),
        (json!([]), "the body must be an object"),
    ];
    for (value, expected) in cases {
        assert_eq!(read(&value).unwrap_err().detail, expected, "{value}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_or_clamped() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Numbers {
        signed: i64,
        unsigned: u32,
        tiny: i8,
    }
    let read = |body: &str, out_of_range| {
        from_value::<Numbers>(&parse(body.as_bytes()).unwrap(), out_of_range)
            .map_err(|problem| problem.detail)
    };
    let body = |number: &str| format!(r#"{{"signed": {number}, "unsigned": {number}, "tiny": {number}}}"#);
    let numbers = |signed, unsigned, tiny| Ok::<_, String>(Numbers { signed, unsigned, tiny });
    for (number, nearest) in [
        ("9223372036854775808", numbers(i64::MAX, u32::MAX, i8::MAX)),
        ("18446744073709551616", numbers(i64::MAX, u32::MAX, i8::MAX)),
        ("1e30", numbers(i64::MAX, u32::MAX, i8::MAX)),
        ("1e308", numbers(i64::MAX, u32::MAX, i8::MAX)),
        ("-9223372036854775809", numbers(i64::MIN, 0, i8::MIN)),
        ("-1e308", numbers(i64::MIN, 0, i8::MIN)),
        ("4e9", numbers(4_000_000_000, 4_000_000_000, i8::MAX)),
        ("-2.5", numbers(-2, 0, -2)),
        ("2.5", numbers(2, 2, 2)),
    ] {
        assert_eq!(read(&body(number), OutOfRange::Nearest), nearest, "{number}");
        assert!(read(&body(number), OutOfRange::Refused).is_err(), "{number}");
    }
    // A number in range is unchanged, even a double beyond the range in which all integers are exact.
    for (number, same) in [("-128", -128), ("127.0", 127)] {
        for out_of_range in [OutOfRange::Refused, OutOfRange::Nearest] {
            let body = format!(r#"{{"signed": 9e18, "unsigned": 4294967295.0, "tiny": {number}}}"#);
            assert_eq!(read(&body, out_of_range), numbers(9_000_000_000_000_000_000, u32::MAX, same));
        }
    }
    for value in ["\"8\"", "true", "[8]"] {
        let refused = read(&body(value), OutOfRange::Nearest).unwrap_err();
        let expected = "`signed` must be an integer between -9223372036854775808 and 9223372036854775807";
        assert_eq!(refused, expected, "{value}");
    }
}

#[test]
fn a_token_limit_may_have_any_size() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Limited {
        tokens: Option<TokenLimit>,
    }
    let read = |number: &str, out_of_range| {
        let value = parse(format!(r#"{{"tokens": {number}}}"#).as_bytes()).unwrap();
        from_value::<Limited>(&value, out_of_range).map(|read| read.tokens).map_err(|problem| problem.detail)
    };
    let wrong = "`tokens` must be an integer number of tokens, or -1 for no limit";
    for out_of_range in [OutOfRange::Refused, OutOfRange::Nearest] {
        for number in ["-1", "-2.0", "4294967296", "9223372036854775808", "18446744073709551616", "1e308"] {
            assert_eq!(read(number, out_of_range), Ok(Some(TokenLimit::Unlimited)), "{number}");
        }
        assert_eq!(read("8.0", out_of_range), Ok(Some(TokenLimit::AtMost(8))));
        assert_eq!(read("null", out_of_range), Ok(None));
        assert_eq!(read("\"8\"", out_of_range).unwrap_err(), wrong);
    }
    for number in ["-3", "-1e30"] {
        assert_eq!(read(number, OutOfRange::Refused).unwrap_err(), wrong, "{number}");
        assert_eq!(read(number, OutOfRange::Nearest), Ok(Some(TokenLimit::Unlimited)), "{number}");
    }
}

#[test]
fn byte_order_marks_repeated_names_and_lone_surrogates_are_accepted() {
    let cases: &[(&[u8], Value)] = &[
        (b"\xef\xbb\xbf{\"a\": 1}", json!({ "a": 1 })),
        (br#"{"a": 1, "a": 2}"#, json!({ "a": 2 })),
        (br#""x\ud83d""#, json!("x\u{fffd}")),
        (br#""\uD83D\ud83d\ude00 \uDE00""#, json!("\u{fffd}\u{1f600} \u{fffd}")),
        (br#""\\ud83d \u00e9 \n""#, json!("\\ud83d \u{e9} \n")),
        (br#""\ud83d\n""#, json!("\u{fffd}\n")),
    ];
    for (body, expected) in cases {
        assert_eq!(parse(body).unwrap(), *expected, "{}", String::from_utf8_lossy(body));
    }
    assert!(parse(br#""\ud83""#).is_err());
    assert!(parse(b"").is_err());
}

#[test]
fn a_strict_reader_gets_strict_json_and_invalid_json_unchanged() {
    let rewritten = |body: &[u8]| rewrite(body.to_vec());
    let lenient = b"\xef\xbb\xbf{\"id\": 7, \"a\": 1, \"a\": \"x\\ud83d\"}";
    let read: Value = serde_json::from_slice(&rewritten(lenient)).unwrap();
    assert_eq!(read, json!({ "id": 7, "a": "x\u{fffd}" }));
    for body in [b"".as_slice(), b"{", b"\xff"] {
        assert_eq!(rewritten(body), body);
    }
}

proptest! {
    #[test]
    fn strict_json_is_read_unchanged(text in ".{0,40}") {
        let body = serde_json::to_vec(&json!({ "text": text })).unwrap();
        prop_assert_eq!(parse(&body).unwrap(), json!({ "text": text }));
    }

    #[test]
    fn any_escapes_are_read_or_refused(text in r#"(\\|u|d8|dc|3d|[0-9a-f]|"|x){0,24}"#) {
        let body = format!("\"{text}\"");
        let strict = serde_json::from_str::<Value>(&body);
        let lenient = parse(body.as_bytes());
        prop_assert!(strict.is_err() || lenient.is_ok_and(|read| Some(read) == strict.ok()));
    }
}
