//! The wire types of `/lar/v1/conversations`: conversations, their messages and the streams of their turns.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::memories::IngestDecision;

/// A request to create a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConversation {
    /// The title: one line of 1 to 200 characters. If missing, Lar derives it from the first user message.
    #[serde(default)]
    pub title: Option<String>,
    /// The name or an alias of the chat model that answers; `default` if missing.
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
    /// The new title: one line of 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The name or an alias of the chat model that answers from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The id of the last message of the branch to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// `false` restores a deleted conversation, and `true` deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// A conversation. Only a request for a single conversation returns its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// The conversation's id, `conv_…`.
    pub id: String,
    /// The title, up to 200 characters; empty until the first user message if no title was set.
    pub title: String,
    /// The model that answers: the one of the last answer, or the one that was set since. Absent if neither
    /// exists; `default` answers then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The id of the last message of the branch to show; absent while there are no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Whether this is a temporary chat: no memory, not listed, deleted 24 hours after its last message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// The version, also sent as `ETag`. It grows with each turn and each change. Send it in `If-Match` to
    /// detect concurrent changes.
    pub version: i64,
    /// When the conversation was created (RFC 3339).
    pub created_at: String,
    /// When its last turn started, or else when it was created (RFC 3339). Changes do not count.
    pub updated_at: String,
    /// When the conversation was deleted (RFC 3339); absent if it is not. It can be restored for 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// The id of the task that generates an answer now; stream it at `tasks/{id}/stream`. Absent if there is
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_task: Option<String>,
    /// The messages of all branches, oldest first, each after its parent; only in the response for a single
    /// conversation and in an export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// An excerpt that matches a search, with each found word between U+0002 and U+0003; only in the results
    /// of a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageRole {
    /// The system prompt, which instructs the model and precedes the first turn.
    System,
    /// The user, who wrote the message.
    User,
    /// The model, which generated the message as an answer.
    Assistant,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// The model generates the answer.
    Streaming,
    /// The whole text is stored: a prompt, a user message, or an answer that ended by itself.
    Complete,
    /// The answer was stopped. Its text so far is kept.
    Stopped,
    /// The answer failed. Its text so far is kept.
    Failed,
}

/// The user's rating of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerRating {
    /// The user marked the answer as good.
    Good,
    /// The user marked the answer as bad.
    Bad,
}

/// A message of a conversation: the system prompt, a user message or an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// The message's id, `msg_…`.
    pub id: String,
    /// The id of the message that this one follows; absent for a first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The author: `system`, `user` or `assistant`.
    #[schema(value_type = MessageRole)]
    pub role: String,
    /// The text. That of a `streaming` answer is at most about a second old.
    pub content: String,
    /// The reasoning that the model produced before the answer, up to 1 MiB; absent if there is none, and
    /// while the answer is `streaming`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The state: `streaming` while the model generates the answer, then `complete`, `stopped` or `failed`. A
    /// stopped or failed answer keeps its text so far.
    #[schema(value_type = MessageStatus)]
    pub status: String,
    /// The name of the model that generated the answer; only for answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The id of the task that generates or generated the answer, `task_…`; only for answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The code of the error, such as `ENGINE_FAILED`; only for `failed` answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The number of prompt tokens; only for `complete` answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    /// The number of generated tokens; only for `complete` answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    /// The time from the admission of the task to the first token, in milliseconds; only for `complete`
    /// answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// The time from the first token to the end, in milliseconds; only for `complete` answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_ms: Option<u64>,
    /// Why a complete answer ended: `stop`, or `length` if it reached `max_tokens` or filled the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The user's rating: `good` or `bad`; absent if the message is not rated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AnswerRating>)]
    pub rating: Option<String>,
    /// The memory activity in the turn of an answer; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryActivity>,
    /// When the message was stored (RFC 3339). For an answer, that is the start of its turn.
    pub created_at: String,
}

/// The memory activity in a turn. Lists without entries are absent.
///
/// A key without the scope `memory:read` gets the ids, but not the texts of memories.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryActivity {
    /// The memories that Lar added to the prompt, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<Recalled>,
    /// The memories that Lar saved or changed; `undo` of the memory reverts this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<Saved>,
    /// The memories that Lar forgot; `undo` of the memory restores it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Forgotten>,
    /// The texts that Lar put into the inbox, because they may be worth saving.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggested: Vec<Suggested>,
    /// Deprecated: use `suggested`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(deprecated)]
    pub waiting: Vec<Suggested>,
    /// The memories that the user asked to list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<Listed>,
    /// The intentions of which the answer reminds the user, most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<Reminder>,
    /// The intentions that Lar created, because the user asked to be reminded; set their status to `cancelled` to
    /// undo this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled: Vec<Reminder>,
    /// For each request to memory that Lar did not carry out, the reason, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// A memory that Lar added to the prompt of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recalled {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// The text that Lar added; empty if the memory was erased, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The day of `occurred_at`, or else of `created_at`, as `YYYY-MM-DD`.
    pub day: String,
    /// The relevance, from 0 to 1.
    pub score: f32,
    /// The parts of the score, as text for people.
    pub reason: String,
    /// Whether a newer memory may make it outdated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub possibly_outdated: bool,
    /// Whether the answer cites the memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cited: bool,
}

/// The data of a turn's event `citations`, sent before the last event: the recalled memories that the answer
/// cites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Citations {
    /// The ids of the memories, `mem_…`.
    pub memories: Vec<String>,
}

/// A memory that a turn saved or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Saved {
    /// The id of the memory that has the text, `mem_…`.
    pub id: String,
    /// The decision of smart ingest: `create`, `reinforce`, `update`, `supersede` or `merge`.
    #[schema(value_type = IngestDecision)]
    pub decision: String,
    /// The text; empty if the memory was erased, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The text that an `update` or a `supersede` replaced. Absent if there is none, if it was erased, and
    /// for a key without `memory:read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_content: Option<String>,
    /// The id of the memory that had the replaced text: this one for `update`, or the one that it superseded.
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
    /// The id of the decision, `chg_…`, to send to `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A memory that a turn forgot, or a text that it removed from the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Forgotten {
    /// The memory's id, `mem_…`; empty if the text was only in the inbox.
    pub id: String,
    /// The text; empty if the memory was erased, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The id of the decision, `chg_…`, to send to `undo`; absent if the text was only in the inbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A text that a turn put into the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Suggested {
    /// The text: a sentence of the user's message.
    pub content: String,
    /// The id of the inbox entry, `cand_…`, to accept or reject it. Absent in old conversations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// The id of the memory that the text would make outdated, `mem_…`; absent if there is none.
    #[serde(default, alias = "instead_of_id", skip_serializing_if = "Option::is_none")]
    pub outdated_id: Option<String>,
    /// The text of that memory. Absent if there is none, if it was erased, and for a key without
    /// `memory:read`.
    #[serde(default, alias = "instead_of", skip_serializing_if = "Option::is_none")]
    pub outdated_content: Option<String>,
}

/// A memory that a turn listed, because the user asked what is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listed {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// The text; empty if the memory was erased, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The day of `occurred_at`, or else of `created_at`, as `YYYY-MM-DD`.
    pub day: String,
}

/// An intention of which an answer reminds the user, or that the user's message created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reminder {
    /// The intention's id, `int_…`.
    pub id: String,
    /// The start of its text; empty if it was deleted, and for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// Why it is due, or when it will be, for people; empty for a key without `memory:read`.
    #[serde(default)]
    pub reason: String,
}

/// A user message to answer. The response is the stream of the task, after a `message` event with a
/// `TurnStarted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The text, up to 1 MiB.
    pub content: String,
    /// The id of the message that this one follows. If missing, the conversation's head; `null` starts a new
    /// first message.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub parent: Option<Option<String>>,
    /// The name or an alias of the model to use from now on. If missing, the model of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The sampling temperature, from 0 to 2; 0 always chooses the most likely token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// The maximum number of tokens of the answer. If missing or 0, the answer may fill the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The seed of the sampler; random if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

/// A request to edit a user message, which creates a branch, or to regenerate an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The new text of the user message, up to 1 MiB; required by `branch`, unused by `regenerate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The name or an alias of the model to use from now on. If missing, the model of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The sampling temperature, from 0 to 2; 0 always chooses the most likely token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// The maximum number of tokens of the answer. If missing or 0, the answer may fill the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The seed of the sampler; random if missing.
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
    /// The id of the task that generates the answer, `task_…`.
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
