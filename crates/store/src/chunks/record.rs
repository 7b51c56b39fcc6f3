//! The types of chunks to be stored: their keyword entries, and their vectors of an embedding model.

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
