//! The one file that turns errors into answers: RFC 9457 for Lar's own API, OpenAI's shape below `/v1`,
//! Anthropic's at its paths there, llama.cpp's at its own, Ollama's below `/api`, an earlier bridge's below `/bridge`.

mod paths;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_api::openai::{ErrorBody, ErrorDetail};
use lar_api::problem::{FieldProblem, ProblemBody};
use lar_api::{anthropic, llama_cpp, ollama};
use lar_base::{Code, Problem};

pub(crate) use self::paths::{file_names, hide_folders};

/// Where the pages of the error codes are, relative to the origin: the page shows them.
const PAGES: &str = "/errors/";
/// Anthropic's status of a service that has too much to do.
const OVERLOADED: StatusCode = match StatusCode::from_u16(529) {
    Ok(status) => status,
    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
};
/// The type of the error of a cancelled task, in the APIs that have types: none of theirs means that nothing is wrong with
/// the request, the server or the load.
const CANCELLED: &str = "cancelled";

/// The first segments of OpenAI's paths that stand without `/v1`.
const OPENAI_PATHS: [&str; 6] = ["chat", "embeddings", "models", "rerank", "reranking", "responses"];
/// The paths that llama.cpp's server has.
const LLAMA_CPP_PATHS: [&str; 10] = [
    "apply-template",
    "completion",
    "completions",
    "detokenize",
    "embedding",
    "infill",
    "lora-adapters",
    "props",
    "slots",
    "tokenize",
];

/// A handler's error. It has no shape yet: [`crate::middleware`] knows the path and gives it one.
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

/// A problem on its way to the frame.
#[derive(Debug, Clone)]
pub(crate) struct PendingError(pub(crate) Problem);

/// Who reads an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The key that asked, which may administrate.
    Administrator,
    /// Any key, or none. Streams, tasks and the results of tools are for everybody: others than who began them may follow
    /// them, or an app hands them on.
    Everybody,
}

/// The problem as this audience may read it. It logs nothing: a task's fault was logged where the task ended.
pub(crate) fn redact(audience: Audience, problem: Problem) -> Problem {
    match audience {
        Audience::Administrator => problem,
        Audience::Everybody => paths::without_folders(problem),
    }
}

/// [`redact`]s the problem that a request is answered with. The log has the whole of it, in one line, where it is a fault of
/// Lar's own or its reader is shown less, unless the log has it already. To be called once for each answer.
pub(crate) fn log_and_redact(audience: Audience, problem: Problem, request_id: Option<&str>) -> Problem {
    let shown = redact(audience, problem.clone());
    if problem.is_logged {
        return shown;
    }
    if problem.code == Code::Internal {
        tracing::error!(request_id, detail = %problem.detail, "a request met a fault of Lar's own");
    } else if shown != problem {
        tracing::warn!(request_id, code = %problem.code, detail = %problem.detail, "an answer leaves out the folders of a fault");
    }
    shown
}

/// Whose shape an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    Lar,
    OpenAi,
    Anthropic,
    Ollama,
    LlamaCpp,
    Bridge,
}

impl ErrorFormat {
    /// The shape of the API that a request is meant for.
    pub(crate) fn of(request: &axum::extract::Request) -> Self {
        match Self::of_path(request.uri().path()) {
            // Both list their models at the same path.
            Self::OpenAi if request.headers().contains_key("anthropic-version") => Self::Anthropic,
            format => format,
        }
    }

    /// The shape of the API that a path belongs to.
    pub(crate) fn of_path(path: &str) -> Self {
        // A base URL with a slash too many.
        let path = path.trim_start_matches('/');
        let begins =
            |with: &str| path.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let first = path.split('/').next().unwrap_or_default();
        if begins("v1/messages") {
            Self::Anthropic
        } else if begins("v1") || OPENAI_PATHS.contains(&first) {
            Self::OpenAi
        } else if LLAMA_CPP_PATHS.contains(&first) {
            Self::LlamaCpp
        } else if begins("api") {
            Self::Ollama
        } else if begins("bridge") {
            Self::Bridge
        } else {
            Self::Lar
        }
    }
}

/// The whole answer for a problem.
pub(crate) fn render(problem: &Problem, format: ErrorFormat, request_id: &str) -> Response {
    let mut response = match format {
        ErrorFormat::Lar => {
            let mut response = Json(problem_details(problem, request_id)).into_response();
            let kind = HeaderValue::from_static(lar_api::problem::CONTENT_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        ErrorFormat::OpenAi => Json(openai(problem)).into_response(),
        ErrorFormat::LlamaCpp => Json(llama_cpp(problem)).into_response(),
        ErrorFormat::Ollama => Json(ollama::ErrorBody { error: problem.detail.clone() }).into_response(),
        ErrorFormat::Bridge => {
            let error = serde_json::json!({ "success": false, "data": null, "error": problem.detail });
            Json(error).into_response()
        }
        ErrorFormat::Anthropic => Json(anthropic(problem, Some(request_id.to_owned()))).into_response(),
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

/// OpenAI's body; also what a stream sends when it fails in the middle.
pub(crate) fn openai(problem: &Problem) -> ErrorBody {
    let (kind, code) = match problem.code {
        Code::Unauthenticated => ("invalid_request_error", "invalid_api_key"),
        Code::NotFound if problem.fields.iter().any(|field| field.field == "model") => {
            ("invalid_request_error", "model_not_found")
        }
        Code::ContextTooLong => ("invalid_request_error", "context_length_exceeded"),
        Code::UnsupportedParam => ("invalid_request_error", "unsupported_parameter"),
        Code::RateLimited | Code::QueueFull => ("rate_limit_error", "rate_limit_exceeded"),
        Code::Cancelled => (CANCELLED, CANCELLED),
        code if code.status() >= 500 => ("server_error", code.as_str()),
        code => ("invalid_request_error", code.as_str()),
    };
    let param = match problem.code {
        Code::ContextTooLong if problem.fields.is_empty() => Some("messages".into()),
        _ => problem.fields.first().map(|field| field.field.clone()),
    };
    let code = Some(code.to_ascii_lowercase());
    ErrorBody { error: ErrorDetail { message: problem.detail.clone(), kind, param, code } }
}

/// llama.cpp's body; also what a stream sends when it fails in the middle.
pub(crate) fn llama_cpp(problem: &Problem) -> llama_cpp::ErrorBody {
    let kind = match problem.code {
        Code::Unauthenticated => "authentication_error",
        Code::ForbiddenScope | Code::ForbiddenSpace => "permission_error",
        Code::NotFound => "not_found_error",
        Code::ContextTooLong => "exceed_context_size_error",
        Code::UnsupportedParam => "not_supported_error",
        Code::Cancelled => CANCELLED,
        code if is_overload(code) => "unavailable_error",
        code if code.status() >= 500 => "server_error",
        _ => "invalid_request_error",
    };
    let param = problem.fields.first().map(|field| field.field.clone());
    let error =
        llama_cpp::ErrorDetail { code: problem.code.status(), message: problem.detail.clone(), kind, param };
    llama_cpp::ErrorBody { error }
}

/// Anthropic's body; also what a stream sends when it fails in the middle.
pub(crate) fn anthropic(problem: &Problem, request_id: Option<String>) -> anthropic::ErrorBody {
    let kind = match problem.code {
        code if is_overload(code) => "overloaded_error",
        Code::Unauthenticated => "authentication_error",
        Code::ForbiddenScope | Code::ForbiddenSpace => "permission_error",
        Code::NotFound => "not_found_error",
        Code::BodyTooLarge => "request_too_large",
        Code::RateLimited => "rate_limit_error",
        Code::DeadlineExceeded => "timeout_error",
        Code::Cancelled => CANCELLED,
        code if code.status() >= 500 => "api_error",
        _ => "invalid_request_error",
    };
    // The SDKs' threads look for this, and go on without one.
    let threads =
        problem.code == Code::UnsupportedParam && problem.fields.iter().any(|field| field.field == "thread");
    let details = threads.then_some(anthropic::ErrorDetails {
        error_code: "thread_unsupported_request",
        unsupported: ["thread"],
    });
    let error = anthropic::ErrorDetail { kind, message: problem.detail.clone(), details };
    anthropic::ErrorBody { kind: "error", error, request_id }
}

/// Whether trying again later, or elsewhere, would do: Anthropic has a status of its own for it.
fn is_overload(code: Code) -> bool {
    matches!(code, Code::QueueFull | Code::PoolUnready | Code::PoolUnavailable)
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

    /// The lines that were logged.
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
    fn a_fault_is_one_line_of_the_log_with_the_whole_path_in_it() {
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
            assert_eq!(again.map(|shown| shown.detail), [detail, detail], "what is logged is shown alike");
            assert_eq!(*lines.0.lock().unwrap(), Vec::<String>::new(), "nothing is logged twice");
        }
    }

    #[test]
    fn every_route_without_a_prefix_has_the_error_format_of_its_api() {
        let routes = crate::routes::at_root();
        for (path, format, _) in &routes {
            assert_eq!(ErrorFormat::of_path(path), *format, "{path}");
        }
        for listed in OPENAI_PATHS.iter().chain(&LLAMA_CPP_PATHS) {
            let is_served = |path: &&str| path.split('/').nth(1) == Some(*listed);
            assert!(routes.iter().any(|(path, ..)| is_served(path)), "nothing is served at /{listed}");
        }
    }

    #[test]
    fn each_path_has_the_error_format_of_its_api() {
        for (path, format) in [
            ("/v1/messages", ErrorFormat::Anthropic),
            ("/v1/messages/batches/x", ErrorFormat::Anthropic),
            ("/v1/messagesx", ErrorFormat::OpenAi),
            ("/v1", ErrorFormat::OpenAi),
            ("//v1/models", ErrorFormat::OpenAi),
            ("/v10/models", ErrorFormat::Lar),
            ("/api/chat", ErrorFormat::Ollama),
            ("/apis", ErrorFormat::Lar),
            ("/bridge/search", ErrorFormat::Bridge),
            ("/lar/v1/me", ErrorFormat::Lar),
            ("/mcp", ErrorFormat::Lar),
        ] {
            assert_eq!(ErrorFormat::of_path(path), format, "{path}");
        }
    }
}
