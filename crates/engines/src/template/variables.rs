//! The variables that a template finds beside the messages: those that llama.cpp's server gives to every template, and
//! those of the request, which take their place.
//!
//! Templates in the wild were tried with llama.cpp: one that tests `not enable_thinking` switches reasoning off where
//! nothing defines it, and one that adds `datetime` to a text fails.

use std::collections::BTreeMap;

use lar_base::Timestamp;
use minijinja::Value;
use minijinja::value::Serde;

use super::{RESERVED, reads};
use crate::chat_format;
use crate::driver::{Chat, TemplateVariable};

/// The format of `date_string`, which Llama 3's templates read. UTC, as everything that templates are told of the time.
const DATE_FORMAT: &str = "%d %b %Y";
/// The format of `datetime`, which Firefunction's template reads.
const DATE_TIME_FORMAT: &str = "%b %d %Y %H:%M:%S GMT";

/// The variables of one rendering. `tools` are those that the template is given.
pub(super) fn of(chat: &Chat, source: &str, tools: &[Value]) -> Value {
    let mut variables = defaults(chat, source, tools);
    let harmony = source.contains(chat_format::HARMONY_REASONING.0);
    let fit = chat.variables.iter().filter(|variable| !RESERVED.contains(&variable.name.as_str()));
    variables.extend(fit.map(|variable| (variable.name.clone(), value_of(variable, harmony))));
    Value::from(variables)
}

/// What a template finds where the request says nothing.
fn defaults(chat: &Chat, source: &str, tools: &[Value]) -> BTreeMap<String, Value> {
    // The request may switch reasoning off by the name that another model family gave the switch.
    let thinks = !chat.variables.iter().any(chat_format::disables_reasoning);
    let mut defaults = BTreeMap::from([("enable_thinking".to_owned(), Value::from(thinks))]);
    let now = Timestamp::now();
    for (name, format) in [("date_string", DATE_FORMAT), ("datetime", DATE_TIME_FORMAT)] {
        defaults.extend(now.strftime(format).map(|text| (name.to_owned(), Value::from(text))));
    }
    // Firefunction's template adds its tools to a text. Others ask whether there are `functions`.
    if reads(source, "datetime") {
        let functions = match tools {
            [] => String::new(),
            tools => serde_json::to_string_pretty(tools).unwrap_or_default(),
        };
        defaults.insert("functions".to_owned(), Value::from(functions));
    }
    defaults
}

/// A variable of the request as the template finds it.
fn value_of(variable: &TemplateVariable, harmony: bool) -> Value {
    let value: serde_json::Value = serde_json::from_str(&variable.value).unwrap_or_default();
    match value.as_str().filter(|_| harmony && variable.name == "reasoning_effort") {
        // gpt-oss was taught three words.
        Some("none" | "minimal") => Value::from("low"),
        Some("xhigh" | "max") => Value::from("high"),
        _ => Value::from(Serde(value)),
    }
}
