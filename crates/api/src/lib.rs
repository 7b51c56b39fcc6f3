//! The wire types of every public API.
//!
//! Types and tables only: `server` converts them to tasks and back, and `cli` sends them. Lar's own API is
//! strict (an unknown field is an error) and has an OpenAPI description. The compatible APIs match what their
//! clients send and expect; one table per endpoint lists the support of each request field.

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

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows of the page, in the order of the list.
    pub data: Vec<T>,
    /// The value of `after` that requests the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Distinguishes a missing field (outer `None`) from one that is `null` (inner `None`).
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
