//! The wire types of `/lar/v1/keys` and of the sign-in of a browser.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request to create an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The name of the key, 1 to 100 characters.
    pub name: String,
    /// Any of `inference`, `conversations`, `memory:read`, `memory:write` and `admin`. If missing:
    /// `inference`, `memory:read` and `memory:write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The agent that the key is for. The key sees only the memories of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The key's own rate limit, in requests per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The memory mode of the key's requests to the compatible APIs: `off` (the default), `recall` or
    /// `remember`. A request can set its own mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The client that the key is for, by the name that `lar connect` uses, such as `codex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Seconds from now until the key expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Key {
    pub id: String,
    pub name: String,
    /// Identifies the key in lists and logs; not secret.
    pub fingerprint: String,
    pub scopes: Vec<String>,
    /// Scopes that an upgrade of Lar removed from the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_scopes: Vec<String>,
    /// The agent that the key is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The memory mode of requests that do not set their own: `off`, `recall` or `remember`.
    pub memory: String,
    /// The client that the key is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    pub created_at: String,
    /// When the key was last used, to the minute; absent before the first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// The secret; only in the response that creates the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A link that signs in a browser once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInLink {
    /// The address to open in a browser; the secret follows the `#`.
    pub url: String,
    /// When the link expires (RFC 3339).
    pub expires_at: String,
}

/// The secret of a sign-in link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The part of the link after the `#`, without `sign-in=`.
    pub secret: String,
}

/// The caller: its user, key and scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Me {
    pub user_id: String,
    pub key_id: String,
    pub scopes: Vec<String>,
}
