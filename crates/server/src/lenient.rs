//! The one reader of JSON for the compatible APIs, as lenient as the servers that their clients were written for.
//!
//! [`parse`] takes a byte order mark, lone surrogates and repeated names; the last one counts. [`from_value`] takes whole
//! numbers that are written `8.0`, and reads a member that is `null` as one that is absent, at any depth that a type
//! describes. What a type keeps as a [`Value`] (schemas, arguments) stays exactly as it came. Errors name the field and
//! say what it must be in JSON's words, never in Rust's. [`rewrite`] is for messages that a library reads strictly, such as
//! MCP's. Lar's own API does not read with this: it is strict.

#[cfg(test)]
mod corpus;
mod words;

use std::borrow::Cow;
use std::fmt::Display;

use lar_base::{Code, Problem};
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

pub(crate) use words::in_plain_words;

/// Whole numbers up to here are exact in a double, which is what `8.0` was before it was written.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a body as JSON.
///
/// # Errors
/// When it is not JSON.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Problem> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    serde_json::from_slice(&without_lone_surrogates(body))
        .map_err(|error| Problem::new(Code::InvalidParams, format!("the body is not JSON: {error}")))
}

/// Rewrites a body for a strict reader of JSON: what [`parse`] reads, written plainly. A body that is not JSON stays as it
/// is, so that the strict reader refuses it.
pub(crate) fn rewrite(body: Vec<u8>) -> Vec<u8> {
    match parse(&body) {
        Ok(value) => serde_json::to_vec(&value).unwrap_or(body),
        Err(_) => body,
    }
}

/// Converts a value into a request.
///
/// # Errors
/// Which field is wrong, and what it must be.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Reader(value)).map_err(|error| crate::extract::problem(&error))
}

/// The model that a request names, or `usual` where it names none.
pub(crate) fn model_or(named: Option<String>, usual: &str) -> String {
    named.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| usual.to_owned())
}

/// Replaces each escape of half a surrogate pair by U+FFFD, as JavaScript and Python write and other servers read it.
fn without_lone_surrogates(body: &[u8]) -> Cow<'_, [u8]> {
    let mut fixed: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = body[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        let Some(unit) = escaped_unit(&body[at..]) else {
            // An escape of one character; a second backslash begins no escape.
            at = (at + 2).min(body.len());
            continue;
        };
        let paired = (0xD800..0xDC00).contains(&unit)
            && escaped_unit(&body[at + 6..]).is_some_and(|low| (0xDC00..0xE000).contains(&low));
        if paired {
            at += 12;
            continue;
        }
        if (0xD800..0xE000).contains(&unit) {
            fixed.get_or_insert_with(|| body.to_vec())[at + 2..at + 6].copy_from_slice(b"fffd");
        }
        at += 6;
    }
    fixed.map_or(Cow::Borrowed(body), Cow::Owned)
}

/// The UTF-16 unit of an escape such as `\u00e9` at the beginning of this.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| digits[0] != b'+')
}

/// Why a value is not what a type needs.
#[derive(Debug)]
pub(crate) struct Mismatch(String);

impl Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

impl serde::de::Error for Mismatch {
    fn custom<T: Display>(reason: T) -> Self {
        Self(reason.to_string())
    }
}

impl From<serde_json::Error> for Mismatch {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// A value that is read leniently.
#[derive(Debug, Clone, Copy)]
struct Reader<'a>(&'a Value);

impl<'a> Reader<'a> {
    fn must_be<T>(what: &str) -> Result<T, Mismatch> {
        Err(Mismatch(format!("must be {what}")))
    }

    fn whole<V: Visitor<'a>>(self, visitor: V, low: i128, high: i128) -> Result<V::Value, Mismatch> {
        let number = self.0.as_number().and_then(whole);
        let Some(number) = number.filter(|number| (low..=high).contains(number)) else {
            return Self::must_be(&words::whole_number(low, high));
        };
        match u64::try_from(number) {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_i64(i64::try_from(number).unwrap_or(i64::MIN)),
        }
    }

    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Self::must_be("a string"),
        }
    }

    fn number<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0.as_f64() {
            Some(number) => visitor.visit_f64(number),
            None => Self::must_be("a number"),
        }
    }
}

/// A number without a fraction, however it is written.
fn whole(number: &Number) -> Option<i128> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), ..) => Some(number.into()),
        (_, Some(number), _) => Some(number.into()),
        (.., Some(number)) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => Some(number as i128),
        _ => None,
    }
}

macro_rules! whole_numbers {
    ($($method:ident: $type:ty;)*) => {
        $(
            fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
                self.whole(visitor, <$type>::MIN.into(), <$type>::MAX.into())
            }
        )*
    };
}

macro_rules! as_they_are {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            fn $method<V: Visitor<'a>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Mismatch> {
                Ok(self.0.$method($($argument,)* visitor)?)
            }
        )*
    };
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = Mismatch;

    whole_numbers! {
        deserialize_i8: i8;
        deserialize_i16: i16;
        deserialize_i32: i32;
        deserialize_i64: i64;
        deserialize_u8: u8;
        deserialize_u16: u16;
        deserialize_u32: u32;
        deserialize_u64: u64;
    }

    as_they_are! {
        deserialize_any();
        deserialize_char();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => Self::must_be("true or false"),
        }
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.number(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.number(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            _ => Self::must_be("an array"),
        }
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _length: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Object(members) => visitor.visit_map(Members { rest: members.iter(), value: None }),
            _ => Self::must_be("an object"),
        }
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_map(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }
}

/// An object's members but for nulls, which SDKs send for what was not set.
struct Members<'a> {
    rest: serde_json::map::Iter<'a>,
    value: Option<&'a Value>,
}

impl<'a> MapAccess<'a> for Members<'a> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let Some((name, value)) = self.rest.find(|(_, value)| !value.is_null()) else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        seed.deserialize(Reader(self.value.take().unwrap_or(&Value::Null)))
    }
}

struct Items<'a>(std::slice::Iter<'a, Value>);

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        self.0.next().map(|item| seed.deserialize(Reader(item))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn whole_numbers_may_be_written_as_doubles_and_null_is_absent_at_any_depth() {
        let read: Sample = from_value(&json!({
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
        assert_eq!(read, expected, "what is kept as a value stays as it came");
    }

    #[test]
    fn errors_say_what_a_field_must_be_in_words_of_json() {
        let cases = [
            (json!({ "count": -1 }), "`count` must be a whole number from 0 to 4294967295"),
            (json!({ "count": 1.5 }), "`count` must be a whole number from 0 to 4294967295"),
            (json!({ "count": "8" }), "`count` must be a whole number from 0 to 4294967295"),
            (json!({ "level": 300 }), "`level` must be a whole number from -128 to 127"),
            (json!({ "ratio": "hot" }), "`ratio` must be a number"),
            (json!({ "flag": 1 }), "`flag` must be true or false"),
            (json!({ "inner": { "name": 1 } }), "`inner.name` must be a string"),
            (json!({ "names": ["a", 1] }), "`names[1]` must be a string"),
            (json!({ "names": "a" }), "`names` must be an array"),
            (json!({ "inner": [] }), "`inner` must be an object"),
            (json!([]), "the body must be an object"),
        ];
        for (value, expected) in cases {
            assert_eq!(from_value::<Sample>(&value).unwrap_err().detail, expected, "{value}");
        }
    }

    #[test]
    fn bodies_are_read_as_other_servers_read_them() {
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
    fn a_strict_reader_gets_plain_json_and_what_is_not_json_as_it_came() {
        let rewritten = |body: &[u8]| rewrite(body.to_vec());
        let lenient = b"\xef\xbb\xbf{\"id\": 7, \"a\": 1, \"a\": \"x\\ud83d\"}";
        let read: Value = serde_json::from_slice(&rewritten(lenient)).unwrap();
        assert_eq!(read, json!({ "id": 7, "a": "x\u{fffd}" }));
        for body in [b"".as_slice(), b"{", b"\xff"] {
            assert_eq!(rewritten(body), body);
        }
    }

    #[test]
    fn a_model_that_is_not_named_is_the_usual_one() {
        for named in [None, Some(String::new()), Some(" ".into())] {
            assert_eq!(model_or(named, "default"), "default");
        }
        assert_eq!(model_or(Some("m".into()), "default"), "m");
    }

    proptest! {
        #[test]
        fn what_strict_json_reads_is_read_alike(text in ".{0,40}") {
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
}
