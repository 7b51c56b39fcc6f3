//! Requests about a model: show, delete and pull. They have one field in common, the model's name.

use lar_base::Problem;

use super::wire::{PullRequest, ShowRequest};
use crate::fields;
use crate::lenient::{self, OutOfRange};

/// The tag that Ollama's clients add to names without one. Lar's models have no tags.
const LATEST: &str = ":latest";

/// A decoded request to pull a model.
#[derive(Debug)]
pub struct PullInput {
    /// The model's name or source, without the tag `:latest`.
    pub name: String,
    /// Whether the progress is streamed.
    pub stream: bool,
}

/// Decodes a request to pull a model.
///
/// # Errors
/// If the body is not a valid request. The error names the field.
pub fn decode_pull(body: &[u8]) -> Result<PullInput, Problem> {
    let (body, _) = fields::read(body, &[])?;
    let request: PullRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    Ok(PullInput { name: strip_tag(&request.model).to_owned(), stream: request.stream != Some(false) })
}

/// Decodes a request to show or delete a model. Returns the model's name without the tag `:latest`.
///
/// # Errors
/// If the body is not a valid request. The error names the field.
pub fn decode_name(body: &[u8]) -> Result<String, Problem> {
    let (body, _) = fields::read(body, &[])?;
    let request: ShowRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    Ok(strip_tag(&request.model).to_owned())
}

/// Removes the tag `:latest` from a model's name.
pub(super) fn strip_tag(name: &str) -> &str {
    name.strip_suffix(LATEST).unwrap_or(name)
}
