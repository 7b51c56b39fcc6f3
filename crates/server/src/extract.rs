//! Reading what callers send: bodies within their limits, JSON with the path of what is wrong, ids.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use lar_base::{Code, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::App;
use crate::errors::Failure;

const JSON: &str = "application/json";
/// What curl says where nobody tells it, as in all of Ollama's examples. Pages of other sites can say it too: that they may
/// not is seen to by [`crate::protect`].
const CURLS_OWN: &str = "application/x-www-form-urlencoded";
/// One JSON value a line.
pub(crate) const JSON_LINES: &str = "application/x-ndjson";

/// A JSON body, with the field and the reason when it is not what it should be, and the nearest known name
/// when a field is unknown.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self(json(&body(request, app).await?)?))
    }
}

/// Reads JSON, strictly.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // An empty body is an empty object: every field of it is optional or named as missing.
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| problem(&error))?;
    deserializer
        .end()
        .map_err(|error| Problem::new(Code::InvalidParams, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// Reads a body of JSON lines, each made something of; empty ones are passed over. An error names its line.
pub(crate) async fn json_lines<W: DeserializeOwned, T>(
    request: Request,
    app: &App,
    mut made: impl FnMut(W) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let bytes = body_of(request, app, JSON_LINES).await?;
    let mut read = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let one = json(line).and_then(&mut made).map_err(|problem| {
            let detail = format!("line {}: {}", number + 1, problem.detail);
            Problem { detail, ..problem }
        });
        read.push(one?);
    }
    Ok(read)
}

/// Reads a whole body within the server's limits of size and time; it must say that it is JSON.
pub(crate) async fn body(request: Request, app: &App) -> Result<Bytes, Problem> {
    body_of(request, app, JSON).await
}

/// As [`body`], for a body that must say that it is of this type.
pub(crate) async fn body_of(request: Request, app: &App, wanted: &str) -> Result<Bytes, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let as_ollama = route.starts_with("/api/");
    let fits = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = kind.ends_with("+json") || (as_ollama && kind == CURLS_OWN);
        kind == wanted || (wanted == JSON && json)
    });
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if !fits && length != Some(0) && (length.is_some() || kind.is_some()) {
        return Err(Problem::new(Code::UnsupportedMedia, format!("the body must be {wanted}")));
    }
    let limit = usize::try_from(app.limits.body.get()).unwrap_or(usize::MAX);
    let too_large =
        || Problem::new(Code::BodyTooLarge, format!("the body is larger than {}", app.limits.body));
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let reading = to_bytes(request.into_body(), limit);
    match tokio::time::timeout(app.limits.body_timeout, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error))
            if std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit")) =>
        {
            Err(too_large())
        }
        Ok(Err(_)) => Err(Problem::new(Code::InvalidParams, "the body broke off")),
        Err(_) => {
            let seconds = app.limits.body_timeout.as_secs();
            Err(Problem::new(Code::InvalidParams, format!("the body did not arrive within {seconds} s")))
        }
    }
}

/// Converts a JSON value into a request of one of the tolerant APIs.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| problem(&error))
}

/// What a path names.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(found)) => Ok(Self(found)),
            Err(error) => Err(Problem::new(Code::InvalidParams, error.body_text()).into()),
        }
    }
}

/// An id out of a path.
pub(crate) fn id<T: FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    let shown: String = text.chars().take(64).collect();
    text.parse().map_err(|_| Problem::not_found(format!("{what} `{shown}`")))
}

/// The page that a list is asked for.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    limit: Option<String>,
    after: Option<String>,
    #[serde(default)]
    pub(crate) q: Option<String>,
}

/// Rows on a page at most.
const PAGE_MAX: u32 = 200;
/// Rows on a page where nothing is said.
const PAGE_DEFAULT: u32 = 50;

impl PageQuery {
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        limit(self.limit.as_deref())
    }

    pub(crate) fn after<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        after(self.after.as_deref())
    }
}

/// How many rows a page is to have.
pub(crate) fn limit(text: Option<&str>) -> Result<u32, Problem> {
    let reason = || Problem::invalid("limit", format!("must be a number from 1 to {PAGE_MAX}"));
    match text {
        None => Ok(PAGE_DEFAULT),
        Some(text) => text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(reason),
    }
}

/// The last row of the page before.
pub(crate) fn after<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Problem> {
    let reason = || Problem::invalid("after", "must be the `next` of the page before");
    text.map(|text| text.parse().map_err(|_| reason())).transpose()
}

/// What stands behind the question mark.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    axum::extract::Query::try_from_uri(uri)
        .map(|query| query.0)
        .map_err(|error| Failure(Problem::new(Code::InvalidParams, error.body_text())))
}

/// Whether a deletion is to be for good.
pub(crate) fn erases(request: &Request) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "erase=true"))
}

/// The version that a change insists on.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    match headers.get(header::IF_MATCH).map(|tag| tag.to_str().unwrap_or_default().trim_matches('"')) {
        None | Some("*") => Ok(None),
        Some(tag) => tag
            .parse()
            .map(Some)
            .map_err(|_| Problem::invalid("If-Match", "must be the version that was read")),
    }
}

impl FromRequest<Arc<App>> for PageQuery {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Failure> {
        query(request.uri())
    }
}

fn problem<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Problem {
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
                None => format!("is unknown; known are: {}", known.join(", ")),
            },
        );
    }
    if let Some(missing) = quoted_after(&reason, "missing field ") {
        let full = if field == "." { missing } else { format!("{field}.{missing}") };
        return Problem::invalid(full, "is missing");
    }
    if field == "." || field.is_empty() {
        return Problem::new(Code::InvalidParams, format!("the body is not what it should be: {reason}"));
    }
    let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
    Problem::invalid(field, format!("is not valid: {reason}"))
}

fn quoted_after(text: &str, start: &str) -> Option<String> {
    let rest = text.strip_prefix(start)?.strip_prefix('`')?;
    rest.split('`').next().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use lar_api::conversations::NewMessage;
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_name_the_field_the_reason_and_the_nearest_name() {
        let told = |value: Value| from_value::<NewMessage>(&value).unwrap_err().detail;
        assert_eq!(told(json!({ "contnt": "x" })), "`contnt` is unknown; did you mean `content`?");
        assert_eq!(told(json!({})), "`content` is missing");
        assert_eq!(
            told(json!({ "content": "x", "max_tokens": -1 })),
            "`max_tokens` is not valid: invalid value: integer `-1`, expected u32"
        );
    }
}
