//! Conversations: their titles, their order in lists, deletion and search. Their messages are in
//! [`crate::messages`], the search index is in [`crate::conversation_search`], and [`erase`] removes them for
//! good.

mod erase;
mod record;
pub(crate) mod rows;

use lar_base::{ConversationId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _};

pub use self::record::{Conversation, ConversationPatch, NewConversation, OwnedConversation, SearchHit};

use self::rows::{get_in_txn, read_conversation};
use crate::columns::parse_column;
use crate::conversation_search as search;
use crate::idempotency::record_request_in_txn;
use crate::messages::{Message, NewMessage, Role, insert_in_txn, insert_text_in_txn};
use crate::{Error, IdempotentRequest, Store};

impl Store {
    /// Creates a conversation.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a concurrent copy of the same request came first; when the database fails.
    pub async fn conversation_create(
        &self,
        user: UserId,
        new: NewConversation,
        once: Option<IdempotentRequest>,
    ) -> Result<Conversation, Error> {
        let NewConversation { title, model, temporary, system } = new;
        self.write(move |connection| {
            let (id, now) = (ConversationId::new(), Timestamp::now());
            if let Some(once) = &once {
                record_request_in_txn(connection, once, &id.to_string())?;
            }
            connection.execute(
                "INSERT INTO conversations (id, user_id, title, model, temporary, version, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6)",
                (id.to_string(), user.to_string(), &title, model, temporary, now.as_millis()),
            )?;
            search::add_title_in_txn(connection, id, &title)?;
            if let Some(content) = system {
                let first = NewMessage { parent: None, content };
                let head = insert_text_in_txn(connection, id, Role::System, &first, now)?;
                connection.execute(
                    "UPDATE conversations SET head_id = ?2 WHERE id = ?1",
                    (id.to_string(), head.to_string()),
                )?;
            }
            get_in_txn(connection, user, id)
        })
        .await
    }

    /// Returns a conversation of this user, even if it is deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user has no conversation with this id.
    pub async fn conversation_get(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<OwnedConversation, Error> {
        self.read(move |connection| get_in_txn(connection, user, id).map(OwnedConversation)).await
    }

    /// Returns at most `limit` conversations of this user after `after`, the last changed first. Deleted and
    /// temporary ones are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conversation_list(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT * FROM conversations
                 WHERE user_id = ?1 AND deleted_at IS NULL AND NOT temporary AND (?2 IS NULL OR (updated_at, id) <
                   (SELECT updated_at, id FROM conversations WHERE id = ?2))
                 ORDER BY updated_at DESC, id DESC LIMIT ?3",
            )?;
            let after = after.map(|id| id.to_string());
            let rows = query.query_map((user.to_string(), after, limit), read_conversation)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the ids of this user's conversations, oldest first, without deleted and temporary ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conversation_ids(&self, user: UserId) -> Result<Vec<ConversationId>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id FROM conversations WHERE user_id = ?1 AND deleted_at IS NULL AND NOT temporary ORDER BY id",
            )?;
            let rows = query.query_map([user.to_string()], |row| parse_column(row, "id"))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Stores conversations with their messages in one commit, under the ids they have. Each message must
    /// come after its parent. A conversation whose id exists is skipped. Returns the number of stored
    /// conversations.
    ///
    /// # Errors
    /// [`Error::Conflict`] when an id belongs to another user's conversation or to another message.
    pub async fn conversations_import(
        &self,
        conversations: Vec<(Conversation, Vec<Message>)>,
    ) -> Result<usize, Error> {
        self.write(move |connection| {
            let mut stored = 0;
            for (conversation, messages) in &conversations {
                stored += usize::from(import_in_txn(connection, conversation, messages)?);
            }
            Ok(stored)
        })
        .await
    }

    /// Changes a conversation. If `expected` is given, it must be the stored version.
    ///
    /// # Errors
    /// [`Error::Version`] when the stored version differs; [`Error::NotFound`] when the conversation was
    /// erased meanwhile, or has no such head.
    pub async fn conversation_patch(
        &self,
        owned: &OwnedConversation,
        patch: ConversationPatch,
        expected: Option<i64>,
    ) -> Result<Conversation, Error> {
        let (user, id) = (owned.user(), owned.id());
        self.write_freeing(move |connection| {
            let found = get_in_txn(connection, user, id)?;
            if let Some(named) = expected.filter(|named| *named != found.version) {
                return Err(Error::Version { found: found.version, named });
            }
            if let Some(head) = patch.head {
                let known: bool = connection.query_row(
                    "SELECT EXISTS (SELECT 1 FROM messages WHERE id = ?1 AND conversation_id = ?2)",
                    (head.to_string(), id.to_string()),
                    |row| row.get(0),
                )?;
                if !known {
                    return Err(Error::NotFound(format!("message {head} in this conversation")));
                }
            }
            let now = Timestamp::now();
            let deleted_at = match patch.deleted {
                None => found.deleted_at,
                Some(false) => None,
                Some(true) => found.deleted_at.or(Some(now)),
            };
            connection.execute(
                "UPDATE conversations SET title = coalesce(?2, title), model = coalesce(?3, model),
                        head_id = coalesce(?4, head_id), deleted_at = ?5, version = version + 1
                 WHERE id = ?1",
                (
                    id.to_string(),
                    &patch.title,
                    &patch.model,
                    patch.head.map(|head| head.to_string()),
                    deleted_at.map(Timestamp::as_millis),
                ),
            )?;
            if let Some(title) = &patch.title {
                search::replace_title_in_txn(connection, id, title)?;
            }
            get_in_txn(connection, user, id)
        })
        .await
    }

    /// Returns this user's conversations that match `words`, the best match first and each once. Every word
    /// (the last one as a prefix) must be in the title, or within 16 KiB of one message.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conversation_search(
        &self,
        user: UserId,
        words: String,
        limit: u32,
    ) -> Result<Vec<SearchHit>, Error> {
        let Some(pattern) = search::match_pattern(&words) else { return Ok(Vec::new()) };
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT c.*, snippet(conversation_search, 0, char(2), char(3), '…', 12) AS snippet
                 FROM conversation_search s JOIN conversations c ON c.id = s.conversation_id
                 WHERE conversation_search MATCH ?1 AND c.user_id = ?2 AND c.deleted_at IS NULL AND NOT c.temporary
                 ORDER BY rank LIMIT 500",
            )?;
            let mut hits: Vec<SearchHit> = Vec::new();
            let mut rows = query.query((pattern, user.to_string()))?;
            while let Some(row) = rows.next()? {
                let conversation = read_conversation(row)?;
                if hits.iter().any(|hit| hit.conversation.id == conversation.id) {
                    continue;
                }
                hits.push(SearchHit { conversation, snippet: row.get("snippet")? });
                if hits.len() >= limit as usize {
                    break;
                }
            }
            Ok(hits)
        })
        .await
    }
}

fn import_in_txn(
    connection: &Connection,
    conversation: &Conversation,
    messages: &[Message],
) -> Result<bool, Error> {
    let id = conversation.id.to_string();
    let owner: Option<String> = connection
        .query_row("SELECT user_id FROM conversations WHERE id = ?1", [&id], |row| row.get(0))
        .optional()?;
    match owner {
        Some(owner) if owner == conversation.user.to_string() => return Ok(false),
        Some(_) => return Err(Error::Conflict(format!("the id {id} is taken"))),
        None => {}
    }
    connection.execute(
        "INSERT INTO conversations (id, user_id, title, model, head_id, version, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            &id,
            conversation.user.to_string(),
            &conversation.title,
            &conversation.model,
            conversation.head.map(|head| head.to_string()),
            conversation.version,
            conversation.created_at.as_millis(),
            conversation.updated_at.as_millis(),
        ),
    )?;
    search::add_title_in_txn(connection, conversation.id, &conversation.title)?;
    for message in messages {
        insert_in_txn(connection, message)?;
    }
    Ok(true)
}
