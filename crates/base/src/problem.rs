//! What a caller is told when something went wrong: a [`Code`] and words meant for them.
//!
//! Internal context (paths, addresses, sources) stays in the crates' own error enums and in the log; each
//! of them converts into a `Problem` at its boundary. Encoding one for a given API is `server`'s work.

use std::fmt;
use std::time::Duration;

use crate::code::Code;

/// One field of a request and why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, such as `messages[2].role`.
    pub field: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

/// An error in the words of the public contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of error it is.
    pub code: Code,
    /// Cause, numbers and the next command, for a person.
    pub detail: String,
    /// When trying again makes sense, where that is known.
    pub retry_after: Option<Duration>,
    /// The fields at fault; empty unless the request itself was.
    pub fields: Vec<FieldError>,
    /// Whether the log has it: a task's fault is logged where the task ends, and not again where it is answered with.
    pub is_logged: bool,
}

impl Problem {
    /// An error of kind `code`, explained by `detail`.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None, fields: Vec::new(), is_logged: false }
    }

    /// An [`Code::InvalidParams`] error about one field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::about(Code::InvalidParams, field, reason)
    }

    /// An error of kind `code` about one field.
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

    /// A [`Code::NotFound`] error for the thing called `what`.
    #[must_use]
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// A [`Code::ContextTooLong`] error. Clients of Anthropic's API look for how it begins, and make the prompt shorter;
    /// those of OpenAI's look for "this model's maximum context length is".
    #[must_use]
    pub fn context_too_long(tokens: usize, maximum: usize, why: &str) -> Self {
        let detail = format!("prompt is too long: {tokens} tokens > {maximum} maximum; {why}");
        Self::new(Code::ContextTooLong, detail)
    }

    /// The same error of a part of the request, which is at `path` in the whole: `role` becomes `path.role`.
    #[must_use]
    pub fn within(mut self, path: &str) -> Self {
        if let [only] = self.fields.as_mut_slice() {
            only.field = format!("{path}.{}", only.field);
            self.detail = format!("`{}` {}", only.field, only.reason);
        }
        self
    }

    /// The same error, saying that a retry makes sense after `delay`.
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
