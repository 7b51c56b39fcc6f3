//! `/v1`: OpenAI's API for unmodified clients, and the rerank endpoint that other vendors put beside it.
//!
//! Each endpoint has its own module. `lar-compat` decodes their requests and encodes their responses.

pub(crate) mod chat_completions;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod models;
pub(crate) mod rerank;
pub(crate) mod responses;
