//! OpenAI's API, and the rerank endpoint that other vendors put beside it.

pub mod chat_completions;
pub mod completions;
mod custom_tools;
pub mod embeddings;
pub mod error;
pub mod rerank;
pub mod responses;
pub mod wire;
