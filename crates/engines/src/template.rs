//! Chat templates: Jinja text from a model's metadata, run in a sandbox.
//!
//! The text is untrusted. It sees the messages and nothing else, has no loader, and runs with a limit on
//! its steps and on its output; a template that loops is an error. Steps do not bound memory, so rendering
//! happens in a worker process, whose memory is limited. What templates in the wild expect of Python's
//! string methods comes from `minijinja-contrib`.

use serde::{Deserialize, Serialize};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

use crate::Error;
use crate::driver::ChatMessage;

/// Instructions one rendering may take. A 200-message chat with a long template takes about 40,000.
const FUEL: u64 = 5_000_000;
/// A rendered prompt may be this much longer than its messages.
const GROWTH_BYTES_MAX: usize = 1 << 20;
/// A template longer than this is refused; the longest of common models have about 12 kB.
const SOURCE_BYTES_MAX: usize = 256 << 10;

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
    /// Renders messages into a prompt that ends where the assistant begins to speak.
    ///
    /// # Errors
    /// [`Error::Template`] when the source is broken, refuses the messages, or takes too long.
    pub fn render(&self, messages: &[ChatMessage]) -> Result<String, Error> {
        if self.source.len() > SOURCE_BYTES_MAX {
            return Err(Error::Template(format!("it has {} bytes", self.source.len())));
        }
        let text = environment()
            .render_str(
                &self.source,
                context! {
                    messages => messages.iter().map(fields).collect::<Vec<_>>(),
                    add_generation_prompt => true,
                    bos_token => self.start.as_str(),
                    eos_token => self.end.as_str(),
                },
            )
            .map_err(|error| Error::Template(reason(&error)))?;
        let limit = messages.iter().map(|message| message.content.len()).sum::<usize>() + GROWTH_BYTES_MAX;
        if text.len() > limit {
            return Err(Error::Template(format!("it made {} bytes of them", text.len())));
        }
        Ok(text)
    }
}

fn fields(message: &ChatMessage) -> Value {
    context! { role => message.role.as_str(), content => message.content.as_str() }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    // As transformers renders them: a line that holds only a block leaves no trace.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.unwrap_or_default());
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |_format: String| String::new());
    environment
}

fn reason(error: &minijinja::Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => "it takes too many steps".into(),
        kind => error.detail().map_or_else(|| kind.to_string(), ToOwned::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate { source: source.into(), start: "<s>".into(), end: "</s>".into() }
    }

    fn messages() -> Vec<ChatMessage> {
        vec![ChatMessage { role: "user".into(), content: " hi ".into() }]
    }

    #[test]
    fn renders_as_the_models_expect() {
        let chatml = "{% for m in messages %}<|{{ m['role'] }}|>{{ m.content.strip() }}{{ eos_token }}\n{% endfor %}\
                      {% if add_generation_prompt %}<|assistant|>{% endif %}";
        assert_eq!(template(chatml).render(&messages()).unwrap(), "<|user|>hi</s>\n<|assistant|>");
    }

    #[test]
    fn hostile_templates_end_with_an_error() {
        let looping = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let growing = "{% set ns = namespace(s='x') %}{% for a in range(22) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}";
        let cases = [
            (looping, "it takes too many steps"),
            ("{% include '/etc/passwd' %}", "non-existing template"),
            ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit exceeded"),
            ("{% if %}", ""),
        ];
        for (source, expected) in cases {
            match template(source).render(&messages()) {
                Err(Error::Template(reason)) => assert!(reason.contains(expected), "{source}: {reason}"),
                other => panic!("{source}: {other:?}"),
            }
        }
        assert!(template(growing).render(&messages()).is_err());
    }
}
