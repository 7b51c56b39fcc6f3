//! The results of a search: hits, the mode in which it ran, and the durations of its stages.

use std::time::Duration;

use lar_base::{LinkId, MemoryId, Timestamp};
use lar_store::{LinkRelation, Memory};

/// The mode in which a search ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Keywords and vectors.
    Hybrid,
    /// Keywords only, with the reason.
    Keyword(String),
}

/// A memory that another one superseded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The id of the memory that is no longer current.
    pub id: MemoryId,
    /// One line of its text, up to 160 characters.
    pub text: String,
    /// The time when it was superseded.
    pub until: Timestamp,
}

/// An open link of a result to another memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HitLink {
    /// The link, about which nobody has decided.
    pub id: LinkId,
    /// The other memory.
    pub memory: MemoryId,
    /// Whether the other memory is the newer one.
    pub is_newer: bool,
    /// The relation of the newer memory to the older one.
    pub relation: LinkRelation,
}

/// A search result.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The whole memory, as the store has it.
    pub memory: Memory,
    /// The returned text, as [`Detail`](super::Detail) says.
    pub text: String,
    /// Whether the text is shorter than the memory.
    pub is_truncated: bool,
    /// The relevance by which hits are sorted, 0 to 1; higher is better.
    pub score: f32,
    /// The BM25 score divided by the query's highest possible one, 0 to 1.
    pub keyword_score: f32,
    /// The cosine on MiniLM's scale, −1 to 1, or `None` without vectors.
    pub similarity: Option<f32>,
    /// The share of the query's words, by weight, that the memory contains in any form, 0 to 1.
    pub presence: f32,
    /// As `presence`, of those words that some memory contains.
    pub presence_of_known: f32,
    /// The probability of recalling the memory now, 0 to 1; 1 for memories that do not decay.
    pub retrievability: f32,
    /// The age factor, 0.97 to 1.
    pub recency: f32,
    /// The reranker's score, 0 to 1, which replaces the combined score.
    pub relevance: Option<f32>,
    /// Memories that differ only in punctuation, case and whitespace.
    pub duplicates: Vec<MemoryId>,
    /// Its open links to other memories.
    pub links: Vec<HitLink>,
    /// The memory that it superseded last; `None` if there is none.
    pub supersedes: Option<Superseded>,
    /// The previous and the next turn, with [`Detail::Full`](super::Detail::Full).
    pub neighbours: (Option<Memory>, Option<Memory>),
}

impl Hit {
    /// Returns whether a newer memory may make this one outdated.
    #[must_use]
    pub fn is_possibly_outdated(&self) -> bool {
        self.links.iter().any(|link| link.is_newer && link.relation == LinkRelation::MayReplace)
    }

    /// Returns whether the query does not match the memory, which is shown because it is linked with another hit.
    #[must_use]
    pub fn is_only_linked(&self) -> bool {
        self.keyword_score == 0.0 && self.similarity.is_none() && self.links.iter().any(|link| !link.is_newer)
    }

    /// Creates a hit with the whole text for a memory that no search found.
    pub(crate) fn whole(memory: Memory) -> Self {
        Self {
            text: memory.content.clone(),
            memory,
            is_truncated: false,
            score: 1.0,
            keyword_score: 0.0,
            similarity: None,
            presence: 0.0,
            presence_of_known: 0.0,
            retrievability: 1.0,
            recency: 1.0,
            relevance: None,
            duplicates: Vec::new(),
            links: Vec::new(),
            supersedes: None,
            neighbours: (None, None),
        }
    }

    /// Returns the text whose tokens count against a budget.
    pub(super) fn budget_text(&self) -> String {
        let (before, after) = &self.neighbours;
        let neighbours = [before, after].into_iter().flatten().map(|memory| memory.content.as_str());
        let superseded = self.supersedes.iter().map(|superseded| superseded.text.as_str());
        let texts = std::iter::once(self.text.as_str()).chain(superseded).chain(neighbours);
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// The results of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResults {
    /// The hits, best first. May be empty.
    pub hits: Vec<Hit>,
    /// Whether vectors were compared, or why only keywords were.
    pub mode: Mode,
    /// The similarity that hardly any text without a relation to the query reaches. It depends on the embedder, and
    /// may be more than 1.
    pub certain_similarity: f32,
    /// The tokens of all texts, if there is a budget.
    pub tokens: Option<usize>,
    /// The number of hits that did not fit in the budget.
    pub left_out: usize,
    /// The time that each stage of the search took.
    pub stages: Stages,
}

/// The durations of a search's stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Embedding the query.
    pub embed: Duration,
    /// Waiting for the indexes and folding duplicates.
    pub index: Duration,
    /// Computing keyword scores.
    pub keyword: Duration,
    /// Computing similarities, filtering, applying decay and age, and selecting the best.
    pub scan: Duration,
    /// Reading memories from the database.
    pub read: Duration,
    /// Computing the reranker's scores; 0 without reranking.
    pub rerank: Duration,
    /// Counting tokens for the budget.
    pub pack: Duration,
}

impl Stages {
    /// Returns each stage's name and duration, in order.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Duration); 7] {
        [
            ("embed", self.embed),
            ("index", self.index),
            ("keyword", self.keyword),
            ("scan", self.scan),
            ("read", self.read),
            ("rerank", self.rerank),
            ("pack", self.pack),
        ]
    }
}
