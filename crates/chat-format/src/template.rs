//! Chat templates: Jinja text from a model's metadata, run in a sandbox.
//!
//! A template is untrusted: it can read the messages and nothing else, has no loader, and its steps and its
//! output are limited. Steps do not limit memory, so a worker process with limited memory renders it.
//! [`environment`] adds the functions and filters that templates expect, [`variables`] the variables, and
//! [`adapt`] changes messages for templates that do not accept all of them.

mod adapt;
mod environment;
mod variable_names;
mod variables;

pub mod guard;

use lar_inference::{Chat, ChatMessage, ChatTemplate, Error, TemplateVariable};
use minijinja::value::Serde;
use minijinja::{ErrorKind, Template, Value, context};

use crate::formats::HARMONY_REASONING;
use crate::{ModelFormat, tools};
pub use adapt::arguments;
use adapt::{ATTEMPTS, Form};
pub(crate) use environment::spaced_json;
pub use variable_names::RESERVED;
pub(crate) use variable_names::reads;

/// The most bytes by which a rendered prompt may exceed twice the size of its chat.
const GROWTH_BYTES_MAX: usize = 1 << 20;
/// The longest template, in bytes; the longest of common models have about 12 kB.
const SOURCE_BYTES_MAX: usize = 256 << 10;

/// Renders a chat into a prompt. It ends with the generation prompt and the assistant prefill, or after the
/// last message if the chat has no generation prompt.
///
/// # Errors
/// [`Error::Template`] if the template is invalid, refuses the messages in every form, takes too many steps
/// or writes too much.
pub fn render(template: &ChatTemplate, chat: &Chat) -> Result<String, Error> {
    if template.source.len() > SOURCE_BYTES_MAX {
        return Err(Error::Template(format!(
            "it has {} bytes; the limit is {SOURCE_BYTES_MAX}",
            template.source.len()
        )));
    }
    let model_format = ModelFormat::from_template(&template.source);
    let calls = chat.messages.iter().any(|message| message.role == "tool" || !message.tool_calls.is_empty());
    let explained = ((calls || !chat.tools.is_empty()) && !model_format.supports_tools())
        .then(|| tools::explain_tools(chat));
    let messages = explained.as_deref().unwrap_or(&chat.messages);
    let tools: Vec<Value> = match explained {
        None => chat.tools.iter().map(|tool| Value::from(Serde(tools::tool_json(tool)))).collect(),
        Some(_) => Vec::new(),
    };
    let source = environment::expand_generation_blocks(&template.source);
    let environment = environment::environment();
    let failed = |error: minijinja::Error| Error::Template(environment::reason(&error));
    let compiled = environment.template_from_str(&source).map_err(failed)?;
    let values = context! {
        add_generation_prompt => chat.adds_generation_prompt,
        bos_token => template.start.as_str(),
        eos_token => template.end.as_str(),
        ..variables::of(chat, &template.source, &tools)
    };
    let some_tools = !tools.is_empty();
    let with_tools = context! { tools => some_tools.then_some(tools), ..values.clone() };
    let mut text = match attempt(&template.source, &compiled, messages, &with_tools) {
        // Some templates fail on an empty list of tools.
        Err(error) if !some_tools && error.kind() != ErrorKind::OutOfFuel => {
            // The first error is the one that the template's author would see.
            attempt(&template.source, &compiled, messages, &values).map_err(|_| failed(error))?
        }
        outcome => outcome.map_err(failed)?,
    };
    // A template may add whitespace to schemas.
    let limit = chat.bytes() * 2 + GROWTH_BYTES_MAX;
    if text.len() > limit {
        return Err(Error::Template(format!("the result has {} bytes; the limit is {limit}", text.len())));
    }
    model_format.append_prefill(&mut text, chat);
    Ok(text)
}

/// Returns the request fields whose template variables have no effect: the template does not read them, and
/// neither does Lar.
#[must_use]
pub fn ignored_variables(template: &ChatTemplate, chat: &Chat) -> Vec<String> {
    let model_format = ModelFormat::from_template(&template.source);
    let has_effect = |variable: &TemplateVariable| {
        reads(&template.source, &variable.name) || model_format.supports_variable(variable)
    };
    let mut ignored: Vec<String> = Vec::new();
    for variable in &chat.variables {
        let field = &variable.field;
        let of_field = || chat.variables.iter().filter(|other| other.field == *field);
        if !ignored.contains(field) && !of_field().any(has_effect) {
            ignored.push(field.clone());
        }
    }
    ignored
}

/// Renders the messages in the first form that the template accepts without losing text.
fn attempt(
    source: &str,
    template: &Template<'_, '_>,
    messages: &[ChatMessage],
    values: &Value,
) -> Result<String, minijinja::Error> {
    let mut best: Option<Result<String, minijinja::Error>> = None;
    for changes in ATTEMPTS {
        if !changes.iter().all(|change| change.applies(messages)) {
            continue;
        }
        let form = Form {
            changes,
            short_ids: source.contains("length != 9"),
            text_in_reasoning: source.contains(HARMONY_REASONING.0),
        };
        let arranged = adapt::apply_changes(messages, changes);
        let fields: Vec<Value> = arranged.iter().map(|message| adapt::fields(message, form)).collect();
        let outcome = template.render(context! { messages => fields, ..values.clone() });
        let spent = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::OutOfFuel);
        if outcome.as_ref().is_ok_and(|text| adapt::is_complete(text, messages)) {
            return outcome;
        }
        if best.is_none() || (outcome.is_ok() && best.as_ref().is_some_and(Result::is_err)) {
            best = Some(outcome);
        }
        // A form that takes too many steps does so in the other forms, too.
        if spent {
            break;
        }
    }
    best.unwrap_or_else(|| Ok(String::new()))
}

#[cfg(test)]
mod tests;
