//! Decodes JSON: that of Lar's own API strictly, and the arguments of tool calls leniently.

use axum::extract::{FromRef, FromRequest, Request};
use bytes::Bytes;
use lar_base::{Code, Problem};
use lar_compat::lenient::{self, problem, problem_in};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::objects::Objects;
use super::receive::{JSON_LINES, receive, receive_json};
use crate::body_limits::{BodyReceiver, ReceivedBody};
use crate::errors::Failure;

/// A JSON body, read strictly. An error names the field and the reason, and suggests a name for an unknown field.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T>
where
    BodyReceiver: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        Ok(Self(json(&receive_json(request, &BodyReceiver::from_ref(state)).await?)?))
    }
}

/// Reads a JSON body strictly. An empty body is read as an empty object.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Each field of an empty object is optional or reported as missing.
    json_named(if bytes.is_empty() { b"{}" } else { bytes }, "the body")
}

/// Reads JSON strictly. Errors about the whole value call it `what`.
fn json_named<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Objects(&mut deserializer));
    let value = value.map_err(|error| problem_in(&error, what))?;
    deserializer.end().map_err(|error| {
        let reason = lenient::in_plain_words(&error.to_string());
        Problem::new(Code::InvalidParams, format!("{what} is not valid JSON: {reason}"))
    })?;
    Ok(value)
}

/// The start of the last line of an export that skipped unreadable records.
const UNREADABLE: &[u8] = b"{\"unreadable\":";

/// Returns the last line of an export of `what` if records could not be read. Imports skip this line.
pub(crate) fn unreadable_line(what: &str, count: u64) -> Option<Bytes> {
    let line = format!("{{\"unreadable\":{count},\"of\":\"{what}\"}}\n");
    (count > 0).then(|| line.into())
}

/// Reads a body of JSON lines and converts each line. An error names its line.
///
/// Empty lines and the line that [`unreadable_line`] adds to an export are skipped.
pub(crate) async fn json_lines<W: DeserializeOwned, T>(
    request: Request,
    receiver: &BodyReceiver,
    mut convert: impl FnMut(W) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    each_line(request, receiver, |line, name| json_named(line, name).map(&mut convert)).await
}

/// The readers of lines of two kinds.
pub(crate) struct LineReaders<F, I, O> {
    /// Converts a line of the first kind.
    pub(crate) convert: F,
    /// Recognizes the second kind by its bytes.
    pub(crate) is_other: I,
    /// Converts a line of the second kind.
    pub(crate) convert_other: O,
}

impl<F, I, O> LineReaders<F, I, O> {
    fn read<W: DeserializeOwned, V: DeserializeOwned, T>(
        &self,
        line: &[u8],
        name: &str,
    ) -> Result<Result<T, Problem>, Problem>
    where
        F: Fn(W) -> Result<T, Problem>,
        I: Fn(&[u8]) -> bool,
        O: Fn(V) -> Result<T, Problem>,
    {
        match (self.is_other)(line) {
            true => json_named(line, name).map(&self.convert_other),
            false => json_named(line, name).map(&self.convert),
        }
    }
}

/// Like [`json_lines`], for lines of two kinds.
pub(crate) async fn json_lines_of_two_kinds<W: DeserializeOwned, V: DeserializeOwned, T>(
    request: Request,
    receiver: &BodyReceiver,
    readers: LineReaders<
        impl Fn(W) -> Result<T, Problem>,
        impl Fn(&[u8]) -> bool,
        impl Fn(V) -> Result<T, Problem>,
    >,
) -> Result<Vec<T>, Problem> {
    each_line(request, receiver, |line, name| readers.read(line, name)).await
}

/// Like [`json_lines_of_two_kinds`], but a bad line does not refuse the others. Returns the results with the numbers
/// of the lines, starting at 1.
pub(crate) async fn results_of_json_lines<W: DeserializeOwned, V: DeserializeOwned, T>(
    request: Request,
    receiver: &BodyReceiver,
    readers: LineReaders<
        impl Fn(W) -> Result<T, Problem>,
        impl Fn(&[u8]) -> bool,
        impl Fn(V) -> Result<T, Problem>,
    >,
) -> Result<Vec<(usize, Result<T, Problem>)>, Problem> {
    let bytes = receive_lines(request, receiver).await?;
    let read = |line: &[u8]| readers.read(line, "the line").and_then(|converted| converted);
    Ok(numbered_lines(&bytes).map(|(number, line)| (number, read(line))).collect())
}

/// Reads a body line by line. `read` parses a line, which has this name, and then converts it.
async fn each_line<T>(
    request: Request,
    receiver: &BodyReceiver,
    mut read_line: impl FnMut(&[u8], &str) -> Result<Result<T, Problem>, Problem>,
) -> Result<Vec<T>, Problem> {
    let bytes = receive_lines(request, receiver).await?;
    let mut read = Vec::new();
    for (number, line) in numbered_lines(&bytes) {
        let name = format!("line {number}");
        let in_line = |problem: Problem| Problem { detail: format!("{name}: {}", problem.detail), ..problem };
        let converted = read_line(line, &name).map_err(|problem| match problem.fields.is_empty() {
            // The message names the line already.
            true => problem,
            false => in_line(problem),
        })?;
        read.push(converted.map_err(in_line)?);
    }
    Ok(read)
}

/// Receives a body of JSON lines, which must have one.
async fn receive_lines(request: Request, receiver: &BodyReceiver) -> Result<ReceivedBody, Problem> {
    let bytes = receive(request, receiver, JSON_LINES).await?;
    if bytes.is_empty() {
        return Err(Problem::new(Code::InvalidParams, "the body is empty; send one JSON object per line"));
    }
    Ok(bytes)
}

/// Returns the lines of a body with their numbers, without empty lines and the line of [`unreadable_line`].
fn numbered_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
    lines.filter(|(_, line)| !(line.trim_ascii().is_empty() || line.starts_with(UNREADABLE)))
}

/// Converts a JSON value of Lar's own API strictly: null is a value, not an absent field.
pub(crate) fn from_own_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| problem(&error))
}

/// Converts the arguments of a tool call leniently, like a request of a compatible API.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    lenient::from_value(value, lenient::OutOfRange::Refused)
}

#[cfg(test)]
mod tests {
    use lar_api::conversations::NewMessage;
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_name_the_field_the_reason_and_the_nearest_name() {
        let detail_of = |value: Value| from_value::<NewMessage>(&value).unwrap_err().detail;
        assert_eq!(detail_of(json!({ "contnt": "x" })), "`contnt` is unknown; did you mean `content`?");
        assert_eq!(detail_of(json!({})), "`content` is missing");
        assert_eq!(
            detail_of(json!({ "content": "x", "max_tokens": -1 })),
            "`max_tokens` must be an integer between 0 and 4294967295"
        );
    }
}
