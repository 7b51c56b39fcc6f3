//! Wire types of `GET /lar/v1/clients`. The recipes behind them are in `crates/clients`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// The scopes of the client's API key.
    pub scopes: Vec<String>,
    /// The texts to write and commands to run that connect the client by hand.
    pub by_hand: Vec<Snippet>,
    /// The steps after that, such as a restart of the client.
    pub then: String,
    /// The ID of the client's API key; missing if the client is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The time of the last request with the client's API key; missing if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
}

/// A text to copy: the content of a file, or an example to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snippet {
    /// The file that the text belongs in; missing for an example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The text.
    pub text: String,
}
