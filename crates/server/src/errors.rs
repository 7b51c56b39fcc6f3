//! The only file that turns errors into responses, in the format of the API whose router the request reached.
//!
//! Lar's own API uses RFC 9457. `lar-compat` makes the bodies of the compatible APIs' errors.

mod paths;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_api::problem::{FieldProblem, ProblemBody};
use lar_base::{Code, Problem};
use lar_compat::{anthropic, is_overload, llama_cpp, ollama, openai};

pub(crate) use self::paths::{file_names, hide_folders};

/// The path of the pages of the error codes, relative to the origin. [`crate::page`] serves them.
const PAGES: &str = "/errors/";
/// The status of Anthropic's API when it is overloaded.
const OVERLOADED: StatusCode = match StatusCode::from_u16(529) {
    Ok(status) => status,
    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
};
/// A handler's error, without a format. [`crate::middleware`] knows the API and formats the error.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = status(self.0.code).into_response();
        response.extensions_mut().insert(PendingError(self.0));
        response
    }
}

/// A response extension: the problem that [`crate::middleware`] has yet to format.
#[derive(Debug, Clone)]
pub(crate) struct PendingError(pub(crate) Problem);

/// The readers of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The key that sent the request, which has the scope `admin`.
    Administrator,
    /// Any key, or none. Errors in streams, tasks and tool results are for everybody, because other keys may
    /// read them and apps may pass them on.
    Everybody,
}

/// Returns the problem as this audience may read it.
///
/// Logs nothing: the error of a task is logged where the task ends.
pub(crate) fn redact(audience: Audience, problem: Problem) -> Problem {
    match audience {
        Audience::Administrator => problem,
        Audience::Everybody => paths::without_folders(problem),
    }
}

/// Returns the problem as anybody may read it. See [`redact`].
pub(crate) fn redact_for_everybody(problem: Problem) -> Problem {
    redact(Audience::Everybody, problem)
}

/// [`redact`]s the problem of a response, and logs the full problem in one line if necessary.
///
/// It is logged if it is an internal error or if the audience reads less than the full problem, unless it is
/// logged already. Call this once per response.
pub(crate) fn log_and_redact(audience: Audience, problem: Problem, request_id: Option<&str>) -> Problem {
    let shown = redact(audience, problem.clone());
    if problem.is_logged {
        return shown;
    }
    if problem.code == Code::Internal {
        tracing::error!(request_id, detail = %problem.detail, "a request failed with an internal error");
    } else if shown != problem {
        let (code, detail) = (problem.code, &problem.detail);
        tracing::warn!(request_id, %code, %detail, "an error response leaves out folder names");
    }
    shown
}

/// The format of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    Lar,
    OpenAi,
    Anthropic,
    Ollama,
    LlamaCpp,
    Bridge,
}

/// Renders the complete response for a problem.
pub(crate) fn render(problem: &Problem, format: ErrorFormat, request_id: &str) -> Response {
    let mut response = match format {
        ErrorFormat::Lar => {
            let mut response = Json(problem_details(problem, request_id)).into_response();
            let kind = HeaderValue::from_static(lar_api::problem::CONTENT_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        ErrorFormat::OpenAi => Json(openai::error::body(problem)).into_response(),
        ErrorFormat::LlamaCpp => Json(llama_cpp::error::body(problem)).into_response(),
        ErrorFormat::Ollama => Json(ollama::error::body(problem)).into_response(),
        ErrorFormat::Bridge => {
            let error = serde_json::json!({ "success": false, "data": null, "error": problem.detail });
            Json(error).into_response()
        }
        ErrorFormat::Anthropic => {
            Json(anthropic::error::body(problem, Some(request_id.to_owned()))).into_response()
        }
    };
    *response.status_mut() = match format {
        ErrorFormat::Anthropic if is_overload(problem.code) => OVERLOADED,
        _ => status(problem.code),
    };
    let headers = response.headers_mut();
    if let Some(delay) = problem.retry_after {
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(delay.as_secs() + u64::from(delay.subsec_nanos() > 0)),
        );
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        headers.insert(HeaderName::from_static("x-backoff-ms"), HeaderValue::from(millis));
    }
    if !problem.code.retriable() {
        headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    }
    if problem.code == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn problem_details(problem: &Problem, request_id: &str) -> ProblemBody {
    let field = |error: &lar_base::FieldError| FieldProblem {
        field: error.field.clone(),
        reason: error.reason.clone(),
    };
    ProblemBody {
        kind: format!("{PAGES}{}", problem.code),
        title: problem.code.title().into(),
        status: problem.code.status(),
        detail: problem.detail.clone(),
        code: problem.code.as_str().into(),
        retriable: problem.code.retriable(),
        retry_after_ms: problem.retry_after.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        request_id: request_id.into(),
        errors: problem.fields.iter().map(field).collect(),
    }
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Collects the logged lines.
    #[derive(Clone, Default)]
    struct LoggedLines(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, " {field}={value:?}");
        }
    }

    impl Subscriber for LoggedLines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn an_internal_error_is_logged_in_one_line_with_the_full_path() {
        let whole = "/data/x/lar.db broke";
        for (code, audience, detail, level) in [
            (Code::Internal, Audience::Everybody, "lar.db broke", Some("ERROR")),
            (Code::Internal, Audience::Administrator, whole, Some("ERROR")),
            (Code::StorageFull, Audience::Everybody, "lar.db broke", Some("WARN")),
            (Code::StorageFull, Audience::Administrator, whole, None),
            (Code::NotFound, Audience::Everybody, whole, None),
        ] {
            let lines = LoggedLines::default();
            let shown = tracing::subscriber::with_default(lines.clone(), || {
                log_and_redact(audience, Problem::new(code, whole), Some("request_1"))
            });
            let lines = lines.0.lock().unwrap().clone();
            assert_eq!((shown.detail.as_str(), lines.len()), (detail, level.iter().count()), "{lines:?}");
            for line in lines {
                assert!(line.starts_with(level.unwrap_or_default()) && line.contains(whole), "{line}");
                assert!(line.contains("request_1"), "{line}");
            }
            let lines = LoggedLines::default();
            let again = tracing::subscriber::with_default(lines.clone(), || {
                let logged = Problem { is_logged: true, ..Problem::new(code, whole) };
                [log_and_redact(audience, logged.clone(), Some("request_1")), redact(audience, logged)]
            });
            assert_eq!(again.map(|shown| shown.detail), [detail, detail], "logged problems are redacted");
            assert_eq!(*lines.0.lock().unwrap(), Vec::<String>::new(), "nothing is logged twice");
        }
    }
}
