//! Converts a JSON Schema into a grammar of llguidance, which [`super::grammars`] compiles for a vocabulary.
//!
//! A keyword that llguidance does not support is an error only when the grammar is compiled.
//! [`super::constraint_check`] then loosens the schema with `lar_chat_format::schema_loosening`.

use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use lar_chat_format::bound_whitespace;

/// Converts the text of a JSON Schema.
///
/// # Errors
/// The text is not JSON, or not a JSON object.
pub(super) fn from_json_schema(source: &str) -> Result<TopLevelGrammar, String> {
    let schema: Value = serde_json::from_str(source).map_err(|error| format!("it is not JSON: {error}"))?;
    if !schema.is_object() {
        return Err("it must be a JSON object".into());
    }
    Ok(TopLevelGrammar::from_json_schema(bound_whitespace(schema)))
}

/// Returns the grammar of any JSON object.
pub(super) fn any_object() -> TopLevelGrammar {
    TopLevelGrammar::from_json_schema(bound_whitespace(json!({ "type": "object" })))
}

#[cfg(test)]
mod tests {
    use lar_inference::Constraint;

    use crate::grammars::Grammars;

    fn check(schema: &str) -> Result<(), String> {
        let checked = Grammars::of_bytes().unwrap().check(&Constraint::JsonSchema(schema.into()));
        checked.map_err(|refusal| refusal.reason)
    }

    #[test]
    fn a_refused_schema_reports_the_reason() {
        check(r##"{"properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"type":"integer"}}}"##).unwrap();
        for (schema, reason) in [
            ("[]", "must be a JSON object"),
            ("{", "not JSON"),
            (r#"{"type":"array","uniqueItems":true}"#, "uniqueItems"),
            (r##"{"$ref":"https://example.com/a.json"}"##, "$ref"),
            (r#"{"type":"string","pattern":"(a"}"#, ""),
            (r#"{"type":"object","properties":{"a":false},"required":["a"]}"#, "nsatisfiable"),
            (r##"{"$ref":"#"}"##, "no text matches"),
            (r##"{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}"##, "no text matches"),
        ] {
            let error = check(schema).unwrap_err();
            assert!(error.contains(reason), "{schema}: {error}");
        }
    }

    #[test]
    fn an_oversized_schema_is_refused_without_compiling() {
        let nested = |depth: usize| "{\"items\":".repeat(depth) + "{}" + &"}".repeat(depth);
        assert!(check(&nested(10_000)).is_err());
        let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(300 << 10));
        assert!(check(&long).unwrap_err().contains("bytes"));
    }

    #[test]
    fn only_text_that_matches_the_schema_is_allowed() {
        let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}"#;
        let grammars = Grammars::of_bytes().unwrap();
        let fits = |text: &str| {
            let mut matcher = grammars.start(&Constraint::JsonSchema(schema.into())).unwrap();
            let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
            matcher.try_consume_tokens(&bytes).unwrap() == bytes.len() && matcher.is_accepting().unwrap()
        };
        assert!(fits(r#"{"n": 12}"#));
        assert!(fits("{\n  \"n\":-1\n}"));
        for other in [r#"{"n":1.5}"#, r#"{"n":1"#, r#"{"m":1}"#, "{}", r#"{"n":  1}"#] {
            assert!(!fits(other), "{other}");
        }
    }
}
