//! Shows an error with its causes, for log lines.
//!
//! The message of an error does not repeat that of its source, so a log line that prints only the message loses
//! the cause.

use std::error::Error;
use std::fmt;

/// Returns a value that displays `error` and its causes, separated by colons.
///
/// A cause is left out if the message before it ends with it already.
#[must_use]
pub fn error_chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let message = error.to_string();
            if !shown.ends_with(&message) {
                write!(f, ": {message}")?;
            }
            shown = message;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("the copy failed")]
        Copy(#[source] Box<Failure>),
        #[error("the file cannot be written: {0}")]
        Write(#[source] std::io::Error),
    }

    #[test]
    fn every_cause_is_shown_once() {
        let full = Failure::Write(std::io::Error::other("the disk is full"));
        assert_eq!(error_chain(&full).to_string(), "the file cannot be written: the disk is full");
        let copy = Failure::Copy(Box::new(full));
        assert_eq!(
            error_chain(&copy).to_string(),
            "the copy failed: the file cannot be written: the disk is full"
        );
    }
}
