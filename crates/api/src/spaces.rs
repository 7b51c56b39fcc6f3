//! The wire types of `/lar/v1/spaces`: memory spaces and the access that users have to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A memory space, as the calling user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Space {
    /// The space's id.
    pub id: String,
    /// `personal`, `agent` or `team`.
    pub kind: String,
    /// The agent's name, for an `agent` space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The team's name, for a `team` space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user's access: `read`, `write`, or `own` (write, and grant access to others).
    pub access: String,
    /// When the space was created (RFC 3339).
    pub created_at: String,
}

/// A request to create a team space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSpace {
    /// The team's name: 1 to 64 letters, digits and `-_.:@`.
    pub name: String,
}

/// A request to grant a user access to a team space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// The user's name or id.
    pub user: String,
    /// The access to grant: `read` or `write`.
    pub access: String,
}

/// The access of one user to a team space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user: String,
    /// `read` or `write`.
    pub access: String,
    /// When the access was granted (RFC 3339).
    pub granted_at: String,
}
