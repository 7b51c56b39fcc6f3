//! The wire types of `POST /lar/v1/memories/batch/dry-run`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The decision that saving a memory would lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DryRunOutcome {
    /// The memory would be saved.
    Create,
    /// The same memory exists, or an earlier one of the request is the same.
    Duplicate,
    /// The memory would be refused.
    Refuse,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The decision about one memory of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRunResult {
    /// The decision.
    pub outcome: DryRunOutcome,
    /// For `duplicate`, the id of the memory that exists, `mem_…`; absent if the same memory is in the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For `create`, the names of the rules whose secrets would be removed from the text; absent if there are
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
    /// For `refuse`, the reason, for people; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The decisions about the memories of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRunResults {
    /// One decision per memory, in the order of the request.
    pub items: Vec<DryRunResult>,
}
