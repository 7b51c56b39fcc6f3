//! Texts of messages and memories in chats: where a message comes from, and short forms for answers and queries.

use lar_base::ConversationId;
use lar_store::Memory;

use crate::Item;

/// The number of bytes at the start of a message that are used as the query.
const QUERY_BYTES: usize = 1000;
/// The most characters of a listed or forgotten memory that are stored with the answer.
const EXCERPT_CHARS: usize = 300;

/// The origin of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The conversation, if Lar stores it.
    pub conversation: Option<ConversationId>,
    /// The API or app, such as `chat`.
    pub source: &'static str,
}

pub(super) fn item(content: String, origin: Origin) -> Item {
    Item {
        content,
        conversation: origin.conversation.map(|id| id.to_string()),
        source: Some(origin.source.into()),
        ..Item::default()
    }
}

/// Returns the start of a text that is shown with an answer and stored with it.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the day when something happened, or else when it was saved.
pub(super) fn day_of(memory: &Memory) -> String {
    memory.occurred_at.unwrap_or(memory.created_at).to_string().chars().take(10).collect()
}

/// Returns at most [`QUERY_BYTES`] from the start of a text.
pub(super) fn start_of(text: &str) -> &str {
    let mut end = text.len().min(QUERY_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
