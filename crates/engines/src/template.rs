//! Chat templates: Jinja text from a model's metadata, run in a sandbox.
//!
//! The text is untrusted. It sees the messages and nothing else, has no loader, and runs with a limit on
//! its steps and on its output; a template that loops is an error. Steps do not bound memory, so rendering
//! happens in a worker process, whose memory is limited. What templates in the wild expect of Python's
//! string methods comes from `minijinja-contrib`.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};

use crate::Error;
use crate::dialect::{self, Dialect};
use crate::driver::{Chat, ChatMessage, ToolCall};

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
    /// Renders a chat into a prompt that ends where the assistant begins to speak, or goes on.
    ///
    /// # Errors
    /// [`Error::Template`] when the source is broken, refuses the messages, or takes too long.
    pub fn render(&self, chat: &Chat) -> Result<String, Error> {
        if self.source.len() > SOURCE_BYTES_MAX {
            return Err(Error::Template(format!("it has {} bytes", self.source.len())));
        }
        let calls =
            chat.messages.iter().any(|message| message.role == "tool" || !message.tool_calls.is_empty());
        let explained = ((calls || !chat.tools.is_empty()) && !Dialect::of(&self.source).knows_tools())
            .then(|| dialect::explain(chat));
        let messages = explained.as_deref().unwrap_or(&chat.messages);
        let tools: Vec<Value> = match explained {
            None => chat.tools.iter().map(|tool| Value::from(Serde(dialect::function(tool)))).collect(),
            Some(_) => Vec::new(),
        };
        let mut text = environment()
            .render_str(
                &self.source,
                context! {
                    messages => messages.iter().map(fields).collect::<Vec<_>>(),
                    tools => (!tools.is_empty()).then_some(tools),
                    add_generation_prompt => true,
                    bos_token => self.start.as_str(),
                    eos_token => self.end.as_str(),
                },
            )
            .map_err(|error| Error::Template(reason(&error)))?;
        // Schemas may be told with more blanks than they came with.
        let limit = chat.bytes() * 2 + GROWTH_BYTES_MAX;
        if text.len() > limit {
            return Err(Error::Template(format!("it made {} bytes of them", text.len())));
        }
        Dialect::of(&self.source).begin(&mut text, &chat.begun);
        Ok(text)
    }
}

fn fields(message: &ChatMessage) -> Value {
    let mut fields = BTreeMap::from([
        ("role", Value::from(message.role.as_str())),
        ("content", Value::from(message.content.as_str())),
    ]);
    if !message.tool_calls.is_empty() {
        let call = |call: &ToolCall| {
            let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            context! {
                id => call.id.as_str(),
                type => "function",
                function => context! { name => call.name.as_str(), arguments => Value::from(Serde(arguments)) },
            }
        };
        fields.insert("tool_calls", message.tool_calls.iter().map(call).collect());
    }
    if let Some(id) = &message.tool_call_id {
        fields.insert("tool_call_id", Value::from(id.as_str()));
    }
    Value::from(fields)
}

/// JSON as Python's `json.dumps` writes it: models were taught on that, blanks included.
fn to_json(value: &Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Escapes and the order of keys are as they are; the names are known so that they are no error.
    let _: (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    let _: Option<Value> = options.get("separators")?;
    options.assert_all_used()?;
    let failed =
        |error: &dyn std::fmt::Display| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string());
    let Some(width) = indent else { return Ok(spaced_json(value)) };
    let blanks = " ".repeat(width.min(16));
    let mut bytes = Vec::new();
    let pretty = serde_json::ser::PrettyFormatter::with_indent(blanks.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, pretty);
    value.serialize(&mut serializer).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// JSON with a blank after every comma and colon.
pub(crate) fn spaced_json(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    // Values in memory are JSON already; there is nothing to fail.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced));
    String::from_utf8(bytes).unwrap_or_default()
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
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
    environment.add_filter("tojson", to_json);
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
    use crate::driver::Tool;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate { source: source.into(), start: "<s>".into(), end: "</s>".into() }
    }

    fn messages() -> Chat {
        vec![ChatMessage::new("user", " hi ")].into()
    }

    fn with_tools() -> Chat {
        let call = ToolCall { id: "1".into(), name: "add".into(), arguments: r#"{"a":1,"b":"<2>"}"#.into() };
        let tool = Tool {
            name: "add".into(),
            description: Some("Adds.".into()),
            parameters: r#"{"type":"object","properties":{"a":{"type":"number"}}}"#.into(),
        };
        let result = ChatMessage { tool_call_id: Some("1".into()), ..ChatMessage::new("tool", "3") };
        let asked = ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", "") };
        Chat {
            messages: vec![ChatMessage::new("user", "1+2?"), asked, result],
            tools: vec![tool],
            ..Chat::default()
        }
    }

    #[test]
    fn tools_are_rendered_as_the_models_were_taught() {
        let hermes = "{#- <tool_call> #}{%- for tool in tools %}{{ tool | tojson }}\n{% endfor %}\
            {%- for m in messages %}{{ m.role }}: {{ m.content }}\
            {%- for call in m.tool_calls %}{{ call.function.name }}({{ call.function.arguments | tojson }})\
            {%- endfor %}\n{% endfor %}";
        insta::assert_snapshot!(template(hermes).render(&with_tools()).unwrap());
    }

    #[test]
    fn a_template_that_knows_no_tools_is_given_them_in_words() {
        let plain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}";
        insta::assert_snapshot!(template(plain).render(&with_tools()).unwrap());
    }

    #[test]
    fn renders_as_the_models_expect() {
        let chatml = "{% for m in messages %}<|{{ m['role'] }}|>{{ m.content.strip() }}{{ eos_token }}\n{% endfor %}\
                      {% if add_generation_prompt %}<|assistant|>{% endif %}";
        assert_eq!(template(chatml).render(&messages()).unwrap(), "<|user|>hi</s>\n<|assistant|>");
        let begun = Chat { begun: "Well, ".into(), ..messages() };
        assert_eq!(template(chatml).render(&begun).unwrap(), "<|user|>hi</s>\n<|assistant|>Well, ");
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
