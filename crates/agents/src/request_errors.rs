//! Errors of the gateway in the words of a request to a compatible API.

use lar_base::{Code, FieldError, Problem};

/// Renames the field of a constraint's error to the request field that set the constraint.
pub(crate) fn about_constraint(problem: Problem, field: &str) -> Problem {
    match problem.fields.as_slice() {
        [about] if about.field == lar_inference::CONSTRAINT_FIELD => {
            Problem::invalid(field, format!("cannot be enforced: {}", about.reason))
        }
        _ => problem,
    }
}

/// Adds the field `model` to a not-found error, as clients of the compatible APIs expect it.
#[must_use]
pub fn about_model(mut problem: Problem) -> Problem {
    if problem.code == Code::NotFound {
        let reason = problem.detail.clone();
        problem.fields.push(FieldError { field: "model".into(), reason });
    }
    problem
}

/// Renames the field `messages` of an error to `prompt`, for a request without a chat.
#[must_use]
pub fn about_prompt(mut problem: Problem) -> Problem {
    if let [about] = problem.fields.as_mut_slice()
        && about.field == "messages"
    {
        about.field = "prompt".into();
        problem.detail = format!("`prompt` {}", about.reason);
    }
    about_model(problem)
}
