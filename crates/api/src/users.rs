//! The wire types of `/lar/v1/users`: the users who share this Lar.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request to invite a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The user's name: 1 to 64 letters, digits and `-_.:@`, not starting with a dot. No other user may have
    /// it.
    pub name: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The user's id, `user_…`.
    pub id: String,
    /// The user's name; `owner` is the user who set up this Lar.
    pub name: String,
    /// When the user was invited (RFC 3339).
    pub created_at: String,
    /// The secret of the user's first key, `lar_…`; only in the response to the invitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A link that signs in the user's browser; only in the response to the invitation. It is valid once, for
    /// ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in_url: Option<String>,
}
