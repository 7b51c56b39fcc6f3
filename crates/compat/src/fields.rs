//! How Lar treats each request field of the compatible APIs.
//!
//! The decoders read bodies with these tables, and the tables in `docs/reference/` are generated from them.

use lar_base::{Code, Problem};
use serde_json::Value;

use crate::lenient;

/// The maximum length of a name in `X-Lar-Ignored` in characters.
const IGNORED_NAME_CHARS_MAX: usize = 128;

/// How Lar treats a request field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSupport {
    /// Lar applies the field as its API specifies.
    Supported,
    /// Lar accepts the field, does not use it, and names it in `X-Lar-Ignored`.
    Ignored,
    /// Lar rejects the request unless the value is the default, because the field would change the output.
    Rejected,
}

/// A request field and its support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name of the field.
    pub name: &'static str,
    /// How Lar treats the field.
    pub support: FieldSupport,
    /// Details for the reference page; may be empty.
    pub note: &'static str,
}

/// Reads a body as JSON. Returns its non-null fields and the names of the fields that have no effect.
pub(crate) fn read(body: &[u8], table: &[Field]) -> Result<(Value, Vec<String>), Problem> {
    let mut body = lenient::parse(body)?;
    let ignored = check_fields(&mut body, table)?;
    Ok((body, ignored))
}

/// Removes null fields and checks the others against the API's table. Returns the fields that have no effect.
pub(crate) fn check_fields(body: &mut Value, table: &[Field]) -> Result<Vec<String>, Problem> {
    let Some(fields) = body.as_object_mut() else {
        return Err(Problem::new(Code::InvalidParams, "the body must be a JSON object"));
    };
    // SDKs send null for unset fields.
    fields.retain(|_, value| !value.is_null());
    let mut ignored = Vec::new();
    for (name, value) in fields.iter() {
        match table.iter().find(|field| field.name == name).map(|field| field.support) {
            Some(FieldSupport::Supported) => {}
            Some(FieldSupport::Rejected) if is_default(name, value) => {}
            Some(FieldSupport::Rejected) => {
                return Err(Problem::about(Code::UnsupportedParam, name, "is not supported"));
            }
            Some(FieldSupport::Ignored) | None => ignored.push(ignored_name(name)),
        }
    }
    ignored.sort_unstable();
    Ok(ignored)
}

/// Returns the name of a field, or the path of a schema keyword, in the form of the header `X-Lar-Ignored`.
///
/// Each character other than an ASCII letter, a digit and `_-.$[]` becomes `_`. After 128 characters, the name is
/// cut.
#[must_use]
pub fn ignored_name(name: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "_-.$[]".contains(one);
    name.chars().map(|one| if is_plain(one) { one } else { '_' }).take(IGNORED_NAME_CHARS_MAX).collect()
}

/// Returns whether an unsupported field has a value that means the same as leaving the field out.
fn is_default(name: &str, value: &Value) -> bool {
    match value {
        Value::Bool(set) => !set,
        Value::Array(items) => {
            items.is_empty() || (name == "modalities" && items.iter().all(|item| item == "text"))
        }
        Value::Number(number) => match name {
            // -1 means the whole context.
            "truncate_prompt_tokens" => number.as_i64() == Some(-1),
            "dimensions" => true,
            _ => number.as_f64() == Some(0.0),
        },
        Value::String(text) => {
            let is_default_mode = matches!((name, text.as_str()), ("function_call", "none" | "auto"));
            text.is_empty() || is_default_mode
        }
        Value::Object(_) => false,
        Value::Null => true,
    }
}

/// Renders a table of fields in Markdown.
pub(crate) fn markdown(fields: &[Field]) -> String {
    let row = |field: &Field| {
        let support = match field.support {
            FieldSupport::Supported => "supported",
            FieldSupport::Ignored => "ignored",
            FieldSupport::Rejected => "rejected",
        };
        format!("| `{}` | {support} | {} |\n", field.name, field.note)
    };
    "| field | support | note |\n|---|---|---|\n".to_owned() + &fields.iter().map(row).collect::<String>()
}

/// Defines a table of fields, grouped by their support.
macro_rules! fields {
    ($(#[$doc:meta])* $table:ident: $($support:ident { $($name:literal $(= $note:literal)?),* $(,)? })*) => {
        $(#[$doc])*
        pub const $table: &[$crate::fields::Field] = &[$($($crate::fields::Field {
            name: $name,
            support: $crate::fields::FieldSupport::$support,
            note: concat!("" $(, $note)?),
        },)*)*];
    };
}

pub(crate) use fields;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openai::wire::CHAT_FIELDS;

    #[test]
    fn fields_are_supported_ignored_or_rejected() {
        let mut body = json!({
            "model": "m", "messages": [], "n": 1, "modalities": ["text"], "user": "u", "made_up": 1,
            "stop": null,
        });
        assert_eq!(check_fields(&mut body, CHAT_FIELDS).unwrap(), ["made_up", "user"]);
        for refused in [json!({ "web_search_options": { "a": 1 } }), json!({ "audio": {} })] {
            let problem = check_fields(&mut refused.clone(), CHAT_FIELDS).unwrap_err();
            assert_eq!(problem.code, Code::UnsupportedParam, "{refused}");
        }
        assert!(check_fields(&mut json!([]), CHAT_FIELDS).is_err());
    }

    #[test]
    fn names_of_ignored_fields_fit_a_header() {
        assert_eq!(ignored_name("options.a-b_c[0].$ref"), "options.a-b_c[0].$ref");
        assert_eq!(ignored_name("a, b\r\nc: é"), "a__b__c___");
        assert_eq!(ignored_name(&"é".repeat(200)), "_".repeat(128));
        let mut body = json!({ "x\u{e9}": 1 });
        assert_eq!(check_fields(&mut body, CHAT_FIELDS).unwrap(), ["x_"]);
    }
}
