//! The variables of a template other than the messages: the defaults of llama.cpp's server, overridden by
//! those of the request.
//!
//! Public templates were tested with llama.cpp: one that tests `not enable_thinking` switches reasoning off
//! if the variable is undefined, and one that concatenates `datetime` fails without it.

use std::collections::BTreeMap;

use lar_base::Timestamp;
use minijinja::Value;
use minijinja::value::Serde;

use super::variable_names::{RESERVED, reads};
use lar_inference::{Chat, TemplateVariable};

/// The format of `date_string`, which Llama 3's templates read. The time is UTC, as in all of these
/// variables.
const DATE_FORMAT: &str = "%d %b %Y";
/// The format of `datetime`, which Firefunction's template reads.
const DATE_TIME_FORMAT: &str = "%b %d %Y %H:%M:%S GMT";

/// Returns the variables of one rendering. `tools` are the tools that the template gets.
pub(super) fn of(chat: &Chat, source: &str, tools: &[Value]) -> Value {
    let mut variables = defaults(chat, source, tools);
    let harmony = source.contains(crate::formats::HARMONY_REASONING.0);
    let fit = chat.variables.iter().filter(|variable| !RESERVED.contains(&variable.name.as_str()));
    variables.extend(fit.map(|variable| (variable.name.clone(), value_of(variable, harmony))));
    Value::from(variables)
}

/// Returns the defaults.
fn defaults(chat: &Chat, source: &str, tools: &[Value]) -> BTreeMap<String, Value> {
    // A request may switch reasoning off with the name of another model family's switch.
    let thinks = !chat.variables.iter().any(crate::model_format::disables_reasoning);
    let mut defaults = BTreeMap::from([("enable_thinking".to_owned(), Value::from(thinks))]);
    let now = Timestamp::now();
    for (name, format) in [("date_string", DATE_FORMAT), ("datetime", DATE_TIME_FORMAT)] {
        defaults.extend(now.strftime(format).map(|text| (name.to_owned(), Value::from(text))));
    }
    // Firefunction's template concatenates `functions`. Other templates test whether it is defined.
    if reads(source, "datetime") {
        let functions = match tools {
            [] => String::new(),
            tools => serde_json::to_string_pretty(tools).expect("a JSON value serializes"),
        };
        defaults.insert("functions".to_owned(), Value::from(functions));
    }
    defaults
}

/// Returns the value of a request's variable.
fn value_of(variable: &TemplateVariable, harmony: bool) -> Value {
    let value: serde_json::Value = serde_json::from_str(&variable.value).unwrap_or_default();
    match value.as_str().filter(|_| harmony && variable.name == "reasoning_effort") {
        // gpt-oss was trained with three levels.
        Some("none" | "minimal") => Value::from("low"),
        Some("xhigh" | "max") => Value::from("high"),
        _ => Value::from(Serde(value)),
    }
}
