//! The error that a caller receives: a [`Code`] and a message for a person.
//!
//! Internal context (paths, addresses, sources) stays in each crate's own error enum and in the log. Each
//! crate converts its errors into a [`Problem`] at its boundary; `server` sends it in the format of the
//! request's API.

use std::fmt;
use std::time::Duration;

use crate::code::Code;

/// One invalid field of a request and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, such as `messages[2].role`.
    pub field: String,
    /// The reason, as a predicate for a person: it follows the field's name.
    pub reason: String,
}

/// An error as the public API reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The error code, from which the status and the title follow.
    pub code: Code,
    /// The cause, the numbers and the next step, for a person.
    pub detail: String,
    /// The delay after which a retry makes sense, if known.
    pub retry_after: Option<Duration>,
    /// The invalid fields; empty if the request itself is valid.
    pub fields: Vec<FieldError>,
    /// Whether the error is already logged, so that the response does not log it again.
    ///
    /// The error of a task is logged where the task ends.
    pub is_logged: bool,
}

impl Problem {
    /// Creates an error with a code and a message.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None, fields: Vec::new(), is_logged: false }
    }

    /// Creates a [`Code::InvalidParams`] error about one field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::about(Code::InvalidParams, field, reason)
    }

    /// Creates an error about one field.
    #[must_use]
    pub fn about(code: Code, field: impl Into<String>, reason: impl Into<String>) -> Self {
        let (field, reason) = (field.into(), reason.into());
        Self {
            code,
            detail: format!("`{field}` {reason}"),
            retry_after: None,
            fields: vec![FieldError { field, reason }],
            is_logged: false,
        }
    }

    /// Creates a [`Code::NotFound`] error for the object named `what`.
    #[must_use]
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// Creates a [`Code::ContextTooLong`] error.
    ///
    /// Clients of Anthropic's API recognize the start of the message and shorten the prompt. Clients of
    /// OpenAI's API look for "this model's maximum context length is" instead.
    #[must_use]
    pub fn context_too_long(tokens: usize, maximum: usize, why: &str) -> Self {
        let detail = format!("prompt is too long: {tokens} tokens > {maximum} maximum; {why}");
        Self::new(Code::ContextTooLong, detail)
    }

    /// Prefixes the field's path, for an error in a part of the request: `role` becomes `path.role`.
    #[must_use]
    pub fn within(mut self, path: &str) -> Self {
        if let [only] = self.fields.as_mut_slice() {
            only.field = format!("{path}.{}", only.field);
            self.detail = format!("`{}` {}", only.field, only.reason);
        }
        self
    }

    /// Sets the delay after which a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}
