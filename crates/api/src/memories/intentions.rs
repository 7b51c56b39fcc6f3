//! The wire types of `/lar/v1/memories/intentions`: texts of which the user wants to be reminded.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::transfer::ExportedMemory;

/// The importance of an intention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentionPriority {
    /// It can wait.
    Low,
    /// The default.
    Normal,
    /// It is shown before others.
    High,
    /// It is shown first.
    Critical,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The state of an intention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentionStatus {
    /// It becomes due, unless it is snoozed.
    Active,
    /// The user did it.
    Done,
    /// The user no longer wants to be reminded.
    Cancelled,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The kind of event that makes an intention due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentionTriggerType {
    /// A time has come: `at`, or `in_minutes` from now.
    Time,
    /// The user works on something: all of `project`, `codebase`, `file_pattern` and `topics` that are given
    /// apply.
    Context,
    /// Something happens: the words of `condition` are in the text.
    Event,
    /// Nothing makes it due, except its deadline.
    Manual,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The event that makes an intention due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentionTrigger {
    /// The kind of event: `time`, `context`, `event` or `manual`. If missing, it follows from the other fields.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IntentionTriggerType>)]
    pub kind: Option<String>,
    /// The time: RFC 3339, such as `2026-12-01T09:00:00+01:00`. Without a zone, it is in UTC; a day is its
    /// midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The minutes from now to the time, from 0 to 5,256,000 (ten years). Responses have `at` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_minutes: Option<i64>,
    /// The name of the project, up to 500 characters. `orders` is also `team/orders`; case does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The name of the code base, compared like `project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebase: Option<String>,
    /// A glob that the path of the current file matches, up to 200 characters, such as `*.rs` or `src/**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_pattern: Option<String>,
    /// A word or phrase, all words of which are in the text. Responses have `topics` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Up to 20 words or phrases, one of which is in the text; each up to 500 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// The condition in words, all of which are in the text; up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// An intention to create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIntention {
    /// The text of the reminder, up to 8 KiB; not blank.
    pub content: String,
    /// The event that makes it due. It may be missing if there is a deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<IntentionTrigger>,
    /// The importance: `low`, `normal`, `high` or `critical`; `normal` if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IntentionPriority>)]
    pub priority: Option<String>,
    /// The time from which it is overdue, and due in any case: RFC 3339, or a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The origin, as free text of the writer, up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An intention: a text of which the user wants to be reminded.
///
/// A key without the scope `memory:read` gets only `id`, `status`, `priority`, `space` and the times of creation
/// and change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Intention {
    /// The intention's id, `int_…`.
    pub id: String,
    /// The text of the reminder; empty for a key without `memory:read`.
    #[serde(default)]
    pub content: String,
    /// The event that makes it due; absent for a key without `memory:read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<IntentionTrigger>,
    /// The importance: `low`, `normal`, `high` or `critical`.
    pub priority: IntentionPriority,
    /// The time from which it is overdue (RFC 3339); absent if it has no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The state: `active`, `done` or `cancelled`.
    pub status: IntentionStatus,
    /// The time before which it is not due (RFC 3339); absent if it is not snoozed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<String>,
    /// The origin, as free text of the writer; absent if none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The id of its space, `space_…`.
    pub space: String,
    /// The id of the key that created it, `key_…`; absent for a key without `memory:read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    /// When it was created (RFC 3339).
    pub created_at: String,
    /// When it was last changed (RFC 3339).
    pub updated_at: String,
    /// When it was last shown because it was due (RFC 3339); absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_shown_at: Option<String>,
    /// The rules that found secrets in the request, which were redacted; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
}

/// A change of an intention. Missing fields stay as they are; `null` removes a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentionPatch {
    /// The new state: `done` completes it, `cancelled` cancels it, `active` reopens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IntentionStatus>)]
    pub status: Option<String>,
    /// Snooze it until this time in the future: RFC 3339, or a day. `null` ends the snooze.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<Option<String>>,
    /// Snooze it for this many minutes, from 1 to 5,256,000 (ten years).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snooze_minutes: Option<i64>,
    /// The new text, up to 8 KiB; not blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The new event that makes it due, which replaces the whole old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<IntentionTrigger>,
    /// The new importance: `low`, `normal`, `high` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IntentionPriority>)]
    pub priority: Option<String>,
    /// The new deadline: RFC 3339, or a day.
    #[serde(default, deserialize_with = "crate::present", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Option<String>>,
}

/// The context for which to find intentions that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentionCheck {
    /// The user's message, in which topics and conditions are looked for: its first 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Up to 32 further texts, such as the topics that the user talks about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// The name of the current project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The name of the current code base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebase: Option<String>,
    /// The path of the current file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The conversation, by a name of the caller's choice, up to 500 characters. Each conversation of a key is
    /// reminded separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

/// An intention that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DueIntention {
    /// The intention.
    pub intention: Intention,
    /// The cause: `time`, `deadline`, `context` or `event`.
    pub cause: String,
    /// The cause with its details, for people.
    pub reason: String,
}

/// The intentions that are due in a context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DueIntentions {
    /// Up to 20 intentions, most important first.
    pub due: Vec<DueIntention>,
}

/// A line of an export of memories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ExportedLine {
    /// An intention.
    Intention(Box<ExportedIntentionLine>),
    /// A memory.
    Memory(Box<ExportedMemory>),
}

/// The line of an intention in an export of memories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedIntentionLine {
    /// The intention.
    pub intention: ExportedIntention,
}

/// An intention in an export of memories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedIntention {
    /// The intention's id, `int_…`.
    pub id: String,
    /// The text of the reminder, up to 8 KiB.
    pub content: String,
    /// The event that makes it due.
    pub trigger: IntentionTrigger,
    /// The importance: `low`, `normal`, `high` or `critical`.
    #[schema(value_type = IntentionPriority)]
    pub priority: String,
    /// The time from which it is overdue (RFC 3339); absent if it has no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The state: `active`, `done` or `cancelled`.
    #[schema(value_type = IntentionStatus)]
    pub status: String,
    /// The time before which it is not due (RFC 3339); absent if it is not snoozed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<String>,
    /// The origin, as free text of the writer; absent if none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The id of the conversation that it comes from; absent if it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The id of the message that it comes from; absent if it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The id of the key that created it, `key_…`. In a team space, an import replaces it by the importing key.
    pub written_by: String,
    /// When it was created (RFC 3339).
    pub created_at: String,
    /// When it was last changed (RFC 3339).
    pub updated_at: String,
    /// When it was last shown because it was due (RFC 3339); absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_shown_at: Option<String>,
}
