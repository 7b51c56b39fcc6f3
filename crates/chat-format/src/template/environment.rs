//! The Jinja environment of chat templates: its limits, and the extensions to Jinja that real templates
//! expect.
//!
//! transformers adds `raise_exception`, `strftime_now`, and a `tojson` that writes JSON like Python. It also
//! adds the block `{% generation %}`, which marks the text that a model is trained on and renders its body.
//! Python's lists can be changed in place; here only lists in a `namespace` can.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use lar_base::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use serde::Serialize;

/// The most instructions of one rendering. A chat of 200 messages with a long template takes about 40,000.
const FUEL: u64 = 5_000_000;
/// The deepest recursion of macros.
const RECURSION_MAX: usize = 64;
/// The longest list that a template can build.
const LIST_LENGTH_MAX: usize = 100_000;

pub(super) fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    // As in transformers, a line that has only a block leaves no trace.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.unwrap_or_default());
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> Result<String, Error> {
        let invalid = || Error::new(ErrorKind::InvalidOperation, "its date format is not valid");
        Timestamp::now().strftime(&format).ok_or_else(invalid)
    });
    environment.add_function("namespace", namespace);
    environment.add_filter("tojson", to_json);
    environment
}

/// Replaces the tags of `{% generation %}` blocks, which minijinja does not support, by those of a block that
/// always renders. Whitespace control is kept.
pub(super) fn expand_generation_blocks(source: &str) -> String {
    let mut expanded = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        expanded.push_str(before);
        rest = tag;
        let name = tag.trim_start_matches(['-', '+']).trim_start();
        let (name, replacement) = match name {
            _ if name.starts_with("generation") => ("generation", "if true"),
            _ if name.starts_with("endgeneration") => ("endgeneration", "endif"),
            _ => continue,
        };
        let start = tag.find(name).unwrap_or(0);
        let end = &tag[start + name.len()..];
        if end.trim_start().trim_start_matches(['-', '+']).starts_with("%}") {
            expanded.push_str(&tag[..start]);
            expanded.push_str(replacement);
            rest = end;
        }
    }
    expanded.push_str(rest);
    expanded
}

/// Returns the reason why a rendering failed.
pub(super) fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => "it takes too many steps".into(),
        kind => error.detail().map_or_else(|| kind.to_string(), ToOwned::to_owned),
    }
}

/// Implements Jinja's `namespace` with lists that can be changed in place.
fn namespace(values: Kwargs) -> Result<Value, Error> {
    let names: Vec<String> = values.args().map(ToOwned::to_owned).collect();
    let mut changeable = Vec::with_capacity(names.len());
    for name in names {
        let value: Value = values.get(&name)?;
        let value = match value.kind() {
            ValueKind::Seq => Value::from_object(List(Mutex::new(value.try_iter()?.collect()))),
            _ => value,
        };
        changeable.push((name, value));
    }
    let changeable: Value = changeable.into_iter().collect::<Kwargs>().into();
    minijinja::functions::namespace(Some(changeable.into()))
}

/// A list with Python's methods `append` and `pop`.
#[derive(Debug)]
struct List(Mutex<Vec<Value>>);

impl List {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Value>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.with(|values| values.get(key.as_usize()?).cloned())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.with(|values| values.len()))
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let none = || Error::new(ErrorKind::InvalidOperation, "the list has no such element");
        self.with(|values| match (method, arguments) {
            ("append", [_]) if values.len() >= LIST_LENGTH_MAX => {
                Err(Error::new(ErrorKind::InvalidOperation, "the list is too long"))
            }
            ("append", [value]) => {
                values.push(value.clone());
                Ok(Value::from(()))
            }
            ("pop", []) => values.pop().ok_or_else(none),
            ("pop", [at]) => match at.as_usize() {
                Some(at) if at < values.len() => Ok(values.remove(at)),
                _ => Err(none()),
            },
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        })
    }
}

/// Writes JSON like Python's `json.dumps`: models were trained on this form, including its spaces.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // These options are accepted and ignored; escapes and the order of keys do not change.
    let _: (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    let _: Option<Value> = options.get("separators")?;
    options.assert_all_used()?;
    let failed = |error: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, error.to_string());
    let Some(width) = indent else { return Ok(spaced_json(value)) };
    let blanks = " ".repeat(width.min(16));
    let mut bytes = Vec::new();
    let pretty = serde_json::ser::PrettyFormatter::with_indent(blanks.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, pretty);
    value.serialize(&mut serializer).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Writes JSON with a space after every comma and colon.
pub(crate) fn spaced_json(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    // Values in memory always serialize.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, SpacedFormatter));
    String::from_utf8(bytes).unwrap_or_default()
}

struct SpacedFormatter;

impl serde_json::ser::Formatter for SpacedFormatter {
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
