//! The fields for structured output other than `response_format`.
//!
//! They are llama.cpp's `json_schema` and `grammar`, vLLM's `structured_outputs`, and the `guided_…` fields
//! of earlier versions of vLLM.

use lar_base::{Code, Problem};
use lar_inference::Constraint;
use serde_json::Value;

use crate::openai::wire::{Sampling as Wire, StructuredOutputs};
use crate::request::json_schema;

/// The maximum number of strings in a choice.
const CHOICES_MAX: usize = 1024;
/// The maximum size in bytes of all strings in a choice.
const CHOICES_BYTES_MAX: usize = 64 << 10;
/// The maximum size of a regular expression in bytes.
const REGEX_BYTES_MAX: usize = 16 << 10;

/// The fields that set a constraint.
const FIELDS: [&str; 7] = [
    "json_schema",
    "grammar",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
];

/// Returns the field of a body that sets the constraint, or `default` if none of these fields does.
pub(crate) fn field(body: &Value, default: &'static str) -> &'static str {
    let is_set = |value: &Value| value.as_str().map_or(!value.is_null(), |text| !text.trim().is_empty());
    FIELDS.into_iter().find(|field| body.get(*field).is_some_and(is_set)).unwrap_or(default)
}

/// Returns the members of `structured_outputs` that have no effect, such as `disable_any_whitespace`.
pub(crate) fn unused(body: &Value) -> Vec<String> {
    const KNOWN: [&str; 6] = ["json", "regex", "choice", "grammar", "json_object", "structural_tag"];
    let members = body.get("structured_outputs").and_then(Value::as_object).into_iter().flatten();
    let unused = members.filter(|(name, value)| !value.is_null() && !KNOWN.contains(&name.as_str()));
    unused.map(|(name, _)| format!("structured_outputs.{name:.40}")).collect()
}

/// Takes the constraint out of a request, if it has one.
///
/// # Errors
/// If the request has several constraints or an invalid one.
pub(super) fn read(wire: &mut Wire) -> Result<Option<Constraint>, Problem> {
    let all = [
        (
            "json_schema",
            wire.json_schema.take().map(|schema| json_schema("json_schema", &schema)).transpose()?,
        ),
        (
            "structured_outputs",
            wire.structured_outputs.take().map(read_structured_outputs).transpose()?.flatten(),
        ),
        ("guided_json", wire.guided_json.take().map(|schema| json("guided_json", schema)).transpose()?),
        (
            "guided_regex",
            wire.guided_regex.take().map(|pattern| regex("guided_regex", &pattern)).transpose()?,
        ),
        (
            "guided_choice",
            wire.guided_choice.take().map(|texts| choice("guided_choice", &texts)).transpose()?,
        ),
        ("guided_grammar", wire.guided_grammar.take().and_then(gbnf)),
        ("grammar", wire.grammar.take().and_then(gbnf)),
    ];
    let mut given = all.into_iter().filter_map(|(field, constraint)| Some((field, constraint?)));
    let first = given.next();
    if let (Some((one, _)), Some((other, _))) = (&first, given.next()) {
        return Err(Problem::invalid(other, format!("cannot be used together with `{one}`")));
    }
    Ok(first.map(|(_, constraint)| constraint))
}

fn read_structured_outputs(wire: StructuredOutputs) -> Result<Option<Constraint>, Problem> {
    let within = |name: &str| format!("structured_outputs.{name}");
    if wire.structural_tag.is_some() {
        return Err(Problem::about(Code::UnsupportedParam, within("structural_tag"), "is not supported"));
    }
    let all = [
        wire.json.map(|schema| json(&within("json"), schema)).transpose()?,
        wire.regex.map(|pattern| regex(&within("regex"), &pattern)).transpose()?,
        wire.choice.map(|texts| choice(&within("choice"), &texts)).transpose()?,
        wire.grammar.and_then(gbnf),
        (wire.json_object == Some(true)).then_some(Constraint::JsonObject),
    ];
    let mut given = all.into_iter().flatten();
    match (given.next(), given.next()) {
        (_, Some(_)) => Err(Problem::invalid(
            "structured_outputs",
            "must have only one of `json`, `regex`, `choice`, `grammar`, `json_object`",
        )),
        (only, None) => Ok(only),
    }
}

/// Reads a JSON Schema, or a string with one.
fn json(field: &str, schema: Value) -> Result<Constraint, Problem> {
    match &schema {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(schema) => json_schema(field, &schema),
            Err(_) => Err(Problem::invalid(field, "must be a JSON Schema object")),
        },
        schema => json_schema(field, schema),
    }
}

/// Converts a regular expression into a constraint. The expression must match the whole answer.
fn regex(field: &str, pattern: &str) -> Result<Constraint, Problem> {
    if pattern.is_empty() || pattern.len() > REGEX_BYTES_MAX {
        return Err(Problem::invalid(field, format!("must have 1 to {REGEX_BYTES_MAX} bytes")));
    }
    // Lark has no anchors, and the expression matches the whole answer anyway.
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let is_anchor = |rest: &str| (rest.len() - rest.trim_end_matches('\\').len()).is_multiple_of(2);
    let pattern = pattern.strip_suffix('$').filter(|rest| is_anchor(rest)).unwrap_or(pattern);
    if pattern.is_empty() {
        return Err(Problem::invalid(field, "must match more than the empty string"));
    }
    // In Lark, a slash ends an expression, and an expression has no line breaks.
    let mut escaped = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                escaped.push(character);
                match characters.next() {
                    Some('\n') => escaped.push('n'),
                    next => escaped.extend(next),
                }
            }
            '/' => escaped.push_str("\\/"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            _ => escaped.push(character),
        }
    }
    Ok(Constraint::Lark(format!("start: /{escaped}/\n")))
}

/// Converts a list of alternatives into a constraint.
fn choice(field: &str, texts: &[String]) -> Result<Constraint, Problem> {
    let bytes: usize = texts.iter().map(String::len).sum();
    if texts.is_empty() || texts.len() > CHOICES_MAX || bytes > CHOICES_BYTES_MAX {
        let reason =
            format!("must have 1 to {CHOICES_MAX} strings of at most {CHOICES_BYTES_MAX} bytes in total");
        return Err(Problem::invalid(field, reason));
    }
    if texts.iter().any(String::is_empty) {
        return Err(Problem::invalid(field, "must not have an empty string"));
    }
    let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
    Ok(Constraint::Gbnf(format!("root ::= {}", texts.join(" | "))))
}

/// Quotes a text for GBNF.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_ascii_control() => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(control)))
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Converts a GBNF grammar into a constraint; a blank one sets none.
fn gbnf(source: String) -> Option<Constraint> {
    (!source.trim().is_empty()).then_some(Constraint::Gbnf(source))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(body: Value) -> Result<Option<Constraint>, String> {
        let mut wire: Wire = serde_json::from_value(body).unwrap();
        read(&mut wire).map_err(|problem| problem.detail)
    }

    #[test]
    fn constraint_fields_of_vllm_become_constraints() {
        let schema = json!({ "type": "object" });
        let by_schema = || Ok(Some(Constraint::JsonSchema(schema.to_string())));
        let gbnf = |source: &str| Ok(Some(Constraint::Gbnf(source.into())));
        let lark = |pattern: &str| Ok(Some(Constraint::Lark(format!("start: /{pattern}/\n"))));
        for (body, expected) in [
            (json!({}), Ok(None)),
            (json!({ "guided_json": schema }), by_schema()),
            (json!({ "guided_json": schema.to_string() }), by_schema()),
            (json!({ "structured_outputs": { "json": schema } }), by_schema()),
            (json!({ "structured_outputs": { "json_object": true } }), Ok(Some(Constraint::JsonObject))),
            (json!({ "structured_outputs": { "disable_any_whitespace": true } }), Ok(None)),
            (json!({ "guided_choice": ["yes", "a \"b\"\n"] }), gbnf(r#"root ::= "yes" | "a \"b\"\n""#)),
            (json!({ "structured_outputs": { "choice": ["x"] } }), gbnf("root ::= \"x\"")),
            (json!({ "guided_grammar": "root ::= \"x\"" }), gbnf("root ::= \"x\"")),
            (json!({ "grammar": "root ::= \"x\"" }), gbnf("root ::= \"x\"")),
            (json!({ "grammar": " " }), Ok(None)),
            (json!({ "guided_regex": r"^\d{3}/[a-z\/]+$" }), lark(r"\d{3}\/[a-z\/]+")),
            (json!({ "structured_outputs": { "regex": r"a\$" } }), lark(r"a\$")),
        ] {
            assert_eq!(of(body.clone()), expected, "{body}");
        }
    }

    #[test]
    fn invalid_or_several_constraints_are_refused_with_their_field() {
        for (body, expected) in [
            (
                json!({ "guided_json": {}, "grammar": "x" }),
                "`grammar` cannot be used together with `guided_json`",
            ),
            (json!({ "guided_json": "{" }), "`guided_json` must be a JSON Schema object"),
            (
                json!({ "guided_choice": [] }),
                "`guided_choice` must have 1 to 1024 strings of at most 65536 bytes in total",
            ),
            (json!({ "guided_choice": [""] }), "`guided_choice` must not have an empty string"),
            (json!({ "guided_regex": "" }), "`guided_regex` must have 1 to 16384 bytes"),
            (
                json!({ "structured_outputs": { "regex": "a", "choice": ["a"] } }),
                "`structured_outputs` must have only one of `json`, `regex`, `choice`, `grammar`, \
                 `json_object`",
            ),
            (
                json!({ "structured_outputs": { "structural_tag": {} } }),
                "`structured_outputs.structural_tag` is not supported",
            ),
        ] {
            assert_eq!(of(body.clone()), Err(expected.to_owned()), "{body}");
        }
        assert_eq!(
            field(&json!({ "guided_regex": "a", "grammar": null }), "response_format"),
            "guided_regex"
        );
        assert_eq!(field(&json!({}), "response_format"), "response_format");
        let body =
            json!({ "structured_outputs": { "regex": "a", "whitespace_pattern": " ", "backend": null } });
        assert_eq!(unused(&body), ["structured_outputs.whitespace_pattern"]);
    }
}
