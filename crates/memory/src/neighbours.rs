//! The memories that are nearest to a text, by words and by vector, for comparisons with it.

use lar_base::{Caller, Problem, SpaceId, Timestamp};
use lar_store::{Memory, Vectors};
use lar_text::statements::SimilarityThresholds;
use lar_text::terms::{QueryTerms, QueryWord};

use crate::Memories;
use crate::embed::EmbeddedQuery;
use crate::index::{EmbedderId, Filter, Index, Query};
use crate::vectors::{self, Quantized};

/// The weight of the keyword score. With one half, neither different words nor another language hides a memory.
const KEYWORD_WEIGHT: f32 = 0.5;
/// The similarity from which two texts that share words count as being about the same thing. Chosen on the calibration
/// pairs with MiniLM. Without a usable embedder, only the words decide.
const SIMILARITY_THRESHOLDS: SimilarityThresholds = SimilarityThresholds { related: 0.4 };

/// A text whose neighbours are searched.
#[derive(Debug, Clone)]
pub(crate) struct NeighbourQuery {
    /// The text.
    pub(crate) content: String,
    /// The project of the neighbours; `None` for those without a project.
    pub(crate) project: Option<String>,
    /// The vectors of the text, of which the first counts; `None` searches by words only.
    pub(crate) vectors: Option<Vectors>,
    /// The most neighbours.
    pub(crate) limit: usize,
    /// The words whose frequencies are returned.
    pub(crate) words: Vec<QueryWord>,
}

/// The neighbours of a text.
#[derive(Debug, Clone)]
pub(crate) struct Neighbours {
    /// The current memories, nearest first.
    pub(crate) found: Vec<Neighbour>,
    /// About how many chunks of the space contain each of the query's words.
    pub(crate) frequencies: Vec<usize>,
    /// The number of memories in the space.
    pub(crate) memories: usize,
}

/// A memory near a text.
#[derive(Debug, Clone)]
pub(crate) struct Neighbour {
    /// The memory.
    pub(crate) memory: Memory,
    /// The similarity with the thresholds for it; `None` without comparable vectors.
    pub(crate) similarity: Option<(f32, SimilarityThresholds)>,
    /// The share of the text's words that the memory contains, weighted by rarity, 0 to 1.
    pub(crate) presence: f32,
}

impl Memories {
    /// Returns the current memories of a space that are nearest to a text.
    ///
    /// If the embedder is not measured yet, it is measured for this caller, and without one only words count.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn neighbours(
        &self,
        space: SpaceId,
        query: NeighbourQuery,
        caller: Option<&Caller>,
    ) -> Result<Neighbours, Problem> {
        let NeighbourQuery { content, project, vectors, limit, words: counted } = query;
        let embedded = self.first_vector(vectors.as_ref(), caller).await;
        let embedder_id = embedded.as_ref().map(|embedded| embedded.embedder_id.clone());
        let words = QueryTerms::of(&content);
        let filter = Filter { project: project.clone(), ..Filter::default() };
        let look = move |index: &Index| {
            let vector =
                embedded.as_ref().filter(|embedded| index.embedder_id() == Some(&embedded.embedder_id));
            let query = Query {
                words: &words,
                share_min: 0.0,
                vector: vector.map(|embedded| (&embedded.vector, embedded.map)),
                times: &[],
                filter: &filter,
                now: Timestamp::now(),
                limit,
                weight: KEYWORD_WEIGHT,
            };
            let frequencies = counted.iter().map(|word| index.frequency(word)).collect();
            (index.search(&query).hits, frequencies, index.len())
        };
        let (hits, frequencies, memories) = self.indexes.search(space, embedder_id.as_ref(), look).await?;
        let seqs = hits.iter().map(|hit| hit.memory).collect();
        let loaded = self.store.memories_by_seq(vec![space], seqs).await?;
        let found = hits.into_iter().filter_map(|hit| {
            let memory = loaded.iter().find(|memory| memory.seq == hit.memory)?;
            let is_candidate = memory.superseded.is_none() && memory.project == project;
            is_candidate.then(|| Neighbour {
                memory: memory.clone(),
                similarity: hit.similarity.map(|similarity| (similarity, SIMILARITY_THRESHOLDS)),
                presence: hit.presence.of_all,
            })
        });
        Ok(Neighbours { found: found.collect(), frequencies, memories })
    }

    /// Returns the first vector of a chunk for comparisons with memories. `None` without a vector or if the embedder
    /// separates no texts.
    async fn first_vector(
        &self,
        vectors: Option<&Vectors>,
        caller: Option<&Caller>,
    ) -> Option<EmbeddedQuery> {
        let Vectors { embedder, bytes } = vectors?;
        let scale = match caller {
            Some(caller) => self
                .embeddings
                .scale(caller, embedder)
                .await
                .inspect_err(|problem| tracing::debug!(%problem, "could not measure the embedder"))
                .ok()?,
            None => self.embeddings.measured_scale(embedder),
        };
        let map = scale?.memories;
        let dimension = embedder.dimension as usize;
        let (scale, bytes) = vectors::decode(bytes, dimension).next()?;
        let vector = Quantized { scale, bytes: bytes.iter().map(|byte| byte.cast_signed()).collect() };
        let embedder_id = EmbedderId { digest: embedder.digest.clone(), dimension };
        Some(EmbeddedQuery { embedder_id, vector, map })
    }
}
