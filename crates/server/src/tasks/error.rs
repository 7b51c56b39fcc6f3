//! The error of a task on the wire.

use std::time::Duration;

use lar_api::tasks::TaskError;
use lar_base::Code;

use crate::errors::file_names;

/// Returns the error of a task as every caller with access to the task may read it. The full error was logged
/// when the task ended.
pub(super) fn task_error(code: Code, message: &str, retry_after: Option<Duration>) -> TaskError {
    let message = if code.status() < 500 { message.into() } else { file_names(message) };
    TaskError {
        code: code.as_str().into(),
        message: message.into_owned(),
        retriable: code.retriable(),
        retry_after_ms: retry_after.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
    }
}
