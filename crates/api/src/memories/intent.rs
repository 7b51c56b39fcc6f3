//! The wire types of `POST /lar/v1/memories/intents`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message that the user wrote in another app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserMessage {
    /// The user's own words, without text that the app added; not empty.
    pub content: String,
}

/// The changes that Lar made because of a `UserMessage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntentOutcome {
    /// The ids of the created or changed memories, `mem_…`.
    pub saved: Vec<String>,
    /// The ids of the forgotten memories, `mem_…`.
    pub forgotten: Vec<String>,
    /// The ids of the created intentions, `int_…`.
    pub scheduled: Vec<String>,
    /// The number of texts put into the inbox.
    pub suggested: usize,
    /// Deprecated: use `suggested`.
    #[schema(deprecated)]
    pub waiting: usize,
    /// For each request in the message that Lar did not carry out, the reason, for people.
    pub refused: Vec<String>,
}
