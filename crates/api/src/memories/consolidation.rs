//! The wire types of `/lar/v1/memories/consolidation`: what Lar finds when it compares memories in idle hours, and
//! the decisions of a person about that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ingest::Difference;
use super::links::LinkedMemory;
use super::written::WrittenMemory;

/// The present work of consolidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsolidationActivity {
    /// The setting `memory.consolidation` turns it off.
    Off,
    /// There is nothing to compare, or too many findings wait for a person.
    Idle,
    /// There are memories to compare. Lar waits until nothing else has run for a while.
    Waiting,
    /// Lar compares memories.
    Comparing,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The state of consolidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consolidation {
    /// The present work, for any user: `off`, `idle`, `waiting` or `comparing`.
    pub activity: ConsolidationActivity,
    /// The number of memories that are not compared yet.
    pub to_compare: u64,
    /// The number of proposals that wait for a person.
    pub open_proposals: u64,
    /// The number of links from runs that wait for a person. `GET …/links` lists them.
    pub open_links: u64,
}

/// A run of consolidation in one space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsolidationRun {
    /// The run's id, `run_…`.
    pub id: String,
    /// The id of its space, `space_…`.
    pub space: String,
    /// The id of the key that started it, `key_…`; absent if Lar started it in idle hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// When it started (RFC 3339).
    pub started_at: String,
    /// When it ended (RFC 3339); absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When it was last undone (RFC 3339); absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<String>,
    /// The number of memories that it compared with their neighbours.
    pub memories: u64,
    /// The number of pairs that it compared.
    pub pairs: u64,
    /// The number of duplicates that it proposed.
    pub duplicates: u64,
    /// The number of links that it created.
    pub links: u64,
    /// The number of themes that it proposed.
    pub themes: u64,
    /// The number of its proposals and links that wait for a person.
    pub open: u64,
    /// The number of its proposals that are accepted and not undone.
    pub accepted: u64,
}

/// The kind of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalKind {
    /// One memory says nothing that another one does not say.
    Duplicate,
    /// Several memories are about the same thing and have no tag in common.
    Theme,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A change that Lar proposes. Nothing changes until a person accepts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    /// The proposal's id, `prop_…`.
    pub id: String,
    /// The id of the run that made it, `run_…`.
    pub run: String,
    /// The kind: `duplicate` or `theme`.
    pub kind: ProposalKind,
    /// Why Lar proposes it, for people.
    pub reason: String,
    /// Of a duplicate, the memory that stays. It gets the tags of the other one. Absent for a theme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<LinkedMemory>,
    /// Of a duplicate, the memory that `keep` supersedes; absent for a theme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersede: Option<LinkedMemory>,
    /// Of a duplicate, the difference from the text of `supersede` to that of `keep`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<Difference>,
    /// Of a theme, the tag that its memories get; absent for a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Of a theme, its memories, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memories: Vec<LinkedMemory>,
    /// The id of the space of all its memories, `space_…`.
    pub space: String,
    /// When Lar made it (RFC 3339).
    pub created_at: String,
}

/// The result of accepting a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedProposal {
    /// The changed memories: of a duplicate, the one that stays and then the superseded one; of a theme, those that
    /// got the tag. Undo of any of them reverts the change in all.
    pub memories: Vec<WrittenMemory>,
}

/// A proposal that could not be accepted with the others of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalConflict {
    /// The proposal's id, `prop_…`.
    pub proposal: String,
    /// Why it could not be accepted.
    pub reason: String,
}

/// The result of accepting all open proposals of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedRun {
    /// The ids of the accepted proposals, `prop_…`, in order.
    pub accepted: Vec<String>,
    /// The proposals that could not be accepted. They stay open, unless their memories are no longer current.
    pub conflicts: Vec<ProposalConflict>,
}

/// A change of a run that could not be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UndoConflict {
    /// The id of one of the memories of the change, `mem_…`.
    pub memory: String,
    /// Why it could not be undone.
    pub reason: String,
}

/// The result of undoing a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UndoneRun {
    /// The memories that are as they were before the run.
    pub memories: Vec<WrittenMemory>,
    /// The number of open proposals and links that were withdrawn.
    pub withdrawn: u64,
    /// The changes that stay, because a memory changed since.
    pub conflicts: Vec<UndoConflict>,
}
