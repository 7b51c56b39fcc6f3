//! Extractors for request bodies, paths, queries and headers. Their errors name the field and the reason.
//!
//! Lar's own API is read strictly, with [`json`] and [`from_own_value`]. `lar-compat` reads the compatible APIs
//! leniently.

mod decode;
mod objects;
mod receive;

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use lar_base::{Code, Problem};
use serde::de::DeserializeOwned;

pub(crate) use self::decode::{
    Json, LineReaders, from_own_value, from_value, json, json_lines, json_lines_of_two_kinds,
    results_of_json_lines, unreadable_line,
};
pub(crate) use self::receive::{JSON_LINES, JsonBody, receive_json};
use crate::errors::Failure;

/// The parameters of a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, state).await {
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

impl<S: Send + Sync> FromRequest<S> for PageQuery {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        query(request.uri())
    }
}
