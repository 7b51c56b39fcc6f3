//! What an answer must look like, beside `response_format`: llama.cpp's `json_schema` and `grammar`, vLLM's
//! `structured_outputs` and, of its earlier versions, `guided_json` and the like.

use lar_api::openai::{Sampling as Wire, StructuredOutputs};
use lar_base::{Code, Problem};
use lar_engines::driver::Constraint;
use serde_json::Value;

use crate::generate::json_schema;

/// Texts of a choice at most, and bytes of all together.
const CHOICES_MAX: usize = 1024;
const CHOICES_BYTES_MAX: usize = 64 << 10;
/// Bytes of a regular expression at most.
const REGEX_BYTES_MAX: usize = 16 << 10;

/// The fields that say it, as errors call them.
const FIELDS: [&str; 7] = [
    "json_schema",
    "grammar",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
];

/// Which field of a body says what its answer must look like; `usual` where none of these does.
pub(crate) fn field(body: &Value, usual: &'static str) -> &'static str {
    let says = |value: &Value| value.as_str().map_or(!value.is_null(), |text| !text.trim().is_empty());
    FIELDS.into_iter().find(|field| body.get(*field).is_some_and(says)).unwrap_or(usual)
}

/// The members of vLLM's field that have no effect, such as `disable_any_whitespace`, as `X-Lar-Ignored` names them.
pub(crate) fn unused(body: &Value) -> Vec<String> {
    const KNOWN: [&str; 6] = ["json", "regex", "choice", "grammar", "json_object", "structural_tag"];
    let members = body.get("structured_outputs").and_then(Value::as_object).into_iter().flatten();
    let unused = members.filter(|(name, value)| !value.is_null() && !KNOWN.contains(&name.as_str()));
    unused.map(|(name, _)| format!("structured_outputs.{name:.40}")).collect()
}

/// Takes the constraint of a request; there is one at most.
///
/// # Errors
/// When there are several, or one is not what it must be.
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
        return Err(Problem::about(
            Code::UnsupportedParam,
            within("structural_tag"),
            "is not supported here",
        ));
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
            "must hold one of `json`, `regex`, `choice`, `grammar` and `json_object`",
        )),
        (only, None) => Ok(only),
    }
}

/// A schema, or its text.
fn json(field: &str, schema: Value) -> Result<Constraint, Problem> {
    match &schema {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(schema) => json_schema(field, &schema),
            Err(_) => Err(Problem::invalid(field, "must be a JSON Schema, which is an object")),
        },
        schema => json_schema(field, schema),
    }
}

/// An answer that a regular expression matches from its beginning to its end.
fn regex(field: &str, pattern: &str) -> Result<Constraint, Problem> {
    if pattern.is_empty() || pattern.len() > REGEX_BYTES_MAX {
        return Err(Problem::invalid(field, format!("must have 1 to {REGEX_BYTES_MAX} bytes")));
    }
    // It is matched as a whole anyway; the grammar knows no anchors.
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let is_anchor = |rest: &str| (rest.len() - rest.trim_end_matches('\\').len()).is_multiple_of(2);
    let pattern = pattern.strip_suffix('$').filter(|rest| is_anchor(rest)).unwrap_or(pattern);
    if pattern.is_empty() {
        return Err(Problem::invalid(field, "must not match the empty text alone"));
    }
    // Lark closes an expression with a slash, and keeps it on one line.
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

/// One of these texts.
fn choice(field: &str, texts: &[String]) -> Result<Constraint, Problem> {
    let bytes: usize = texts.iter().map(String::len).sum();
    if texts.is_empty() || texts.len() > CHOICES_MAX || bytes > CHOICES_BYTES_MAX {
        let reason =
            format!("must hold 1 to {CHOICES_MAX} texts of {CHOICES_BYTES_MAX} bytes together at most");
        return Err(Problem::invalid(field, reason));
    }
    if texts.iter().any(String::is_empty) {
        return Err(Problem::invalid(field, "must not hold an empty text"));
    }
    let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
    Ok(Constraint::Gbnf(format!("root ::= {}", texts.join(" | "))))
}

/// A text as GBNF quotes it.
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

/// A grammar in GBNF; a blank one is none.
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
            (json!({ "guided_json": "{" }), "`guided_json` must be a JSON Schema, which is an object"),
            (
                json!({ "guided_choice": [] }),
                "`guided_choice` must hold 1 to 1024 texts of 65536 bytes together at most",
            ),
            (json!({ "guided_choice": [""] }), "`guided_choice` must not hold an empty text"),
            (json!({ "guided_regex": "" }), "`guided_regex` must have 1 to 16384 bytes"),
            (
                json!({ "structured_outputs": { "regex": "a", "choice": ["a"] } }),
                "`structured_outputs` must hold one of `json`, `regex`, `choice`, `grammar` and `json_object`",
            ),
            (
                json!({ "structured_outputs": { "structural_tag": {} } }),
                "`structured_outputs.structural_tag` is not supported here",
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
