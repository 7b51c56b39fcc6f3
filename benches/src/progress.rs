//! Progress of a long run, on standard error.

/// Prints a line of progress.
#[expect(clippy::print_stderr, reason = "a long run shows its progress")]
pub(crate) fn progress(line: &str) {
    eprintln!("· {line}");
}
