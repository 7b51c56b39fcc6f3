//! Wire types of `GET /lar/v1/clients`. The recipes behind them are in `crates/clients`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::keys::KeyScope;

/// A client that can be connected to Lar, and how to connect it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientCard {
    /// The name of the client on the command line, such as `claude-code`.
    pub name: String,
    /// The name of the client for people, such as `Claude Code`.
    pub title: String,
    /// The features that the client gets from Lar, on one line.
    pub about: String,
    /// The command that connects the client, on the machine where Lar runs.
    pub command: String,
    /// The scopes that the client's API key needs: any of `inference`, `conversations`, `memory:read`,
    /// `memory:write` and `admin`.
    pub scopes: Vec<KeyScope>,
    /// The texts to write and commands to run that connect the client by hand. Replace the placeholders, such
    /// as `lar_YOUR_KEY`.
    pub by_hand: Vec<Snippet>,
    /// The step that is left to the user after that, such as a restart of the client.
    pub then: String,
    /// The id of the client's newest API key that is not revoked; absent if the client is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When that key was last used, to the minute (RFC 3339); absent before the first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
}

/// A text to copy: the content of a file, or an example to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snippet {
    /// The path of the file that the text belongs in, as it usually is, such as `~/.codex/config.toml`;
    /// absent for an example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The text to put into `file`, or the example to run, with placeholders such as `lar_YOUR_KEY`.
    pub text: String,
}
