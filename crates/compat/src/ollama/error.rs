//! The errors of Ollama's API. A stream that fails sends the same body as its last line.

use lar_base::Problem;

use super::wire::OllamaErrorBody;

/// Returns the body of an error.
#[must_use]
pub fn body(problem: &Problem) -> OllamaErrorBody {
    OllamaErrorBody { error: problem.detail.clone() }
}
