//! The contents of an answer without the form of an API, to compare a stream with a whole body.

use serde_json::Value;

/// The contents of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Output {
    /// The text.
    pub(crate) text: String,
    /// The reasoning.
    pub(crate) reasoning: String,
    /// The name and the arguments, or the input, of each tool call.
    pub(crate) calls: Vec<(String, String)>,
    /// The reason why the answer ended, as the API reports it.
    pub(crate) finish: Value,
    /// The token counts. Those of a request with several answers are in the first one.
    pub(crate) usage: Value,
}

impl Output {
    /// Adds a part of a tool call. A part with a name starts a call.
    pub(crate) fn add_call(&mut self, name: &Value, arguments: &str) {
        if let Some(name) = name.as_str() {
            self.calls.push((name.to_owned(), String::new()));
        }
        match self.calls.last_mut() {
            Some((_, all)) => all.push_str(arguments),
            None => assert_eq!(arguments, "", "the arguments belong to no call"),
        }
    }
}

/// Returns the output of the answer with this index, which is added if it is new.
pub(crate) fn output_at<'a>(outputs: &'a mut Vec<Output>, index: &Value) -> &'a mut Output {
    let index = index.as_u64().unwrap_or(0) as usize;
    if outputs.len() <= index {
        outputs.resize(index + 1, Output::default());
    }
    &mut outputs[index]
}

/// Returns a text of a body; empty if it is absent.
pub(crate) fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Adds the usage of a request of OpenAI's API, which is in the last value that has any.
pub(crate) fn add_usage(outputs: &mut Vec<Output>, values: &[Value]) {
    if let Some(usage) = values.iter().rev().map(|value| &value["usage"]).find(|usage| usage.is_object()) {
        output_at(outputs, &Value::Null).usage = usage.clone();
    }
}

/// Returns whether the stream of a request of OpenAI's API includes the usage.
pub(crate) fn includes_usage(body: &Value) -> bool {
    body["stream_options"]["include_usage"] == true
}
