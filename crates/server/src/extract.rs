//! Reading what callers send: bodies within their limits, JSON with the path of what is wrong, ids.

mod normalize;
mod objects;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use futures_util::StreamExt as _;
use lar_base::{Code, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::normalize::normalize_values;
use crate::bodies::{BodyLimits, ReceivedBody, check_values};
use crate::errors::Failure;
use crate::lenient::OutOfRange;
use crate::{App, lenient};

const JSON: &str = "application/json";
/// One JSON value a line.
pub(crate) const JSON_LINES: &str = "application/x-ndjson";
/// Bytes of a body beyond the limit that are read and thrown away: some clients send all of it before they read the answer.
const DISCARD_MAX: u64 = 64 << 20;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

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
    let value = serde_path_to_error::deserialize(objects::Objects(&mut deserializer));
    let value = value.map_err(|error| problem(&error))?;
    deserializer
        .end()
        .map_err(|error| Problem::new(Code::InvalidParams, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// What begins the last line of an export that could not read everything.
const UNREADABLE: &[u8] = b"{\"unreadable\":";

/// The last line of an export of `what`, where some could not be read; imports pass over it.
pub(crate) fn unreadable_line(what: &str, count: u64) -> Option<Bytes> {
    let line = format!("{{\"unreadable\":{count},\"of\":\"{what}\"}}\n");
    (count > 0).then(|| line.into())
}

/// Reads a body of JSON lines, each made something of; empty ones, and the last one of an export that could not read
/// everything, are passed over. An error names its line.
pub(crate) async fn json_lines<W: DeserializeOwned, T>(
    request: Request,
    app: &App,
    mut made: impl FnMut(W) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let bytes = body_of(request, app, JSON_LINES).await?;
    if bytes.is_empty() {
        return Err(Problem::new(
            Code::InvalidParams,
            "the body is empty; it must be one JSON object a line",
        ));
    }
    let mut read = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() || line.starts_with(UNREADABLE) {
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
pub(crate) async fn body(request: Request, app: &App) -> Result<ReceivedBody, Problem> {
    let body = body_of(request, app, JSON).await?;
    check_values(&body)?;
    Ok(body)
}

/// As [`body`], for a body that must say that it is of this type.
pub(crate) async fn body_of(request: Request, app: &App, media_type: &str) -> Result<ReceivedBody, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let fits = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == media_type || (media_type == JSON && kind.ends_with("+json"))
    });
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let named = length.is_some() || kind.is_some();
    if !fits && length != Some(0) && named && !takes_any_type(&request) {
        return Err(Problem::new(Code::UnsupportedMedia, format!("the body must be {media_type}")));
    }
    if length.is_some_and(|length| length > app.limits.body.get() && length <= DISCARD_MAX)
        && !request.headers().contains_key(header::EXPECT)
    {
        discard(request.into_body()).await;
        return Err(Problem::new(Code::BodyTooLarge, format!("the body is larger than {}", app.limits.body)));
    }
    let limits = BodyLimits { bytes_max: app.limits.body, time_max: app.limits.body_timeout };
    app.bodies.receive(request, limits).await
}

/// Whether a body is read as JSON whatever type it says it is of, as the servers of the compatible APIs do: curl says
/// that it is a form, and some clients say nothing. A page of another site could say so, too, without a preflight. Below `/api`
/// its `Origin` gives it away ([`crate::origin_guard`]); elsewhere a key in a header is asked for as well, which it cannot send.
fn takes_any_type(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let ours = ["/lar/", "/bridge/", "/mcp"].iter().any(|start| route.starts_with(start));
    let has_key =
        request.headers().contains_key(header::AUTHORIZATION) || request.headers().contains_key("x-api-key");
    route.starts_with("/api/") || (!ours && has_key)
}

/// Reads a body to its end and keeps nothing of it.
async fn discard(body: Body) {
    let reading = async {
        let (mut parts, mut read) = (body.into_data_stream(), 0);
        while let Some(Ok(part)) = parts.next().await {
            read += part.len() as u64;
            if read > DISCARD_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

/// Converts a JSON value of Lar's own, strictly: null is a value, too.
pub(crate) fn from_own_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| problem(&error))
}

/// Converts a JSON value into a request of one of the compatible APIs, leniently. A number that is out of range is an error.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    lenient::from_value(value, OutOfRange::Refused)
}

/// As [`from_value`], for the requests in which a number that is out of range stands for the nearest.
pub(crate) fn from_value_clamped<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    lenient::from_value(value, OutOfRange::Nearest)
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
pub(crate) const PAGE_MAX: u32 = 200;
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

#[derive(serde::Deserialize)]
struct Deletion {
    erase: Option<String>,
}

/// Whether a deletion is to be for good. What says neither yes nor no is refused: a caller who believes that a thing was
/// erased must not find it kept.
pub(crate) fn erases(uri: &Uri) -> Result<bool, Failure> {
    let Deletion { erase } = query(uri)?;
    match erase.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure(Problem::invalid("erase", "must be true or false"))),
    }
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

/// What a caller is told of a mismatch: the field, and what it must be.
pub(crate) fn problem<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Problem {
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
    let reason = lenient::in_plain_words(&reason);
    match (field == "." || field.is_empty(), reason.starts_with("must ")) {
        (true, true) => Problem::new(Code::InvalidParams, format!("the body {reason}")),
        (true, false) => Problem::new(Code::InvalidParams, format!("the body is not valid: {reason}")),
        (false, true) => Problem::invalid(field, reason),
        (false, false) => Problem::invalid(field, format!("is not valid: {reason}")),
    }
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
        let detail_of = |value: Value| from_value::<NewMessage>(&value).unwrap_err().detail;
        assert_eq!(detail_of(json!({ "contnt": "x" })), "`contnt` is unknown; did you mean `content`?");
        assert_eq!(detail_of(json!({})), "`content` is missing");
        assert_eq!(
            detail_of(json!({ "content": "x", "max_tokens": -1 })),
            "`max_tokens` must be a whole number from 0 to 4294967295"
        );
    }
}
