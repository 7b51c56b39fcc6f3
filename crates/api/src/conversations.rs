//! The wire types of `/lar/v1/conversations`: conversations, their messages and the streams of their turns.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request to create a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConversation {
    /// The title; derived from the first message if missing.
    #[serde(default)]
    pub title: Option<String>,
    /// The model that answers; `default` if missing.
    #[serde(default)]
    pub model: Option<String>,
    /// Whether this is a temporary chat: no memory, not listed, deleted 24 hours after its last message.
    #[serde(default)]
    pub temporary: bool,
    /// The system prompt, up to 1 MiB. It becomes the first message, with the role `system`.
    #[serde(default)]
    pub system: Option<String>,
}

/// A change of a conversation. Missing fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationPatch {
    /// The title, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A model's name or an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The last message of the branch to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// `false` restores a deleted conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// A conversation. Only a request for a single conversation returns its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Conversation {
    pub id: String,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Whether this is a temporary chat: no memory, not listed, deleted 24 hours after its last message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// The version, also sent as `ETag`. Send it in `If-Match` to detect concurrent changes.
    pub version: i64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// The task that generates an answer now; stream it at `tasks/{id}/stream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_task: Option<String>,
    /// The messages of all branches, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// An excerpt that matches a search, with each found word between U+0002 and U+0003.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Message {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
    /// The reasoning that the model produced before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// `streaming`, `complete`, `stopped` or `failed`.
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_ms: Option<u64>,
    /// Why a complete answer ended: `stop`, or `length` if it reached `max_tokens` or filled the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// `good` or `bad`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<String>,
    /// For an answer, what memory did in its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryActivity>,
    pub created_at: String,
}

/// The memory activity in a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryActivity {
    /// The memories that Lar added to the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<Recalled>,
    /// The memories that Lar saved or changed; `undo` of the memory reverts this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<Saved>,
    /// The memories that Lar forgot; `undo` of the memory restores it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Forgotten>,
    /// The texts that Lar put into the inbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggested: Vec<Suggested>,
    /// Deprecated: use `suggested`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(deprecated)]
    pub waiting: Vec<Suggested>,
    /// For each request to memory that Lar did not carry out, the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// A memory that Lar added to the prompt of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct Recalled {
    pub id: String,
    /// The text; empty if the memory was erased, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The day of `occurred_at`, or else of `created_at`.
    pub day: String,
    /// The relevance, from 0 to 1.
    pub score: f32,
    /// The parts of the score, as text.
    pub reason: String,
    /// Whether the answer cites the memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cited: bool,
}

/// The data of a turn's event `citations`, sent before the last event: the recalled memories that the answer
/// cites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Citations {
    /// The ids of the memories.
    pub memories: Vec<String>,
}

/// A memory that a turn saved or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Decided`")]
pub struct Saved {
    pub id: String,
    pub decision: String,
    /// The text; empty if the memory was erased, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The replaced text; absent if there is none, if it was erased, and for a key without `memory:read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_content: Option<String>,
    /// The memory that had the replaced text: this one, or the one that it superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_id: Option<String>,
    /// Deprecated: use `superseded_content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    pub instead_of: Option<String>,
    /// Deprecated: use `superseded_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    pub instead_of_id: Option<String>,
    /// The decision to send to `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A memory that a turn forgot. The id is empty if the text was only in the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct Forgotten {
    pub id: String,
    /// The text; empty if the memory was erased, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The decision to send to `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A text that a turn put into the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Candidate`")]
pub struct Suggested {
    pub content: String,
}

/// A user message to answer. The response is the stream of the task, after a `message` event with a
/// [`TurnStarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The text.
    pub content: String,
    /// The message that this one follows. If missing, the conversation's head; `null` starts a new first
    /// message.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub parent: Option<Option<String>>,
    /// The model to use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The sampling temperature, from 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// The maximum number of tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The seed of the sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

/// A request to edit a user message, which creates a branch, or to regenerate an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The new text of the user message; required by `branch`, unused by `regenerate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The model to use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The sampling temperature, from 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// The maximum number of tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The seed of the sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

/// The data of the first event of a turn's stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnStarted {
    /// The conversation's title, which Lar may have just derived from its first message.
    pub title: String,
    /// The user message, as stored.
    pub question: Message,
    /// The answer, still empty.
    pub answer: Message,
    /// The task that generates the answer.
    pub task_id: String,
}

/// A rating of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// `good`, `bad`, or `null` to remove the rating.
    pub rating: Option<String>,
}

/// The result of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportResult {
    /// The number of imported conversations or memories.
    pub imported: usize,
    /// The number of conversations or memories that existed already and did not change.
    pub unchanged: usize,
}
