//! `POST /lar/v1/memories/search`: hybrid search of memories.

use axum::extract::State;
use lar_api::memories::{Filters, SearchRequest, SearchResponse};
use lar_base::Problem;
use lar_memory::{Filter, Memories, Search};

use super::access::Reading;
pub(crate) use super::parse::LIMIT_MAX;
use super::parse::{parse_detail, parse_kind, parse_limit, parse_time};
use super::view::show_results;
use crate::errors::Failure;
use crate::extract::Json;

/// The number of results of a request without `limit`.
const LIMIT_DEFAULT: usize = 10;

/// Search memories
///
/// Searches by keywords and by embeddings. The list of results may be empty.
#[utoipa::path(post, path = "/lar/v1/memories/search", tag = "memories", request_body = SearchRequest,
    params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = SearchResponse), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn search(
    State(memories): State<Memories>,
    Reading(reader): Reading,
    Json(request): Json<SearchRequest>,
) -> Result<axum::Json<SearchResponse>, Failure> {
    let found = memories.search(&reader, to_search(request)?).await?;
    Ok(axum::Json(show_results(found)))
}

fn to_search(request: SearchRequest) -> Result<Search, Problem> {
    let Filters { kinds, tags, project, since, until, superseded } = request.filters.unwrap_or_default();
    let limit = parse_limit(request.limit, LIMIT_DEFAULT)?;
    let at = |field: &str, time: Option<String>| time.map(|time| parse_time(field, &time)).transpose();
    Ok(Search {
        query: request.query,
        limit,
        filter: Filter {
            kinds: kinds.iter().map(|text| parse_kind("filters.kinds", text)).collect::<Result<_, _>>()?,
            tags,
            project,
            since: at("filters.since", since)?,
            until: at("filters.until", until)?,
            as_of: at("as_of", request.as_of)?,
            known_at: at("known_at", request.known_at)?,
            superseded,
        },
        detail: parse_detail(request.detail.as_deref())?,
        token_budget: request.token_budget,
        model: request.model,
        rerank: request.rerank,
        keyword_weight: None,
    })
}
