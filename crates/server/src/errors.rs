//! The one file that turns errors into answers: RFC 9457 for Lar's own API, OpenAI's shape below `/v1`,
//! Anthropic's at its paths there, Ollama's below `/api`, an earlier bridge's below `/bridge`.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lar_api::openai::{ErrorBody, ErrorDetail};
use lar_api::problem::{FieldProblem, ProblemBody};
use lar_api::{anthropic, ollama};
use lar_base::{Code, Problem};

/// Where the pages of the error codes are, relative to the origin: the page shows them.
const PAGES: &str = "/errors/";
/// Anthropic's status of a service that has too much to do.
const OVERLOADED: StatusCode = match StatusCode::from_u16(529) {
    Ok(status) => status,
    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
};

/// A handler's error. It has no shape yet: [`crate::frame`] knows the path and gives it one.
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
        response.extensions_mut().insert(Shapeless(self.0));
        response
    }
}

/// A problem on its way to the frame.
#[derive(Debug, Clone)]
pub(crate) struct Shapeless(pub(crate) Problem);

/// Whose shape an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Ours,
    OpenAi,
    Anthropic,
    Ollama,
    Bridge,
}

impl Shape {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/messages" | "/v1/messages/count_tokens" => Self::Anthropic,
            "/v1" => Self::OpenAi,
            path if path.starts_with("/v1/") => Self::OpenAi,
            path if path.starts_with("/api/") => Self::Ollama,
            path if path.starts_with("/bridge/") => Self::Bridge,
            _ => Self::Ours,
        }
    }
}

/// The whole answer for a problem.
pub(crate) fn render(problem: &Problem, shape: Shape, request_id: &str) -> Response {
    let mut response = match shape {
        Shape::Ours => {
            let mut response = Json(ours(problem, request_id)).into_response();
            let kind = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Shape::OpenAi => Json(openai(problem)).into_response(),
        Shape::Ollama => Json(ollama::ErrorBody { error: problem.detail.clone() }).into_response(),
        Shape::Bridge => {
            let error = serde_json::json!({ "success": false, "data": null, "error": problem.detail });
            Json(error).into_response()
        }
        Shape::Anthropic => Json(anthropic(problem, Some(request_id.to_owned()))).into_response(),
    };
    *response.status_mut() = match shape {
        Shape::Anthropic if is_overload(problem.code) => OVERLOADED,
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

fn ours(problem: &Problem, request_id: &str) -> ProblemBody {
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
        code if code.status() >= 500 => ("server_error", code.as_str()),
        code => ("invalid_request_error", code.as_str()),
    };
    let param = match problem.code {
        Code::ContextTooLong => Some("messages".into()),
        _ => problem.fields.first().map(|field| field.field.clone()),
    };
    let code = Some(code.to_ascii_lowercase());
    ErrorBody { error: ErrorDetail { message: problem.detail.clone(), kind, param, code } }
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
        code if code.status() >= 500 => "api_error",
        _ => "invalid_request_error",
    };
    let error = anthropic::ErrorDetail { kind, message: problem.detail.clone() };
    anthropic::ErrorBody { kind: "error", error, request_id }
}

/// Whether trying again later, or elsewhere, would do: Anthropic has a status of its own for it.
fn is_overload(code: Code) -> bool {
    matches!(code, Code::QueueFull | Code::PoolUnready | Code::PoolUnavailable)
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
