//! The JSON reader of the compatible APIs, as lenient as the servers that their clients were written for.
//!
//! - [`parse`] accepts a byte order mark and lone surrogates. If a name is repeated, the last member counts.
//! - [`from_value`] accepts integers written as `8.0` and treats a `null` member as absent, at any depth that
//!   a type describes. [`OutOfRange`] says whether an integer that does not fit its field is an error or is
//!   clamped.
//! - Fields of type [`Value`], such as schemas and arguments, are never changed.
//! - Errors name the field and what it must be, with JSON's names for types instead of Rust's.
//! - [`rewrite`] prepares messages for a library that reads them strictly, such as the MCP library.
//!
//! Lar's own API is strict and has a reader of its own, with the same errors.

mod errors;
mod normalize;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::fmt::Display;

use lar_base::{Code, Problem};
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

pub use errors::{problem, problem_in};
pub use normalize::normalize_values;
pub use words::in_plain_words;

use crate::token_limit::TokenLimit;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses a body as JSON.
///
/// # Errors
/// If the body is not valid JSON.
pub fn parse(body: &[u8]) -> Result<Value, Problem> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    serde_json::from_slice(&without_lone_surrogates(body))
        .map_err(|error| Problem::new(Code::InvalidParams, format!("the body is not valid JSON: {error}")))
}

/// Rewrites a body that [`parse`] accepts as strict JSON.
///
/// A body that is not JSON is returned unchanged, so that the strict reader rejects it.
#[must_use]
pub fn rewrite(body: Vec<u8>) -> Vec<u8> {
    match parse(&body) {
        Ok(value) => serde_json::to_vec(&value).unwrap_or(body),
        Err(_) => body,
    }
}

/// The treatment of numbers that are out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfRange {
    /// They are errors, as in OpenAI's and Anthropic's APIs.
    Refused,
    /// They are clamped to the nearest valid number, and integers lose their fraction. Ollama and llama.cpp
    /// accept any number.
    Nearest,
}

/// Converts a value into a request.
///
/// # Errors
/// If a field has the wrong type. The error names the field and what it must be.
pub fn from_value<T: DeserializeOwned>(value: &Value, out_of_range: OutOfRange) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Reader { value, out_of_range }).map_err(|error| problem(&error))
}

/// Replaces escapes of lone surrogates by U+FFFD.
///
/// JavaScript and Python write such escapes, and other servers accept them.
fn without_lone_surrogates(body: &[u8]) -> Cow<'_, [u8]> {
    let mut fixed: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = body[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        let Some(unit) = escaped_unit(&body[at..]) else {
            // A one-character escape. If it is a backslash, that backslash does not start an escape.
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

/// Returns the UTF-16 unit of an escape such as `\u00e9` at the start of the text.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| digits[0] != b'+')
}

/// The reason why a value does not match its type.
#[derive(Debug)]
struct Mismatch(String);

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

/// A lenient deserializer over a JSON value.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    value: &'a Value,
    out_of_range: OutOfRange,
}

impl<'a> Reader<'a> {
    fn must_be<T>(what: &str) -> Result<T, Mismatch> {
        Err(Mismatch(format!("must be {what}")))
    }

    /// Returns the value as an integer, whether or not it is written with a fraction or an exponent.
    fn whole(self) -> Option<i128> {
        let number = self.value.as_number()?;
        let exact = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
        exact.or_else(|| {
            let number = number.as_f64()?;
            // The cast saturates beyond 128 bits, and no field can hold such a number anyway.
            (number.fract() == 0.0 || self.out_of_range == OutOfRange::Nearest).then_some(number as i128)
        })
    }

    fn whole_within<V: Visitor<'a>>(self, visitor: V, low: i128, high: i128) -> Result<V::Value, Mismatch> {
        let number = match self.out_of_range {
            OutOfRange::Refused => self.whole().filter(|number| (low..=high).contains(number)),
            OutOfRange::Nearest => self.whole().map(|number| number.clamp(low, high)),
        };
        let Some(number) = number else { return Self::must_be(&words::integer(low, high)) };
        match u64::try_from(number) {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_i64(i64::try_from(number).unwrap_or(i64::MIN)),
        }
    }

    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Self::must_be("a string"),
        }
    }

    fn number<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value.as_f64() {
            Some(number) => visitor.visit_f64(number),
            None => Self::must_be("a number"),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident: $type:ty;)*) => {
        $(
            fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
                self.whole_within(visitor, <$type>::MIN.into(), <$type>::MAX.into())
            }
        )*
    };
}

macro_rules! as_they_are {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            fn $method<V: Visitor<'a>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Mismatch> {
                Ok(self.value.$method($($argument,)* visitor)?)
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

    /// Reads a [`TokenLimit`], whose own code handles numbers of any size.
    fn deserialize_i128<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let number = match self.out_of_range {
            OutOfRange::Refused => self.whole(),
            OutOfRange::Nearest => self.whole().map(|number| number.max(TokenLimit::LOWEST)),
        };
        match number {
            Some(number) => visitor.visit_i128(number),
            None => Self::must_be("an integer"),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => Self::must_be("a boolean"),
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
        match self.value {
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
        match self.value {
            Value::Array(items) => {
                visitor.visit_seq(Items { rest: items.iter(), out_of_range: self.out_of_range })
            }
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
        let out_of_range = self.out_of_range;
        match self.value {
            Value::Object(members) => {
                visitor.visit_map(Members { rest: members.iter(), value: None, out_of_range })
            }
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

/// The members of an object without nulls, which SDKs send for unset fields.
struct Members<'a> {
    rest: serde_json::map::Iter<'a>,
    value: Option<&'a Value>,
    out_of_range: OutOfRange,
}

impl<'a> MapAccess<'a> for Members<'a> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let Some((name, value)) = self.rest.find(|(_, value)| !value.is_null()) else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        let value = self.value.take().unwrap_or(&Value::Null);
        seed.deserialize(Reader { value, out_of_range: self.out_of_range })
    }
}

struct Items<'a> {
    rest: std::slice::Iter<'a, Value>,
    out_of_range: OutOfRange,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let out_of_range = self.out_of_range;
        self.rest.next().map(|value| seed.deserialize(Reader { value, out_of_range })).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
