//! The wire types of `POST /lar/v1/memories/batch/dry-run` and `POST /lar/v1/memories/import/dry-run`.

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

/// The decision about one line of the dry run of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportLineResult {
    /// The number of the line in the request, starting at 1.
    pub line: usize,
    /// The decision: `create`, `duplicate` if the memory or the intention exists or an earlier line is the same, or
    /// `refuse`.
    pub outcome: DryRunOutcome,
    /// The id in the line, `mem_…` or `int_…`; absent for `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The digest of the text and the other fields that tell memories apart. Of several lines with the same digest,
    /// the first is imported. Absent if the line is imported also beside the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether the line is an active intention; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active_intention: bool,
    /// For `refuse`, the reason, for people; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The decisions about the lines of the dry run of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportDryRun {
    /// One decision per line, in the order of the request.
    pub items: Vec<ImportLineResult>,
    /// The number of active intentions that the space can still have before this request.
    pub active_intentions_left: u32,
}
