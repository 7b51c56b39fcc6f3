//! The errors of a body that does not match its type.

use lar_base::{Code, Problem};

use super::in_plain_words;

/// Converts a deserialization error of a body into a problem that names the field and the reason.
#[must_use]
pub fn problem<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Problem {
    problem_in(error, "the body")
}

/// Converts an error like [`problem`]. An error about the whole value calls it `what`.
#[must_use]
pub fn problem_in<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>, what: &str) -> Problem {
    let reason = error.inner().to_string();
    let field = error.path().to_string();
    if let Some(unknown) = quoted_after(&reason, "unknown field ") {
        let parent = field.rsplit_once('.').map_or("", |(parent, _)| parent);
        let full = if parent.is_empty() { unknown.clone() } else { format!("{parent}.{unknown}") };
        let known: Vec<&str> = reason
            .split_once("expected ")
            .map_or("", |(_, rest)| rest)
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        let near = known
            .iter()
            .map(|name| (strsim::jaro_winkler(name, &unknown), name))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        return Problem::invalid(
            full,
            match near {
                Some((_, name)) => format!("is unknown; did you mean `{name}`?"),
                None => format!("is unknown; the known fields are: {}", known.join(", ")),
            },
        );
    }
    if let Some(missing) = quoted_after(&reason, "missing field ") {
        let full = if field == "." { missing } else { format!("{field}.{missing}") };
        return Problem::invalid(full, "is missing");
    }
    let reason = in_plain_words(&reason);
    match (field == "." || field.is_empty(), reason.starts_with("must ")) {
        (true, true) => Problem::new(Code::InvalidParams, format!("{what} {reason}")),
        (true, false) => Problem::new(Code::InvalidParams, format!("{what} is not valid JSON: {reason}")),
        (false, true) => Problem::invalid(field, reason),
        (false, false) => Problem::invalid(field, format!("is not valid: {reason}")),
    }
}

fn quoted_after(text: &str, start: &str) -> Option<String> {
    let rest = text.strip_prefix(start)?.strip_prefix('`')?;
    rest.split('`').next().map(ToOwned::to_owned)
}
