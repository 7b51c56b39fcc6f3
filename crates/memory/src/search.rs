//! Finding: words and meaning scored together over every passage, filtered inside the scan, strength and age as
//! bounded factors. What differs from a better result in punctuation, case and space only is told with it; what
//! differs in a word ("is", "is not") is not. Reading changes nothing.
//!
//! The score is `weight · BM25 ⁄ the most the query's words can give + (1 − weight) · cosine`. Both parts are
//! between 0 and 1 for any store, so that a score means the same everywhere. The weight is calibrated per embedder
//! (`benches/RESULTS.md`, "Finding memories"); rank fusion, which needs none, does worse with a weak embedder.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use lar_base::{Code, Instant, MemoryId, Problem, SpaceId, Timestamp};
use lar_engines::driver::Prompt;
use lar_store::Memory;

use crate::embed::QueryVector;
use crate::index::{self, EmbedderId, Filter, Index, Query};
use crate::terms::Terms;
use crate::vectors::Quantized;
use crate::{Memories, ReadAccess};
use crate::{readable, rerank};

/// Bytes of a query at most.
pub const QUERY_BYTES_MAX: usize = 8 << 10;
/// What words weigh beside meaning, with MiniLM: CACM is flat from 0.5 to 0.7 (best at 0.7), LongMemEval-S finds all
/// of its sessions at 0.5 and 0.6.
const KEYWORD_WEIGHT: f32 = 0.6;
/// A memory that has none of the query's words must mean this much of it: MiniLM gives unrelated texts less.
const SIMILARITY_MIN: f32 = 0.25;
/// A memory must have this part of the words of a query that the embedder cannot read: scripts without blanks are
/// indexed letter by letter, and any two sentences share some (two Thai ones about other things: 0.57).
const UNREADABLE_SHARE_MIN: f32 = 0.8;
/// Characters of a brief result.
const BRIEF_CHARS: usize = 160;

/// How much of each memory a search tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// A line of it.
    Brief,
    /// The passage that was found.
    #[default]
    Summary,
    /// All of it, with the turns before and behind.
    Full,
}

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// In words, up to 8 KiB.
    pub query: String,
    /// Results at most, from 1.
    pub limit: usize,
    /// Which memories count.
    pub filter: Filter,
    /// How much of each is told.
    pub detail: Detail,
    /// Tokens of all results together at most, as the model counts them.
    pub token_budget: Option<usize>,
    /// The model whose tokens count; `default` where absent.
    pub model: Option<String>,
    /// Whether a reranker orders the best of what is found.
    pub rerank: bool,
    /// What words weigh beside meaning, 0 to 1, in place of what was calibrated; for measurements. With it, nothing
    /// is left out for meaning too little.
    pub keyword_weight: Option<f32>,
}

/// How a search was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// By words and meaning.
    Hybrid,
    /// By words alone, and why.
    Keyword(String),
}

/// What a memory took the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The memory of before.
    pub id: MemoryId,
    /// A line of what it said.
    pub text: String,
    /// Until when it held.
    pub until: Timestamp,
}

/// A memory that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The memory.
    pub memory: Memory,
    /// What is told of it.
    pub text: String,
    /// Whether that is less than all.
    pub is_truncated: bool,
    /// 0 to 1.
    pub score: f32,
    /// Its share of the query's words, 0 to 1.
    pub keyword_score: f32,
    /// How near its meaning is, −1 to 1; absent where it has no vectors.
    pub similarity: Option<f32>,
    /// The probability that it would be recalled, 0 to 1.
    pub retrievability: f32,
    /// The factor of its age, 0.97 to 1.
    pub recency: f32,
    /// What a reranker gave it, 0 to 1, in place of words and meaning.
    pub relevance: Option<f32>,
    /// Others that say nearly the same.
    pub duplicates: Vec<MemoryId>,
    /// What it took the place of last.
    pub supersedes: Option<Superseded>,
    /// The turns before and behind, where all is told.
    pub neighbours: (Option<Memory>, Option<Memory>),
}

impl Hit {
    /// A memory that no search found, told as a whole.
    pub(crate) fn whole(memory: Memory) -> Self {
        Self {
            text: memory.content.clone(),
            memory,
            is_truncated: false,
            score: 1.0,
            keyword_score: 0.0,
            similarity: None,
            retrievability: 1.0,
            recency: 1.0,
            relevance: None,
            duplicates: Vec::new(),
            supersedes: None,
            neighbours: (None, None),
        }
    }

    /// All that is told of it, as a budget counts it.
    fn budget_text(&self) -> String {
        match &self.supersedes {
            None => self.text.clone(),
            Some(before) => format!("{}\n{}", self.text, before.text),
        }
    }
}

/// What a search found, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResults {
    /// May be none.
    pub hits: Vec<Hit>,
    /// How it was done.
    pub mode: Mode,
    /// Tokens of the texts, where a budget was given.
    pub tokens: Option<usize>,
    /// Memories that were found and left out for the budget.
    pub left_out: usize,
    /// How long it took.
    pub stages: Stages,
}

/// How long the stages of a search took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// The query's vector.
    pub embed: Duration,
    /// Getting at the indexes, and folding what says the same.
    pub index: Duration,
    /// What the words give each passage.
    pub words: Duration,
    /// The product with every vector, filters, strength and age, and the best of it.
    pub scan: Duration,
    /// The memories from the database.
    pub read: Duration,
    /// The reranker.
    pub rerank: Duration,
    /// Counting tokens for a budget.
    pub pack: Duration,
}

impl Stages {
    /// Each with its name, in order.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Duration); 7] {
        [
            ("embed", self.embed),
            ("index", self.index),
            ("words", self.words),
            ("scan", self.scan),
            ("read", self.read),
            ("rerank", self.rerank),
            ("pack", self.pack),
        ]
    }
}

/// Checks a budget of tokens, of a search or a brief.
///
/// # Errors
/// [`Code::InvalidParams`] for a budget that no memory fits.
pub(crate) fn check_token_budget(tokens: usize) -> Result<(), Problem> {
    if tokens == 0 { Err(Problem::invalid("token_budget", "must be at least 1")) } else { Ok(()) }
}

impl Memories {
    /// Looks for memories. Nothing found is an answer.
    ///
    /// # Errors
    /// Which field is wrong; when the database fails; when a budget is given and no model counts tokens.
    pub async fn search(&self, reader: &ReadAccess, search: Search) -> Result<SearchResults, Problem> {
        let query = search.query.trim();
        if query.is_empty() || query.len() > QUERY_BYTES_MAX {
            return Err(Problem::invalid("query", format!("must have 1 to {QUERY_BYTES_MAX} bytes")));
        }
        search.token_budget.map_or(Ok(()), check_token_budget)?;
        let started = Instant::now();
        let (vector, mode) = match self.embeddings.embed_query(&reader.caller, query).await {
            Ok(QueryVector::Read(embedder, vector)) => {
                let embedder_id =
                    EmbedderId { digest: embedder.digest, dimension: embedder.dimension as usize };
                (Some((embedder_id, vector)), Mode::Hybrid)
            }
            Ok(QueryVector::Unreadable(embedder)) => {
                (None, Mode::Keyword(format!("{embedder} cannot read the query")))
            }
            Err(problem) => (None, Mode::Keyword(problem.detail)),
        };
        let stages = Stages { embed: started.elapsed(), ..Stages::default() };
        self.search_near(reader, &search, query, vector, mode, stages).await
    }

    /// [`Memories::search`] for who has the query's vector already, by the embedder with this digest.
    ///
    /// # Errors
    /// As there.
    pub async fn search_embedded(
        &self,
        reader: &ReadAccess,
        search: &Search,
        digest: &str,
        vector: &[f32],
    ) -> Result<SearchResults, Problem> {
        let embedder_id = EmbedderId { digest: digest.to_owned(), dimension: vector.len() };
        let vector = Some((embedder_id, Quantized::of(vector)));
        let stages = Stages::default();
        self.search_near(reader, search, search.query.trim(), vector, Mode::Hybrid, stages).await
    }

    async fn search_near(
        &self,
        reader: &ReadAccess,
        search: &Search,
        query: &str,
        vector: Option<(EmbedderId, Quantized)>,
        mode: Mode,
        mut stages: Stages,
    ) -> Result<SearchResults, Problem> {
        let limit = if search.rerank { search.limit.max(rerank::READ_MAX) } else { search.limit };
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
            found.truncate(search.limit);
            stages.rerank = started.elapsed();
        }
        let started = Instant::now();
        let mut hits = self.load_hits(reader, found, &memories, search.detail).await?;
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
        Ok(SearchResults { hits, mode, tokens, left_out, stages })
    }

    /// Puts the best of what was found in the reranker's order, the rest behind; returns what it gave each memory.
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
            hit.score = score * index::strength_factor(hit.retrievability, hit.recency);
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
        vector: Option<(EmbedderId, Quantized)>,
        stages: &mut Stages,
    ) -> Result<Vec<(index::IndexHit, Vec<i64>)>, Problem> {
        let words = Terms::of(query);
        let unreadable = vector.is_none() && readable::nonsense_of(query).is_some();
        let share_min = if unreadable { UNREADABLE_SHARE_MIN } else { 0.0 };
        let (filter, weight) = (search.filter.clone(), search.keyword_weight);
        let embedder_id = vector.as_ref().map(|(embedder_id, _)| embedder_id.clone());
        let look = move |index: &Index| {
            // An index that is still by another embedder is searched by its words.
            let other =
                vector.as_ref().is_some_and(|(embedder_id, _)| index.embedder_id() != Some(embedder_id));
            let query = Query {
                words: &words,
                share_min,
                vector: vector.as_ref().filter(|_| !other).map(|(_, vector)| vector),
                filter: &filter,
                now: Timestamp::now(),
                limit: limit.saturating_mul(2),
                weight: weight.unwrap_or(KEYWORD_WEIGHT),
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
        stages.words += searched.words;
        stages.scan += searched.scan;
        stages.index += started.elapsed().saturating_sub(searched.words + searched.scan);
        if other {
            // The embedder was exchanged: what is there needs vectors of the new one.
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
            // Gone since the index was read.
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
                retrievability: hit.retrievability,
                recency: hit.recency,
                relevance: None,
                neighbours,
            });
        }
        Ok(hits)
    }

    /// The first hits that fit in a budget together, each as it is `told`; a longer one does not keep shorter ones out.
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

/// Puts what says the same as a better hit behind it.
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

/// What is told of a memory, and whether it is less than all.
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

/// The beginning of a text on one line.
fn line(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(BRIEF_CHARS).collect()
}
