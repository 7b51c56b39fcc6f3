//! The types of chunks: as they are stored, as an index needs them, and as the backfill does.

use lar_base::{KeyId, SpaceId, Timestamp, UserId};

use crate::memories::MemoryKind;

/// An embedding model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Embedder {
    /// The SHA-256 of its weights in hexadecimal. Vectors of other embedders are not comparable.
    pub digest: String,
    /// The name of the model in the catalog, for people.
    pub name: String,
    /// The number of dimensions of its vectors.
    pub dimension: u32,
}

/// The vectors of a chunk's pieces, one after the other. Each has a scale (f32, little endian), then a signed
/// byte per dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vectors {
    /// The model that computed them.
    pub embedder: Embedder,
    /// The encoded vectors: a scale and one byte per dimension for each piece.
    pub bytes: Vec<u8>,
}

/// A chunk of a memory's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChunk {
    /// Its offset in the content in bytes.
    pub start: u32,
    /// The length of the chunk, in bytes.
    pub length: u32,
    /// Its keyword entry, in the format of the keyword index.
    pub words: Vec<u8>,
    /// Its vectors; `None` if there was no embedder.
    pub vectors: Option<Vectors>,
}

/// A chunk, as an index needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedChunk {
    /// Its number, which only grows.
    pub seq: i64,
    /// Its offset in the content in bytes.
    pub start: u32,
    /// The length of the chunk, in bytes.
    pub length: u32,
    /// Its keyword entry, as in [`NewChunk::words`].
    pub words: Vec<u8>,
    /// The digest of the embedder, and the vectors as in [`Vectors`]; `None` if it has no vectors.
    pub vectors: Option<(String, Vec<u8>)>,
}

/// A memory, as an index needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedMemory {
    /// Its number, which only grows.
    pub seq: i64,
    /// The number of its version, which each change increases by one.
    pub version: i64,
    /// The kind, by which a search can be filtered.
    pub kind: MemoryKind,
    /// The tags, in the order and case in which they were sent.
    pub tags: Vec<String>,
    /// The project that it belongs to; `None` if it belongs to none.
    pub project: Option<String>,
    /// When it happened or was said; `None` if unknown.
    pub occurred_at: Option<Timestamp>,
    /// The start of its validity; `None` if it has none.
    pub valid_from: Option<Timestamp>,
    /// The end of its validity; `None` if it has none.
    pub valid_to: Option<Timestamp>,
    /// When another memory superseded it; `None` if none did.
    pub superseded_at: Option<Timestamp>,
    /// Whether it is exempt from decay.
    pub pinned: bool,
    /// The days until the probability of recall falls to 0.9 (FSRS-6).
    pub stability: f64,
    /// When it was last reviewed or, before that, created.
    pub reviewed_at: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Its chunks, in the order of their offsets.
    pub chunks: Vec<IndexedChunk>,
    /// The keyword entry of the last chunk of the previous turn; `None` if it follows none.
    pub words_before: Option<Vec<u8>>,
    /// The keyword entry of the first chunk of the next turn; `None` if none follows it.
    pub words_after: Option<Vec<u8>>,
}

/// A chunk without vectors of the current embedder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnembeddedChunk {
    /// The number of the chunk, under which its vectors will be stored.
    pub seq: i64,
    /// The number of the memory that has the chunk, as in [`IndexedMemory::seq`].
    pub memory_seq: i64,
    /// The space of the memory that has the chunk.
    pub space: SpaceId,
    /// The owner of that space.
    pub user: UserId,
    /// The key that wrote its memory.
    pub key: KeyId,
    /// The text to embed: the part of the memory's content that the chunk covers.
    pub text: String,
}
