//! The types of conversations: stored, to be stored, to be changed, and found.

use lar_base::{ConversationId, MessageId, Timestamp, UserId};

/// A conversation without its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The id, `conv_…`, which an export keeps.
    pub id: ConversationId,
    /// The user who may read and change it; nobody else may.
    pub user: UserId,
    /// The title; empty until its first turn gives it one.
    pub title: String,
    /// The model of its next answer; `None` for the default one. Each turn sets it to the model that it used.
    pub model: Option<String>,
    /// The leaf of the displayed branch; `None` if it has no message.
    pub head: Option<MessageId>,
    /// A temporary conversation uses no memory, is in no list, and is deleted a day after its last message.
    pub temporary: bool,
    /// The version for `If-Match`; each change increases it.
    pub version: i64,
    /// The time of its creation; an import keeps the original one.
    pub created_at: Timestamp,
    /// When its last turn started or, without any, when it was created. Lists are sorted by this time.
    pub updated_at: Timestamp,
    /// When it was deleted; `None` if it is not. It can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// A conversation to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewConversation {
    /// The title; if empty, the first turn sets it ([`crate::NewTurn::title`]).
    pub title: String,
    /// The model; `None` for the default one.
    pub model: Option<String>,
    /// Whether it is deleted a day after its last message, as [`Conversation::temporary`] describes.
    pub temporary: bool,
    /// The system prompt. It becomes the first message, and the next message follows it.
    pub system: Option<String>,
}

/// Proof that a conversation, which may be deleted, belongs to a user. Every function that reads or changes
/// the content of a conversation takes this proof, and only the store creates it, from the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedConversation(pub(super) Conversation);

impl OwnedConversation {
    /// Returns the conversation's id.
    #[must_use]
    pub const fn id(&self) -> ConversationId {
        self.0.id
    }

    /// Returns the user who owns it.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.0.user
    }

    /// Returns the conversation as the store read it.
    #[must_use]
    pub const fn get(&self) -> &Conversation {
        &self.0
    }
}

/// A change of a conversation; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationPatch {
    /// The new title: one line of up to 200 characters.
    pub title: Option<String>,
    /// The model of the next answer.
    pub model: Option<String>,
    /// The leaf of the branch to display: a message of this conversation.
    pub head: Option<MessageId>,
    /// Whether it is deleted: `Some(true)` deletes it, `Some(false)` restores it.
    pub deleted: Option<bool>,
}

/// A conversation that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// The conversation whose title or message matches.
    pub conversation: Conversation,
    /// The text around the match, with `\u{2}` and `\u{3}` around each matching word.
    pub snippet: String,
}
