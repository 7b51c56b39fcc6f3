//! The only file that turns errors into responses, in the format of the API that the path belongs to.
//!
//! Lar's own API uses RFC 9457. Paths below `/v1` use OpenAI's format, or Anthropic's for its paths there.
//! llama.cpp's paths use its format, paths below `/api` Ollama's, and paths below `/bridge` Vestige's.

mod paths;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_api::openai::{OpenAiErrorBody, OpenAiErrorDetail};
use lar_api::problem::{FieldProblem, ProblemBody};
use lar_api::{anthropic, llama_cpp, ollama};
use lar_base::{Code, Problem};

pub(crate) use self::paths::{file_names, hide_folders};

/// The path of the pages of the error codes, relative to the origin. [`crate::page`] serves them.
const PAGES: &str = "/errors/";
/// The status of Anthropic's API when it is overloaded.
const OVERLOADED: StatusCode = match StatusCode::from_u16(529) {
    Ok(status) => status,
    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
};
/// The error type of a cancelled task, in the APIs whose errors have types. The types of these APIs all blame
/// the request, the server or the load, so none of them fits.
const CANCELLED: &str = "cancelled";

/// The first segments of OpenAI's paths that Lar also serves without `/v1`.
const OPENAI_PATHS: [&str; 6] = ["chat", "embeddings", "models", "rerank", "reranking", "responses"];
/// The first segments of the paths of llama.cpp's server.
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

/// A handler's error, without a format. [`crate::middleware`] knows the path and formats the error.
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

/// The error format of an API.
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
    /// Returns the error format of the API that a request is for.
    pub(crate) fn of(request: &axum::extract::Request) -> Self {
        match Self::of_path(request.uri().path()) {
            // OpenAI's and Anthropic's APIs share the path of the model list.
            Self::OpenAi if request.headers().contains_key("anthropic-version") => Self::Anthropic,
            format => format,
        }
    }

    /// Returns the error format of the API that a path belongs to.
    pub(crate) fn of_path(path: &str) -> Self {
        // A client whose base URL ends with a slash sends two of them.
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

/// Renders the complete response for a problem.
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
        ErrorFormat::Ollama => {
            Json(ollama::OllamaErrorBody { error: problem.detail.clone() }).into_response()
        }
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

/// Returns OpenAI's error body. A stream that fails sends the same body.
pub(crate) fn openai(problem: &Problem) -> OpenAiErrorBody {
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
    OpenAiErrorBody { error: OpenAiErrorDetail { message: problem.detail.clone(), kind, param, code } }
}

/// Returns llama.cpp's error body. A stream that fails sends the same body.
pub(crate) fn llama_cpp(problem: &Problem) -> llama_cpp::LlamaCppErrorBody {
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
    let error = llama_cpp::LlamaCppErrorDetail {
        code: problem.code.status(),
        message: problem.detail.clone(),
        kind,
        param,
    };
    llama_cpp::LlamaCppErrorBody { error }
}

/// Returns Anthropic's error body. A stream that fails sends the same body.
pub(crate) fn anthropic(problem: &Problem, request_id: Option<String>) -> anthropic::AnthropicErrorBody {
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
    // Anthropic's SDKs look for these details, and continue without a thread.
    let threads =
        problem.code == Code::UnsupportedParam && problem.fields.iter().any(|field| field.field == "thread");
    let details = threads.then_some(anthropic::ErrorDetails {
        error_code: "thread_unsupported_request",
        unsupported: ["thread"],
    });
    let error = anthropic::AnthropicErrorDetail { kind, message: problem.detail.clone(), details };
    anthropic::AnthropicErrorBody { kind: "error", error, request_id }
}

/// Returns whether a retry later, or on another server, may succeed. Anthropic's API has its own status for
/// this.
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
