//! Hybrid search: keyword score and cosine similarity are combined for every chunk, with filters inside the
//! scan.
//!
//! The score is defined in [`crate::index::hybrid_score`], the decay in
//! [`strength`](crate::strength).
//!
//! A result that differs from a better one only in punctuation, case and whitespace is listed as its
//! duplicate. A result that differs in a word ("is", "is not") is not. Searching changes nothing.

mod linked;
mod results;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use lar_base::{Code, Instant, Problem, SpaceId, Timestamp};
use lar_inference::Prompt;
use lar_store::Memory;

use crate::embed::{EmbeddedQuery, QueryVector};
use crate::index::{self, EmbedderId, Filter, Index, Query, hybrid_score};
use crate::similarity::SimilarityMap;
use crate::vectors::Quantized;
use crate::{Memories, ReadAccess};
use crate::{readable, rerank};
use lar_text::days::Day;
use lar_text::terms::QueryTerms;
use lar_text::time_expressions::time_expressions;
pub use results::{Hit, HitLink, Mode, SearchResults, Stages, Superseded};

/// The most bytes in a query.
pub const QUERY_BYTES_MAX: usize = 8 << 10;
/// The least similarity of a memory without any word of the query. Unrelated texts have less.
const SIMILARITY_MIN: f32 = 0.25;
/// The least share of the query's words, weighted by rarity, that a memory must contain if the embedder cannot
/// read the query. Of 75 questions in Chinese, Japanese and Thai among 1,025 texts, 72 keep the memory that
/// answers them (2026-11-30).
const UNREADABLE_SHARE_MIN: f32 = 0.3;
/// The characters of a brief result.
const BRIEF_CHARS: usize = 160;

/// The part of each memory's text that a search returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// One line of the matching chunk.
    Brief,
    /// The matching chunk.
    #[default]
    Summary,
    /// The whole memory, with the previous and the next turn. A turn that is shown so is no result of its own.
    Full,
}

/// A search.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// The query text, up to 8 KiB.
    pub query: String,
    /// The most results, at least 1.
    pub limit: usize,
    /// Conditions on the memories, such as kind, project and time; by default none.
    pub filter: Filter,
    /// The part of each memory's text to return.
    pub detail: Detail,
    /// The most tokens in all results together, as the model counts them.
    pub token_budget: Option<usize>,
    /// The model that counts tokens. The default is `default`.
    pub model: Option<String>,
    /// Whether to rerank the best results.
    pub rerank: bool,
    /// The weight of the keyword score, 0 to 1, instead of the calibrated one; for benchmarks. If set,
    /// results with a low similarity are not removed.
    pub keyword_weight: Option<f32>,
}

/// Checks the token budget of a search or a brief.
///
/// # Errors
/// [`Code::InvalidParams`] for a budget of zero.
pub fn check_token_budget(tokens: usize) -> Result<(), Problem> {
    if tokens == 0 { Err(Problem::invalid("token_budget", "must be at least 1")) } else { Ok(()) }
}

impl Memories {
    /// Searches memories. The result may be empty.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] for an invalid field; [`Code::ComponentUnavailable`] if there is a budget and
    /// no model can count tokens, or reranking is requested and no reranker is installed; when the database
    /// fails.
    pub async fn search(&self, reader: &ReadAccess, search: Search) -> Result<SearchResults, Problem> {
        let query = search.query.trim();
        if query.is_empty() || query.len() > QUERY_BYTES_MAX {
            return Err(Problem::invalid("query", format!("must have 1 to {QUERY_BYTES_MAX} bytes")));
        }
        search.token_budget.map_or(Ok(()), check_token_budget)?;
        let started = Instant::now();
        let (vector, mode) = match self.embeddings.embed_query(&reader.caller, query).await {
            Ok(QueryVector::Usable(embedded)) => (Some(embedded), Mode::Hybrid),
            Ok(QueryVector::Unusable(reason)) => (None, Mode::Keyword(reason)),
            Err(problem) => (None, Mode::Keyword(problem.detail)),
        };
        let stages = Stages { embed: started.elapsed(), ..Stages::default() };
        self.search_near(reader, &search, query, vector, mode, stages).await
    }

    /// Searches like [`Memories::search`] with a given query vector, by the embedder with this digest. Its cosines are
    /// the similarities.
    ///
    /// # Errors
    /// As [`Memories::search`]; the query is not checked.
    pub async fn search_embedded(
        &self,
        reader: &ReadAccess,
        search: &Search,
        digest: &str,
        vector: &[f32],
    ) -> Result<SearchResults, Problem> {
        let embedder_id = EmbedderId { digest: digest.to_owned(), dimension: vector.len() };
        let (vector, map) = (Quantized::of(vector), SimilarityMap::IDENTITY);
        let vector = Some(EmbeddedQuery { embedder_id, vector, map });
        let stages = Stages::default();
        self.search_near(reader, search, search.query.trim(), vector, Mode::Hybrid, stages).await
    }

    async fn search_near(
        &self,
        reader: &ReadAccess,
        search: &Search,
        query: &str,
        vector: Option<EmbeddedQuery>,
        mode: Mode,
        mut stages: Stages,
    ) -> Result<SearchResults, Problem> {
        let _use = self.foreground.start();
        let certain_similarity =
            vector.as_ref().map_or(SimilarityMap::IDENTITY, |embedded| embedded.map).certain_min;
        // Some hits may be neighbours of better ones.
        let read = if search.detail == Detail::Full { search.limit.saturating_mul(2) } else { search.limit };
        let limit = if search.rerank { read.max(rerank::READ_MAX) } else { read };
        let mut found = Vec::new();
        for space in &reader.spaces {
            found.extend(self.search_space(*space, search, limit, query, vector.clone(), &mut stages).await?);
        }
        found.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score));
        found.truncate(limit);
        let started = Instant::now();
        let seqs =
            found.iter().flat_map(|(hit, same)| std::iter::once(hit.memory).chain(same.iter().copied()));
        let memories = self.store.memories_by_seq(reader.spaces.clone(), seqs.collect()).await?;
        stages.read = started.elapsed();
        let mut relevance = HashMap::new();
        if search.rerank {
            let started = Instant::now();
            relevance = self.rerank(reader, query, &mut found, &memories).await?;
            found.truncate(read);
            stages.rerank = started.elapsed();
        }
        let started = Instant::now();
        let hits = self.load_hits(reader, found, &memories, search.detail).await?;
        let hits = fold_neighbours(hits, search.limit);
        let mut hits = self.with_linked(reader, hits, &search.filter, search.detail, search.limit).await?;
        stages.read += started.elapsed();
        hits.iter_mut().for_each(|hit| hit.relevance = relevance.get(&hit.memory.seq).copied());
        let started = Instant::now();
        let (hits, tokens, left_out) = match search.token_budget {
            None => (hits, None, 0),
            Some(budget) => {
                let model = search.model.as_deref().unwrap_or("default");
                self.pack_to_budget(hits, budget, model, Hit::budget_text).await?
            }
        };
        stages.pack = started.elapsed();
        self.metrics.record_search(&mode, &stages);
        Ok(SearchResults { hits, mode, certain_similarity, tokens, left_out, stages })
    }

    /// Sorts the best results by the reranker's score and drops the rest. Returns the score of each memory.
    async fn rerank(
        &self,
        reader: &ReadAccess,
        query: &str,
        found: &mut Vec<(index::IndexHit, Vec<i64>)>,
        memories: &[Memory],
    ) -> Result<HashMap<i64, f32>, Problem> {
        found.retain(|(hit, _)| memories.iter().any(|memory| memory.seq == hit.memory));
        let read = found.len().min(rerank::READ_MAX);
        let text = |(hit, _): &(index::IndexHit, Vec<i64>)| {
            let memory = memories.iter().find(|memory| memory.seq == hit.memory);
            memory.map_or_else(String::new, |memory| {
                render_text(&memory.content, &hit.chunk, Detail::Summary).0
            })
        };
        let texts: Vec<String> = found[..read].iter().map(text).collect();
        if texts.is_empty() {
            return Ok(HashMap::new());
        }
        let scores = self.relevance(&reader.caller, query, texts).await?;
        let mut relevance = HashMap::with_capacity(read);
        for ((hit, _), score) in found.iter_mut().zip(scores) {
            hit.score = score * hybrid_score::strength_factor(hit.retrievability, hit.recency);
            relevance.insert(hit.memory, score);
        }
        found.truncate(read);
        found.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score));
        Ok(relevance)
    }

    async fn search_space(
        &self,
        space: SpaceId,
        search: &Search,
        limit: usize,
        query: &str,
        vector: Option<EmbeddedQuery>,
        stages: &mut Stages,
    ) -> Result<Vec<(index::IndexHit, Vec<i64>)>, Problem> {
        let words = QueryTerms::of(query);
        let now = Timestamp::now();
        let asked_at = search.filter.as_of.unwrap_or(now);
        let times = time_expressions(query, Day::of_millis(asked_at.as_millis()));
        let unreadable = vector.is_none() && readable::scrambled_form(query).is_some();
        let share_min = if unreadable { UNREADABLE_SHARE_MIN } else { 0.0 };
        let (filter, weight) = (search.filter.clone(), search.keyword_weight);
        let embedder_id = vector.as_ref().map(|embedded| embedded.embedder_id.clone());
        let look = move |index: &Index| {
            // If the index still has vectors of another embedder, only its keywords are searched.
            let other =
                vector.as_ref().is_some_and(|embedded| index.embedder_id() != Some(&embedded.embedder_id));
            let query = Query {
                words: &words,
                share_min,
                vector: vector.as_ref().filter(|_| !other).map(|embedded| (&embedded.vector, embedded.map)),
                times: &times,
                filter: &filter,
                now,
                limit: limit.saturating_mul(2),
                weight: weight.unwrap_or(hybrid_score::KEYWORD_WEIGHT),
            };
            let mut searched = index.search(&query);
            let all = weight.is_some();
            searched.hits.retain(|hit| {
                all || hit.keyword_score > 0.0
                    || hit.similarity.is_some_and(|similarity| similarity >= SIMILARITY_MIN)
            });
            let hits = std::mem::take(&mut searched.hits);
            (fold_duplicates(hits, limit), searched, other)
        };
        let started = Instant::now();
        let (hits, searched, other) = self.indexes.search(space, embedder_id.as_ref(), look).await?;
        stages.keyword += searched.keyword;
        stages.scan += searched.scan;
        stages.index += started.elapsed().saturating_sub(searched.keyword + searched.scan);
        if other {
            // The embedder changed, so existing chunks need vectors of the new one.
            self.backfill.wake();
        }
        Ok(hits)
    }

    async fn load_hits(
        &self,
        reader: &ReadAccess,
        found: Vec<(index::IndexHit, Vec<i64>)>,
        memories: &[Memory],
        detail: Detail,
    ) -> Result<Vec<Hit>, Problem> {
        let find = |seq: i64| memories.iter().find(|memory| memory.seq == seq);
        let ids = memories.iter().map(|memory| memory.id).collect();
        let before = self.store.memories_superseded_by(reader.spaces.clone(), ids).await?;
        let mut hits = Vec::with_capacity(found.len());
        for (hit, same) in found {
            // The memory was deleted after the index was searched.
            let Some(memory) = find(hit.memory).cloned() else { continue };
            let (text, cut) = render_text(&memory.content, &hit.chunk, detail);
            let neighbours = match detail {
                Detail::Full => self.store.memory_neighbours(reader.spaces.clone(), memory.clone()).await?,
                Detail::Brief | Detail::Summary => (None, None),
            };
            let before = before.iter().find_map(|before| {
                let (_, until) = before.superseded.filter(|(by, _)| *by == memory.id)?;
                Some(Superseded { id: before.id, text: line(&before.content), until })
            });
            hits.push(Hit {
                supersedes: before,
                duplicates: same.iter().filter_map(|seq| find(*seq)).map(|memory| memory.id).collect(),
                memory,
                text,
                is_truncated: cut,
                score: hit.score,
                keyword_score: hit.keyword_score,
                similarity: hit.similarity,
                presence: hit.presence.of_all,
                presence_of_known: hit.presence.of_known,
                retrievability: hit.retrievability,
                recency: hit.recency,
                relevance: None,
                links: Vec::new(),
                neighbours,
            });
        }
        Ok(hits)
    }

    /// Selects the hits that fit in a token budget together, in order.
    ///
    /// `render` returns the text to count. A hit that does not fit is skipped, and later ones may still fit.
    pub(crate) async fn pack_to_budget(
        &self,
        hits: Vec<Hit>,
        budget: usize,
        model: &str,
        render: impl Fn(&Hit) -> String,
    ) -> Result<(Vec<Hit>, Option<usize>, usize), Problem> {
        let (mut packed, mut used, mut left_out) = (Vec::new(), 0, 0);
        for hit in hits {
            let counted = self.gateway.count_tokens(model, &Prompt::Text(render(&hit))).await;
            let tokens = counted.map_err(|problem| match problem.code {
                Code::NotFound => Problem::about(Code::ComponentUnavailable, "token_budget", problem.detail),
                _ => problem,
            })?;
            if used + tokens.tokens <= budget {
                used += tokens.tokens;
                packed.push(hit);
            } else {
                left_out += 1;
            }
        }
        Ok((packed, Some(used), left_out))
    }
}

/// Folds hits with equal fingerprints: a hit becomes a duplicate of the better one.
fn fold_duplicates(hits: Vec<index::IndexHit>, limit: usize) -> Vec<(index::IndexHit, Vec<i64>)> {
    let mut folded: Vec<(index::IndexHit, Vec<i64>)> = Vec::with_capacity(limit);
    for hit in hits {
        match folded.iter().position(|(better, _)| better.fingerprint == hit.fingerprint) {
            Some(at) => folded[at].1.push(hit.memory),
            None if folded.len() < limit => folded.push((hit, Vec::new())),
            None => {}
        }
    }
    folded
}

/// Leaves out hits that a better one shows as its neighbour, and returns at most `limit` hits.
fn fold_neighbours(hits: Vec<Hit>, limit: usize) -> Vec<Hit> {
    let mut shown = HashSet::new();
    let mut kept = Vec::with_capacity(limit);
    for hit in hits {
        if kept.len() == limit {
            break;
        }
        if !shown.contains(&hit.memory.id) {
            let (before, after) = &hit.neighbours;
            shown.extend([before, after].into_iter().flatten().map(|memory| memory.id));
            kept.push(hit);
        }
    }
    kept
}

/// Returns the text of a hit for a level of detail, and whether it is shorter than the memory.
fn render_text(content: &str, chunk: &Range<u32>, detail: Detail) -> (String, bool) {
    let range = chunk.start as usize..chunk.end as usize;
    let chunk = content.get(range).unwrap_or(content);
    let text: String = match detail {
        Detail::Full => content.to_owned(),
        Detail::Summary => chunk.to_owned(),
        Detail::Brief => line(chunk),
    };
    let cut = text.len() < content.len();
    (text, cut)
}

/// Returns the first [`BRIEF_CHARS`] characters of a text on one line.
fn line(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(BRIEF_CHARS).collect()
}
