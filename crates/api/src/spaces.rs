//! Spaces that people share, and who may what in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where memories lie, as one person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Space {
    /// Its id.
    pub id: String,
    /// `personal`, `agent` or `team`.
    pub kind: String,
    /// The agent, of an agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The team, of a team's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What this person may do there: `read`, `write`, or `own` (also say who else may).
    pub access: String,
    /// When it was made.
    pub created_at: String,
}

/// A team's space to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSpace {
    /// 1 to 64 letters, digits and `-_.:@`.
    pub name: String,
}

/// What somebody is to be allowed in a team's space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Their name or id.
    pub user: String,
    /// `read` or `write`.
    pub access: String,
}

/// What somebody may do in a team's space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Their id.
    pub user_id: String,
    /// What they are called.
    pub user: String,
    /// `read` or `write`.
    pub access: String,
    /// Since when.
    pub granted_at: String,
}
