//! Chat template variables of a request: its reasoning settings and its `chat_template_kwargs`.
//!
//! Model families name their switch for reasoning differently. A request sets all known names.

use lar_base::Problem;
use lar_chat_format::THINKING_SWITCHES;
use lar_chat_format::template::RESERVED;
use lar_inference::TemplateVariable;
use serde_json::{Map, Value, json};

/// The maximum number of variables in a request.
const VARIABLES_MAX: usize = 32;
/// The maximum size in bytes of all names and JSON values of a request's variables.
const VARIABLES_BYTES_MAX: usize = 16 << 10;
/// The maximum length of a name in bytes.
const NAME_MAX: usize = 64;

/// The levels of reasoning effort, lowest first.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

fn variable(name: &str, value: &Value, field: &str) -> TemplateVariable {
    TemplateVariable { name: name.to_owned(), value: value.to_string(), field: field.to_owned() }
}

/// Returns the variables that switch reasoning on or off.
pub(crate) fn thinking(field: &str, on: bool) -> Vec<TemplateVariable> {
    THINKING_SWITCHES.iter().map(|name| variable(name, &json!(on), field)).collect()
}

/// Returns the variables that set the reasoning effort. `none` switches reasoning off, any other level on.
///
/// # Errors
/// If the level is unknown.
pub(crate) fn effort(field: &str, effort: &str) -> Result<Vec<TemplateVariable>, Problem> {
    if !EFFORTS.contains(&effort) {
        return Err(Problem::invalid(field, format!("must be one of {}", EFFORTS.join(", "))));
    }
    let mut variables = thinking(field, effort != "none");
    variables.push(variable("reasoning_effort", &json!(effort), field));
    Ok(variables)
}

/// Reads `chat_template_kwargs`.
///
/// # Errors
/// If there are too many variables, or a name is invalid or reserved.
pub(crate) fn kwargs(values: &Map<String, Value>) -> Result<Vec<TemplateVariable>, Problem> {
    let field = "chat_template_kwargs";
    if values.len() > VARIABLES_MAX {
        let reason = format!("has {} variables; the limit is {VARIABLES_MAX}", values.len());
        return Err(Problem::invalid(field, reason));
    }
    let mut variables = Vec::with_capacity(values.len());
    for (name, value) in values {
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !starts || !fits || name.len() > NAME_MAX {
            let reason = format!(
                "has an invalid name: use up to {NAME_MAX} letters, digits and `_`, not starting with a digit"
            );
            return Err(Problem::invalid(field, reason));
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(Problem::invalid(format!("{field}.{name}"), "is reserved and cannot be set"));
        }
        variables.push(variable(name, value, &format!("{field}.{name}")));
    }
    let bytes: usize = variables.iter().map(|variable| variable.name.len() + variable.value.len()).sum();
    if bytes > VARIABLES_BYTES_MAX {
        return Err(Problem::invalid(
            field,
            format!("has {bytes} bytes; the limit is {VARIABLES_BYTES_MAX}"),
        ));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(variables: &[TemplateVariable]) -> Vec<(&str, &str)> {
        variables.iter().map(|variable| (variable.name.as_str(), variable.value.as_str())).collect()
    }

    #[test]
    fn reasoning_settings_and_kwargs_become_template_variables() {
        assert_eq!(pairs(&thinking("think", false)), [("enable_thinking", "false"), ("thinking", "false")]);
        assert_eq!(
            pairs(&effort("reasoning_effort", "low").unwrap()),
            [("enable_thinking", "true"), ("thinking", "true"), ("reasoning_effort", "\"low\"")]
        );
        assert_eq!(pairs(&effort("reasoning_effort", "none").unwrap())[0], ("enable_thinking", "false"));
        assert_eq!(effort("reasoning.effort", "much").unwrap_err().fields[0].field, "reasoning.effort");
        let values = json!({ "a_1": [1], "_b": null });
        assert_eq!(pairs(&kwargs(values.as_object().unwrap()).unwrap()), [("a_1", "[1]"), ("_b", "null")]);
        let many: Map<String, Value> = (0..33).map(|number| (format!("a{number}"), json!(1))).collect();
        for (wrong, field) in [
            (json!({ "messages": [] }), "chat_template_kwargs.messages"),
            (json!({ "bos_token": "x" }), "chat_template_kwargs.bos_token"),
            (json!({ "a b": 1 }), "chat_template_kwargs"),
            (json!({ "1": 1 }), "chat_template_kwargs"),
            (json!({ "a": "x".repeat(20_000) }), "chat_template_kwargs"),
            (Value::Object(many), "chat_template_kwargs"),
        ] {
            assert_eq!(kwargs(wrong.as_object().unwrap()).unwrap_err().fields[0].field, field, "{wrong}");
        }
    }
}
