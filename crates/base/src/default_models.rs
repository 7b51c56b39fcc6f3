//! The names that stand for the default models in every API.
//!
//! `lar-catalog` maps each of them to an installed model.

/// The alias of the chat model for requests that name no model.
pub const DEFAULT_CHAT: &str = "default";
/// The alias of the embedder for requests that name no model.
pub const DEFAULT_EMBEDDING: &str = "default-embedding";
/// The alias of the reranker for requests that name no model.
pub const DEFAULT_RERANK: &str = "default-rerank";
