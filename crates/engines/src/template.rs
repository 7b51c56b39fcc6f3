//! Chat templates: Jinja text from a model's metadata, run in a sandbox.
//!
//! The text is untrusted. It sees the messages and nothing else, has no loader, and runs with a limit on
//! its steps and on its output; a template that loops is an error. Steps do not bound memory, so rendering
//! happens in a worker process, whose memory is limited. [`environment`] has what templates expect beside Jinja,
//! [`variables`] what they find beside the messages, [`adapt`] makes messages fit templates that do not take all of them.

mod adapt;
mod environment;
mod variables;

pub(crate) mod guard;

use minijinja::value::Serde;
use minijinja::{ErrorKind, Template, Value, context};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::chat_format::{self, ModelFormat};
use crate::driver::{Chat, ChatMessage, TemplateVariable};
pub(crate) use adapt::arguments;
use adapt::{ATTEMPTS, Form};
pub(crate) use environment::spaced_json;

/// A rendered prompt may be this much longer than its messages.
const GROWTH_BYTES_MAX: usize = 1 << 20;
/// A template longer than this is refused; the longest of common models have about 12 kB.
const SOURCE_BYTES_MAX: usize = 256 << 10;
/// Names that a request's variables may not take.
pub const RESERVED: [&str; 10] = [
    "messages",
    "tools",
    "add_generation_prompt",
    "bos_token",
    "eos_token",
    "raise_exception",
    "strftime_now",
    "namespace",
    "range",
    "dict",
];

/// A model's chat template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatTemplate {
    /// The Jinja source.
    pub source: String,
    /// The text of the model's start token, empty where it has none.
    pub start: String,
    /// The text of the model's end token, empty where it has none.
    pub end: String,
}

impl ChatTemplate {
    /// Renders a chat into a prompt that ends where the assistant begins to speak, or goes on; behind the last message
    /// where the chat wants no generation prompt.
    ///
    /// # Errors
    /// [`Error::Template`] when the source is broken, refuses the messages in every form, or takes too long.
    pub fn render(&self, chat: &Chat) -> Result<String, Error> {
        if self.source.len() > SOURCE_BYTES_MAX {
            return Err(Error::Template(format!("it has {} bytes", self.source.len())));
        }
        let model_format = ModelFormat::from_template(&self.source);
        let calls =
            chat.messages.iter().any(|message| message.role == "tool" || !message.tool_calls.is_empty());
        let explained = ((calls || !chat.tools.is_empty()) && !model_format.supports_tools())
            .then(|| chat_format::explain_tools(chat));
        let messages = explained.as_deref().unwrap_or(&chat.messages);
        let tools: Vec<Value> = match explained {
            None => chat.tools.iter().map(|tool| Value::from(Serde(chat_format::tool_json(tool)))).collect(),
            Some(_) => Vec::new(),
        };
        let source = environment::expand_generation_blocks(&self.source);
        let environment = environment::environment();
        let failed = |error: minijinja::Error| Error::Template(environment::reason(&error));
        let template = environment.template_from_str(&source).map_err(failed)?;
        let values = context! {
            add_generation_prompt => chat.adds_generation_prompt,
            bos_token => self.start.as_str(),
            eos_token => self.end.as_str(),
            ..variables::of(chat, &self.source, &tools)
        };
        let some_tools = !tools.is_empty();
        let with_tools = context! { tools => some_tools.then_some(tools), ..values.clone() };
        let mut text = match self.attempt(&template, messages, &with_tools) {
            // A template may want to be given no tools at all rather than none.
            Err(error) if !some_tools && error.kind() != ErrorKind::OutOfFuel => {
                self.attempt(&template, messages, &values).map_err(|_| failed(error))?
            }
            outcome => outcome.map_err(failed)?,
        };
        // Schemas may be told with more blanks than they came with.
        let limit = chat.bytes() * 2 + GROWTH_BYTES_MAX;
        if text.len() > limit {
            return Err(Error::Template(format!("it made {} bytes of them", text.len())));
        }
        model_format.append_prefill(&mut text, chat);
        Ok(text)
    }

    /// The fields of a request whose variables this template does not read, and which nothing else honours.
    #[must_use]
    pub fn ignored_variables(&self, chat: &Chat) -> Vec<String> {
        let model_format = ModelFormat::from_template(&self.source);
        let honoured = |variable: &TemplateVariable| {
            reads(&self.source, &variable.name) || model_format.supports_variable(variable)
        };
        let mut ignored: Vec<String> = Vec::new();
        for variable in &chat.variables {
            let field = &variable.field;
            let of_field = || chat.variables.iter().filter(|other| other.field == *field);
            if !ignored.contains(field) && !of_field().any(honoured) {
                ignored.push(field.clone());
            }
        }
        ignored
    }

    /// Renders the messages in the first form in which the template takes all of them.
    fn attempt(
        &self,
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
                short_ids: self.source.contains("length != 9"),
                text_in_reasoning: self.source.contains(chat_format::HARMONY_REASONING.0),
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
            // What takes too many steps in one form does so in another.
            if spent {
                break;
            }
        }
        best.unwrap_or_else(|| Ok(String::new()))
    }
}

/// Whether a template reads a variable: its name stands there as a word that is no attribute and no text.
pub(crate) fn reads(source: &str, name: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    let not_before = |character: char| part(character) || matches!(character, '.' | '\'' | '"');
    source
        .match_indices(name)
        .any(|(at, _)| !source[..at].ends_with(not_before) && !source[at + name.len()..].starts_with(part))
}

#[cfg(test)]
mod tests;
