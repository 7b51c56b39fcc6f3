//! The wire types of every public API. Shapes only: converting them into tasks and back is `server`'s work,
//! sending them is `cli`'s.
//!
//! Ours are strict (an unknown field is an error) and described by OpenAPI; OpenAI's are as its clients
//! send and expect them, with a table of what becomes of each field.

pub mod anthropic;
pub mod backups;
pub mod clients;
pub mod conversations;
pub mod fields;
pub mod keys;
pub mod llama_cpp;
pub mod memories;
pub mod models;
pub mod ollama;
pub mod openai;
pub mod problem;
pub mod rerank;
pub mod spaces;
pub mod tasks;
pub mod users;

pub use problem::ProblemBody;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of a list. `after` of the next call is `next`, which is absent on the last page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows, in the list's own order.
    pub data: Vec<T>,
    /// What to pass as `after` for the page behind this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Tells an absent field (outer `None`) from one that is `null` (inner `None`).
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
