//! `POST /lar/v1/memories/search`: hybrid search of memories.

use lar_api::memories::{
    Filters, Neighbour, ScoreParts, SearchRequest, SearchResponse, SearchResult, Superseded,
};
use lar_base::Problem;
use lar_memory::{Detail, Filter, Hit, Mode, Search, SearchResults};

use super::{Reading, kind, parse_time};
use crate::State;
use crate::errors::Failure;
use crate::extract::Json;

/// The number of results of a request without `limit`.
const LIMIT_DEFAULT: usize = 10;
/// The maximum number of results.
pub(crate) const LIMIT_MAX: usize = 100;

/// Search memories
///
/// Searches by keywords and by embeddings. The list of results may be empty.
#[utoipa::path(post, path = "/lar/v1/memories/search", tag = "memories", request_body = SearchRequest,
    params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = SearchResponse), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn search(
    app: State,
    Reading(reader): Reading,
    Json(request): Json<SearchRequest>,
) -> Result<axum::Json<SearchResponse>, Failure> {
    let found = app.memories.search(&reader, to_search(request)?).await?;
    Ok(axum::Json(response(found)))
}

pub(crate) fn to_search(request: SearchRequest) -> Result<Search, Problem> {
    let Filters { kinds, tags, project, since, until, superseded } = request.filters.unwrap_or_default();
    let limit = request.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", format!("must be between 1 and {LIMIT_MAX}")));
    }
    let at = |field: &str, time: Option<String>| time.map(|time| parse_time(field, &time)).transpose();
    Ok(Search {
        query: request.query,
        limit,
        filter: Filter {
            kinds: kinds.iter().map(|text| kind("filters.kinds", text)).collect::<Result<_, _>>()?,
            tags,
            project,
            since: at("filters.since", since)?,
            until: at("filters.until", until)?,
            as_of: at("as_of", request.as_of)?,
            superseded,
        },
        detail: match request.detail.as_deref() {
            None | Some("summary") => Detail::Summary,
            Some("brief") => Detail::Brief,
            Some("full") => Detail::Full,
            Some(_) => return Err(Problem::invalid("detail", "must be brief, summary or full")),
        },
        token_budget: request.token_budget,
        model: request.model,
        rerank: request.rerank,
        keyword_weight: None,
    })
}

pub(crate) fn response(found: SearchResults) -> SearchResponse {
    let (mode, reason) = match found.mode {
        Mode::Hybrid => ("hybrid", None),
        Mode::Keyword(reason) => ("keyword", Some(reason)),
    };
    SearchResponse {
        results: found.hits.into_iter().map(result).collect(),
        mode: mode.into(),
        reason,
        tokens: found.tokens,
        left_out: found.left_out,
    }
}

fn result(hit: Hit) -> SearchResult {
    let (before, after) = &hit.neighbours;
    let sides = [("before", before), ("after", after)];
    let neighbours = sides.into_iter().filter_map(|(side, memory)| {
        let memory = memory.as_ref()?;
        Some(Neighbour { id: memory.id.to_string(), side: side.into(), content: memory.content.clone() })
    });
    let duplicates: Vec<String> = hit.duplicates.iter().map(ToString::to_string).collect();
    let supersedes = hit.supersedes.map(|before| Superseded {
        id: before.id.to_string(),
        content: before.text,
        until: before.until.to_string(),
    });
    SearchResult {
        neighbours: neighbours.collect(),
        id: hit.memory.id.to_string(),
        content: hit.text,
        truncated: hit.is_truncated,
        kind: hit.memory.kind.as_str().into(),
        tags: hit.memory.tags,
        source: hit.memory.provenance.source,
        project: hit.memory.project,
        occurred_at: hit.memory.occurred_at.map(|at| at.to_string()),
        created_at: hit.memory.created_at.to_string(),
        superseded_by: hit.memory.superseded.map(|(by, _)| by.to_string()),
        score: hit.score,
        parts: ScoreParts {
            keyword: hit.keyword_score,
            similarity: hit.similarity,
            words: hit.keyword_score,
            meaning: hit.similarity,
            retrievability: hit.retrievability,
            recency: hit.recency,
            relevance: hit.relevance,
        },
        instead_of: supersedes.clone(),
        supersedes,
        same: duplicates.clone(),
        duplicates,
    }
}
