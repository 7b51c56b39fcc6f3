//! The memories that are nearest to a text, by words and by vector, for comparisons with it.

use lar_base::{Problem, SpaceId, Timestamp};
use lar_store::{Memory, Vectors};
use lar_text::statements::SimilarityThresholds;
use lar_text::terms::{QueryTerms, QueryWord};

use crate::Memories;
use crate::index::{EmbedderId, Filter, Index, Query};
use crate::vectors::{self, Quantized};

/// The weight of the keyword score. With one half, neither different words nor another language hides a memory.
const KEYWORD_WEIGHT: f32 = 0.5;
/// The embedder that [`SIMILARITY_THRESHOLDS`] was calibrated for: all-MiniLM-L6-v2, by the digest of its
/// weights.
const CALIBRATED_EMBEDDER: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
/// The cosine from which two texts that share words count as being about the same thing. Chosen on the
/// calibration pairs. With another embedder, only the words decide.
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
    /// The cosine of the vectors with the embedder's thresholds; `None` if it is unknown or the embedder has no
    /// thresholds.
    pub(crate) similarity: Option<(f32, SimilarityThresholds)>,
    /// The share of the text's words that the memory contains, weighted by rarity, 0 to 1.
    pub(crate) presence: f32,
}

impl Memories {
    /// Returns the current memories of a space that are nearest to a text.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn neighbours(
        &self,
        space: SpaceId,
        query: NeighbourQuery,
    ) -> Result<Neighbours, Problem> {
        let NeighbourQuery { content, project, vectors, limit, words: counted } = query;
        let vector = vectors.as_ref().and_then(first_vector);
        let embedder_id = vector.as_ref().map(|(embedder_id, _)| embedder_id.clone());
        let words = QueryTerms::of(&content);
        let filter = Filter { project: project.clone(), ..Filter::default() };
        let look = move |index: &Index| {
            let vector = vector.as_ref().filter(|(embedder_id, _)| index.embedder_id() == Some(embedder_id));
            let query = Query {
                words: &words,
                share_min: 0.0,
                vector: vector.map(|(_, vector)| vector),
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
        let thresholds = embedder_id
            .filter(|embedder_id| embedder_id.digest == CALIBRATED_EMBEDDER)
            .map(|_| SIMILARITY_THRESHOLDS);
        let seqs = hits.iter().map(|hit| hit.memory).collect();
        let loaded = self.store.memories_by_seq(vec![space], seqs).await?;
        let found = hits.into_iter().filter_map(|hit| {
            let memory = loaded.iter().find(|memory| memory.seq == hit.memory)?;
            let is_candidate = memory.superseded.is_none() && memory.project == project;
            is_candidate.then(|| Neighbour {
                memory: memory.clone(),
                similarity: hit.similarity.zip(thresholds),
                presence: hit.presence.of_all,
            })
        });
        Ok(Neighbours { found: found.collect(), frequencies, memories })
    }
}

/// Returns the first vector of a chunk, with its embedder.
fn first_vector(vectors: &Vectors) -> Option<(EmbedderId, Quantized)> {
    let dimension = vectors.embedder.dimension as usize;
    let (scale, bytes) = vectors::decode(&vectors.bytes, dimension).next()?;
    let bytes = bytes.iter().map(|byte| byte.cast_signed()).collect();
    let embedder_id = EmbedderId { digest: vectors.embedder.digest.clone(), dimension };
    Some((embedder_id, Quantized { scale, bytes }))
}
