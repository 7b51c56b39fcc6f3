//! The wire types of Lar's own API.
//!
//! Types only: `server` converts them to and from the types of the other crates, and `cli` sends them. The API is
//! strict (an unknown field is an error) and has an OpenAPI description. The types of the compatible APIs are in
//! `lar-compat`.
//!
//! A response field with a fixed set of values has an enum type. A request field is a `String`, so that the
//! server's error can list the accepted values; `server/src/openapi/complete.rs` adds them to the schema. Only
//! the workload and the priority of a new task are enums. Fields copied from a stored row, and the roles of
//! messages, are `String` with `#[schema(value_type)]`.

pub mod backups;
pub mod clients;
pub mod conversations;
mod display;
pub mod keys;
pub mod memories;
pub mod models;
pub mod problem;
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
