//! Extractors for request bodies, paths, queries and headers. Their errors name the field and the reason.
//!
//! Lar's own API is read strictly, with [`json`] and [`from_own_value`]. The compatible APIs are read
//! leniently, with [`crate::lenient`].

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
/// The media type of bodies with one JSON value per line.
pub(crate) const JSON_LINES: &str = "application/x-ndjson";
/// The maximum size in bytes of an oversized body that is read and discarded.
///
/// Some clients send the whole body before they read the response.
const DISCARD_MAX: u64 = 64 << 20;
/// The maximum time for discarding a body.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body, read strictly. An error names the field and the reason, and suggests a name for an unknown field.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self(json(&body(request, app).await?)?))
    }
}

/// Reads a JSON body strictly. An empty body is read as an empty object.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Each field of an empty object is optional or reported as missing.
    json_named(if bytes.is_empty() { b"{}" } else { bytes }, "the body")
}

/// Reads JSON strictly. Errors about the whole value call it `what`.
fn json_named<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(objects::Objects(&mut deserializer));
    let value = value.map_err(|error| problem_in(&error, what))?;
    deserializer.end().map_err(|error| {
        let reason = lenient::in_plain_words(&error.to_string());
        Problem::new(Code::InvalidParams, format!("{what} is not valid JSON: {reason}"))
    })?;
    Ok(value)
}

/// The start of the last line of an export that skipped unreadable records.
const UNREADABLE: &[u8] = b"{\"unreadable\":";

/// Returns the last line of an export of `what` if records could not be read. Imports skip this line.
pub(crate) fn unreadable_line(what: &str, count: u64) -> Option<Bytes> {
    let line = format!("{{\"unreadable\":{count},\"of\":\"{what}\"}}\n");
    (count > 0).then(|| line.into())
}

/// Reads a body of JSON lines and converts each line. An error names its line.
///
/// Empty lines and the line that [`unreadable_line`] adds to an export are skipped.
pub(crate) async fn json_lines<W: DeserializeOwned, T>(
    request: Request,
    app: &App,
    mut convert: impl FnMut(W) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let bytes = body_of(request, app, JSON_LINES).await?;
    if bytes.is_empty() {
        return Err(Problem::new(Code::InvalidParams, "the body is empty; send one JSON object per line"));
    }
    let mut read = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() || line.starts_with(UNREADABLE) {
            continue;
        }
        let name = format!("line {}", number + 1);
        let in_line = |problem: Problem| Problem { detail: format!("{name}: {}", problem.detail), ..problem };
        let value = json_named(line, &name).map_err(|problem| match problem.fields.is_empty() {
            // The message names the line already.
            true => problem,
            false => in_line(problem),
        })?;
        read.push(convert(value).map_err(in_line)?);
    }
    Ok(read)
}

/// Reads a JSON body within the server's limits of size and time.
///
/// # Errors
/// [`Code::UnsupportedMedia`] if the media type is not JSON, except on paths that accept any type. Otherwise
/// the errors of [`crate::bodies::BodyBudget::receive`] and [`check_values`].
pub(crate) async fn body(request: Request, app: &App) -> Result<ReceivedBody, Problem> {
    let body = body_of(request, app, JSON).await?;
    check_values(&body)?;
    Ok(body)
}

/// Reads a body of the given media type, like [`body`].
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
        return Err(Problem::new(
            Code::BodyTooLarge,
            format!("the body is larger than the limit of {}", app.limits.body),
        ));
    }
    let limits = BodyLimits { bytes_max: app.limits.body, time_max: app.limits.body_timeout };
    app.bodies.receive(request, limits).await
}

/// Returns whether a body is read as JSON whatever its `Content-Type` is, as the vendors' servers do.
///
/// curl sends a form's type, and some clients send none. A web page of another site could do the same without
/// a CORS preflight. On `/api` paths, [`crate::origin_guard`] rejects such a page by its `Origin`. On other
/// paths the request must also have a key in a header, which forces a preflight.
fn takes_any_type(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let ours = ["/lar/", "/bridge/", "/mcp"].iter().any(|start| route.starts_with(start));
    let has_key =
        request.headers().contains_key(header::AUTHORIZATION) || request.headers().contains_key("x-api-key");
    route.starts_with("/api/") || (!ours && has_key)
}

/// Reads and discards a body, up to [`DISCARD_MAX`] bytes.
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

/// Converts a JSON value of Lar's own API strictly: null is a value, not an absent field.
pub(crate) fn from_own_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| problem(&error))
}

/// Converts a JSON value into a request of a compatible API leniently. Out-of-range numbers are errors.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    lenient::from_value(value, OutOfRange::Refused)
}

/// Converts a JSON value like [`from_value`], but clamps out-of-range numbers.
pub(crate) fn from_value_clamped<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    lenient::from_value(value, OutOfRange::Nearest)
}

/// The parameters of a path.
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

/// Parses an id from a path.
///
/// # Errors
/// [`Code::NotFound`], as if there were no `what` with this id.
pub(crate) fn id<T: FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    let shown: String = text.chars().take(64).collect();
    text.parse().map_err(|_| Problem::not_found(format!("{what} `{shown}`")))
}

/// The query parameters of a paginated list.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    limit: Option<String>,
    after: Option<String>,
    #[serde(default)]
    pub(crate) q: Option<String>,
}

/// The maximum number of rows on a page.
pub(crate) const PAGE_MAX: u32 = 200;
/// The default number of rows on a page.
const PAGE_DEFAULT: u32 = 50;

impl PageQuery {
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        limit(self.limit.as_deref())
    }

    pub(crate) fn after<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        after(self.after.as_deref())
    }
}

/// Parses the number of rows on a page.
pub(crate) fn limit(text: Option<&str>) -> Result<u32, Problem> {
    let reason = || Problem::invalid("limit", format!("must be a number between 1 and {PAGE_MAX}"));
    match text {
        None => Ok(PAGE_DEFAULT),
        Some(text) => text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(reason),
    }
}

/// Parses the cursor of a page.
pub(crate) fn after<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Problem> {
    let reason = || Problem::invalid("after", "must be the `next` value of the previous page");
    text.map(|text| text.parse().map_err(|_| reason())).transpose()
}

/// Parses the query string.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    axum::extract::Query::try_from_uri(uri)
        .map(|query| query.0)
        .map_err(|error| Failure(Problem::new(Code::InvalidParams, error.body_text())))
}

#[derive(serde::Deserialize)]
struct Deletion {
    erase: Option<String>,
}

/// Parses `erase`: whether a deletion is permanent.
///
/// # Errors
/// If the value is neither `true` nor `false`. A caller who expects a permanent deletion must not get another one.
pub(crate) fn erases(uri: &Uri) -> Result<bool, Failure> {
    let Deletion { erase } = query(uri)?;
    match erase.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure(Problem::invalid("erase", "must be true or false"))),
    }
}

/// Parses `If-Match`: the version that a change requires, if it requires one.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    match headers.get(header::IF_MATCH).map(|tag| tag.to_str().unwrap_or_default().trim_matches('"')) {
        None | Some("*") => Ok(None),
        Some(tag) => {
            tag.parse().map(Some).map_err(|_| Problem::invalid("If-Match", "must be a version number"))
        }
    }
}

impl FromRequest<Arc<App>> for PageQuery {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Failure> {
        query(request.uri())
    }
}

/// Converts a deserialization error of a body into a problem that names the field and the reason.
pub(crate) fn problem<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Problem {
    problem_in(error, "the body")
}

/// Converts an error like [`problem`]. An error about the whole value calls it `what`.
fn problem_in<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>, what: &str) -> Problem {
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
    let reason = lenient::in_plain_words(&reason);
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
            "`max_tokens` must be an integer between 0 and 4294967295"
        );
    }
}
