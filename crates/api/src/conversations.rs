//! Conversations and what is said in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A conversation to be started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConversation {
    /// Made from the first message where absent.
    #[serde(default)]
    pub title: Option<String>,
    /// The model to talk to; `default` where absent.
    #[serde(default)]
    pub model: Option<String>,
    /// Neither recalls nor remembers, is in no list, and goes a day after its last word.
    #[serde(default)]
    pub temporary: bool,
    /// A system prompt, up to 1 MiB: the conversation's first message, of role `system`.
    #[serde(default)]
    pub system: Option<String>,
}

/// A change of a conversation; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationPatch {
    /// 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A model's name or an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The message whose branch is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// `false` brings a deleted conversation back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// A conversation; its messages only where one was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Conversation {
    pub id: String,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// It neither recalls nor remembers, is in no list, and goes a day after its last word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// Also the ETag; `If-Match` names it.
    pub version: i64,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// The task that is writing an answer now; follow it at `tasks/{id}/stream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_task: Option<String>,
    /// All branches, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Where a search found its words, each between U+0002 and U+0003.
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
    /// What a reasoning model produced before the answer.
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
    /// Why a complete answer ended: `stop`, or `length` where tokens or context ran out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// `good` or `bad`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<String>,
    /// What memory did in the turn of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryActivity>,
    pub created_at: String,
}

/// What memory did in a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryActivity {
    /// What the answer was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<Recalled>,
    /// What was remembered; `undo` of the memory takes it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<Saved>,
    /// What was forgotten; `undo` of the memory brings it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Forgotten>,
    /// What waits in the inbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Suggested>,
    /// Why something that was asked for was not done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// A memory that an answer was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct Recalled {
    pub id: String,
    /// Empty where the memory was erased since, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// When it happened or was remembered.
    pub day: String,
    /// 0 to 1.
    pub score: f32,
    /// What the score is made of.
    pub reason: String,
    /// Whether the answer says what it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cited: bool,
}

/// The event `citations` of a turn, before its end: the recalled memories that the answer says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Citations {
    /// Their ids.
    pub memories: Vec<String>,
}

/// Something that was remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Decided`")]
pub struct Saved {
    pub id: String,
    pub decision: String,
    /// Empty where the memory was erased since, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The text that it replaced. Absent where it replaced none, where that was erased since, and for a key without `memory:read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// Which memory that is the text of: this one, or the one that it superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of_id: Option<String>,
    /// The decision, for `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A memory that was forgotten; without an id where it had waited only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct Forgotten {
    pub id: String,
    /// Empty where the memory was erased since, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The decision, for `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// Something that waits in the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "as in `Candidate`")]
pub struct Suggested {
    pub content: String,
}

/// Something said, to be answered; the answer is the stream of its task, after a `message` event that
/// holds a [`TurnStarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The text.
    pub content: String,
    /// The message it follows; the conversation's head where absent, `null` for a new beginning.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub parent: Option<Option<String>>,
    /// The model to use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Tokens of the answer at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Starts the random choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

/// Another text in place of a person's message, on a branch of its own; or, without `content`, another
/// answer to the message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The new text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The model to use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Tokens of the answer at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Starts the random choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

/// The data of the first event of a turn's stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnStarted {
    /// The conversation's title, which its first message may just have made.
    pub title: String,
    /// What was said, as stored.
    pub question: Message,
    /// The answer, still empty.
    pub answer: Message,
    /// The task that writes it.
    pub task_id: String,
}

/// What a reader thought of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// `good`, `bad`, or `null` to take it back.
    pub rating: Option<String>,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportResult {
    /// Conversations that are new.
    pub imported: usize,
    /// Those that were there already and stay as they are.
    pub unchanged: usize,
}
