//! The wire types of `/lar/v1/keys` and of the sign-in of a browser.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A permission of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyScope {
    /// Uses models; sees and cancels the key's own tasks; sees the key's own usage.
    Inference,
    /// Reads, writes, exports, imports and erases the user's conversations. With `inference`, also starts
    /// turns, and sees the tasks and the usage of all of the user's keys.
    Conversations,
    /// Searches, reads and exports memories, with their history.
    #[serde(rename = "memory:read")]
    MemoryRead,
    /// Saves, changes and forgets memories.
    #[serde(rename = "memory:write")]
    MemoryWrite,
    /// Manages models, keys, users, backups and sign-in links; reads the Prometheus metrics.
    Admin,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The memory mode of requests to the compatible APIs. Each mode includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryMode {
    /// Memory is not used.
    Off,
    /// Recalled memories are added to the prompt.
    Recall,
    /// The user's messages also save, correct and forget memories.
    Remember,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A request to create an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The name of the key: one line of 1 to 100 characters.
    pub name: String,
    /// Any of `inference`, `conversations`, `memory:read`, `memory:write` and `admin`, but only scopes that
    /// one of the user's keys has; the owner's keys may have all. If missing: `inference`, `memory:read` and
    /// `memory:write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The agent that the key is for: 1 to 64 letters, digits and `-_.:@`, not starting with a dot. The key
    /// sees only the memories of this agent. If missing, the key is for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The key's own rate limit, in requests per minute, at least 1. If missing, the setting
    /// `limits.requests_per_minute` applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The memory mode of the key's requests to the compatible APIs: `off` (the default), `recall` (needs the
    /// scope `memory:read`) or `remember` (needs `memory:write`). A request can set its own mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The client that the key is for, by the name that `lar connect` uses, such as `codex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Seconds from now until the key expires: 1 to 3,153,600,000, which is a hundred years. If missing, the
    /// key never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The key's id, `key_…`. It is not secret.
    pub id: String,
    /// The name of the key, as given at its creation: one line of 1 to 100 characters.
    pub name: String,
    /// Eight hexadecimal digits that identify the key in lists and logs. They are not secret.
    pub fingerprint: String,
    /// The scopes of the key: any of `inference`, `conversations`, `memory:read`, `memory:write` and `admin`.
    pub scopes: Vec<KeyScope>,
    /// Scopes that an upgrade of Lar removed from the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_scopes: Vec<KeyScope>,
    /// The agent that the key is for; absent for a key of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The key's own rate limit, in requests per minute; absent if the setting `limits.requests_per_minute`
    /// applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The memory mode of requests that do not set their own: `off`, `recall` or `remember`.
    pub memory: MemoryMode,
    /// The client that the key is for, by the name that `lar connect` uses; absent if no client was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When the key was created (RFC 3339).
    pub created_at: String,
    /// When the key was last used, to the minute (RFC 3339); absent before the first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
    /// When the key expires or expired (RFC 3339); absent if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When the key was revoked (RFC 3339); absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// The secret, `lar_…`; only in the response that creates the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A link that signs in a browser once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInLink {
    /// The address to open in a browser; the secret follows the `#`.
    pub url: String,
    /// When the link expires (RFC 3339): ten minutes after its creation. It also expires with its first use.
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
pub struct Me {
    /// The id of the user, `user_…`.
    pub user_id: String,
    /// The id of the key, `key_…`. The session of a browser has the key that its sign-in link was created
    /// with.
    pub key_id: String,
    /// The scopes of the request: those of the key. A request without its own key never has `conversations`
    /// or `admin`.
    pub scopes: Vec<KeyScope>,
}
