//! Reads conversations from their rows.

use lar_base::{ConversationId, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::record::Conversation;
use crate::columns::{optional_time, parse_column, parse_optional_column, time};
use crate::error::Error;

/// Returns a conversation of this user.
///
/// # Errors
/// [`Error::NotFound`] when the user has no conversation with this id.
pub(crate) fn get_in_txn(
    connection: &Connection,
    user: UserId,
    id: ConversationId,
) -> Result<Conversation, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM conversations WHERE id = ?1 AND user_id = ?2")?;
    query
        .query_row((id.to_string(), user.to_string()), read_conversation)
        .optional()?
        .ok_or_else(|| Error::NotFound(format!("conversation {id}")))
}

/// Returns the conversation in a row with all columns.
pub(crate) fn read_conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: parse_column(row, "id")?,
        user: parse_column(row, "user_id")?,
        title: row.get("title")?,
        model: row.get("model")?,
        head: parse_optional_column(row, "head_id")?,
        temporary: row.get("temporary")?,
        version: row.get("version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        deleted_at: optional_time(row, "deleted_at")?,
    })
}
