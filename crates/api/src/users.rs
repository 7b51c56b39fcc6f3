//! People who share a Lar.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person to be invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 64 letters, digits and `-_.:@`.
    pub name: String,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Their id.
    pub id: String,
    /// What they are called; `owner` is who set this Lar up.
    pub name: String,
    /// When they were invited.
    pub created_at: String,
    /// Their first key, shown once, to whoever invites them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A link that signs their browser in, once, within ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in_url: Option<String>,
}
