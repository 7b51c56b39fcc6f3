//! The wire types of `/lar/v1/spaces`: memory spaces and the access that users have to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The kind of a memory space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpaceKind {
    /// The space of a user's own memories.
    Personal,
    /// The space of one of the user's agents, apart from the user's own memories.
    Agent,
    /// A space that several users share, by grants of access.
    Team,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The access of the calling user to a space. Each level includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpaceAccess {
    /// Searches and reads the memories.
    Read,
    /// Also saves, changes and forgets memories.
    Write,
    /// Also grants other users access, to a team space.
    Own,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The access that a grant gives to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantAccess {
    /// Searches and reads the memories.
    Read,
    /// Also saves, changes and forgets memories.
    Write,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A memory space, as the calling user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Space {
    /// The space's id, `space_…`.
    pub id: String,
    /// The kind of the space: `personal`, `agent` or `team`.
    pub kind: SpaceKind,
    /// The agent's name; only for an `agent` space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The team's name; only for a `team` space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user's access: `read`, `write`, or `own` (write, and grant access to others).
    pub access: SpaceAccess,
    /// When the space was created (RFC 3339).
    pub created_at: String,
}

/// A request to create a team space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSpace {
    /// The team's name: 1 to 64 letters, digits and `-_.:@`, not starting with a dot. No other team may have
    /// it.
    pub name: String,
}

/// A request to grant a user access to a team space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// The user's name or id.
    pub user: String,
    /// The access to grant: `read` or `write`. It replaces the access that the user has.
    pub access: String,
}

/// The access of one user to a team space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// The user's id, `user_…`.
    pub user_id: String,
    /// The name of the user who has the access.
    pub user: String,
    /// The user's access: `read` or `write`.
    pub access: GrantAccess,
    /// When the access was granted (RFC 3339).
    pub granted_at: String,
}
