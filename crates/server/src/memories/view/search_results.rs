//! The results of a search in responses.

use lar_api::memories::{
    Neighbour, NeighbourSide, ResultLink, ScoreParts, SearchMode, SearchResponse, SearchResult, Superseded,
};
use lar_memory::{Hit, Mode, SearchResults};

use super::kind_to_wire;

/// Returns the results of a search, with all their fields. Only a reader can search.
pub(crate) fn show_results(found: SearchResults) -> SearchResponse {
    let (mode, reason) = match found.mode {
        Mode::Hybrid => (SearchMode::Hybrid, None),
        Mode::Keyword(reason) => (SearchMode::Keyword, Some(reason)),
    };
    SearchResponse {
        results: found.hits.into_iter().map(show_hit).collect(),
        mode,
        reason,
        tokens: found.tokens,
        left_out: found.left_out,
    }
}

fn show_hit(hit: Hit) -> SearchResult {
    let possibly_outdated = hit.is_possibly_outdated();
    let links = hit.links.iter().map(|link| ResultLink {
        id: link.id.to_string(),
        memory: link.memory.to_string(),
        newer: link.is_newer,
    });
    let links = links.collect();
    let (before, after) = &hit.neighbours;
    let sides = [(NeighbourSide::Before, before), (NeighbourSide::After, after)];
    let neighbours = sides.into_iter().filter_map(|(side, memory)| {
        let memory = memory.as_ref()?;
        Some(Neighbour { id: memory.id.to_string(), side, content: memory.content.clone() })
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
        kind: kind_to_wire(hit.memory.kind),
        tags: hit.memory.tags,
        source: hit.memory.provenance.source,
        project: hit.memory.project,
        occurred_at: hit.memory.occurred_at.map(|at| at.to_string()),
        created_at: hit.memory.created_at.to_string(),
        superseded_by: hit.memory.superseded.map(|(by, _)| by.to_string()),
        possibly_outdated,
        links,
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
