//! Conversations: their titles, their order in lists, deletion and search. Their messages are in
//! [`crate::messages`], the search index is in [`crate::conversation_search`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lar_base::{ConversationId, MessageId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::conversation_search as search;
use crate::erasure::Step;
use crate::idempotency::note_in_txn;
use crate::messages::{Message, NewMessage, Role, insert_in_txn, insert_text_in_txn};
use crate::{Error, IdempotentRequest, Store, optional_time, parse_column, parse_optional_column, time};

/// A conversation without its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Conversation {
    pub id: ConversationId,
    pub user: UserId,
    pub title: String,
    pub model: Option<String>,
    /// The leaf of the displayed branch.
    pub head: Option<MessageId>,
    /// A temporary conversation uses no memory, is in no list, and is deleted a day after its last message.
    pub temporary: bool,
    /// Counts changes, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

/// A conversation to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewConversation {
    /// The title; if empty, it is made from the first message.
    pub title: String,
    /// The model; `None` for the default one.
    pub model: Option<String>,
    /// Whether it is temporary, as in [`Conversation`].
    pub temporary: bool,
    /// The system prompt. It becomes the first message, and the next message follows it.
    pub system: Option<String>,
}

/// Proof that a conversation, which may be deleted, belongs to a user. Every function that reads or changes
/// the content of a conversation takes this proof, and only the store creates it, from the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedConversation(Conversation);

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
#[expect(missing_docs, reason = "the names say it")]
pub struct ConversationPatch {
    pub title: Option<String>,
    pub model: Option<String>,
    pub head: Option<MessageId>,
    pub deleted: Option<bool>,
}

/// A conversation that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// The conversation.
    pub conversation: Conversation,
    /// The text around the match, with `\u{2}` and `\u{3}` around each matching word.
    pub snippet: String,
}

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
                note_in_txn(connection, once, &id.to_string())?;
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
            let rows = query.query_map((user.to_string(), after, limit), conversation)?;
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

    /// Erases a conversation, its messages and the memory candidates from it. They leave the write-ahead log,
    /// too, as soon as no long read blocks that. Others can write between its steps. If it is interrupted,
    /// the next purge continues it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was erased meanwhile.
    pub async fn conversation_erase(&self, owned: &OwnedConversation) -> Result<(), Error> {
        let (user, id) = (owned.user(), owned.id());
        let has_started = Arc::new(AtomicBool::new(false));
        self.erase_in_steps(move |connection| {
            match get_in_txn(connection, user, id) {
                Ok(_) => {}
                // A purge continued this erasure meanwhile.
                Err(Error::NotFound(_)) if has_started.load(Relaxed) => {
                    return Ok(Step { erased: 0, is_last: true });
                }
                Err(error) => return Err(error),
            }
            let is_erased = erase_some_in_txn(connection, &id.to_string())?;
            has_started.store(true, Relaxed);
            Ok(Step { erased: usize::from(is_erased), is_last: is_erased })
        })
        .await
        .map(drop)
    }

    /// Erases the conversations that were deleted before `deleted`, and temporary ones without a message
    /// since `temporary`. Returns the number of erased conversations. Others can write between its steps.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conversations_purge(
        &self,
        deleted: Timestamp,
        temporary: Timestamp,
    ) -> Result<usize, Error> {
        let due =
            "SELECT id FROM conversations WHERE deleted_at < ?1 OR temporary = 1 AND updated_at < ?2 LIMIT 1";
        let times = [deleted.as_millis(), temporary.as_millis()];
        self.erase_in_steps(move |connection| {
            // The id as it is stored: damage may have made it an invalid id.
            let next: Option<String> =
                connection.prepare_cached(due)?.query_row(times, |row| row.get("id")).optional()?;
            match next {
                Some(id) => {
                    let is_erased = erase_some_in_txn(connection, &id)?;
                    Ok(Step { erased: usize::from(is_erased), is_last: false })
                }
                None => Ok(Step { erased: 0, is_last: true }),
            }
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
                let conversation = conversation(row)?;
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

pub(crate) fn get_in_txn(
    connection: &Connection,
    user: UserId,
    id: ConversationId,
) -> Result<Conversation, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM conversations WHERE id = ?1 AND user_id = ?2")?;
    query
        .query_row((id.to_string(), user.to_string()), conversation)
        .optional()?
        .ok_or_else(|| Error::NotFound(format!("conversation {id}")))
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

/// Removes some of a conversation's texts from the index, or the conversation itself if none is left there.
/// Returns whether the conversation is gone.
fn erase_some_in_txn(connection: &Connection, id: &str) -> Result<bool, Error> {
    if search::remove_some_in_txn(connection, id)? {
        // Deleting a message deletes its answers, too, but SQLite recurses only a thousand levels deep.
        connection.execute("UPDATE messages SET parent_id = NULL WHERE conversation_id = ?1", [id])?;
        // Candidates for memories come from the conversation; damage may have left a source that is not JSON.
        connection.execute(
            "DELETE FROM memory_candidates
             WHERE CASE WHEN json_valid(source) THEN source ->> 'conversation' END = ?1",
            [id],
        )?;
        // Without an error, a purge would find the row again and again.
        return match connection.execute("DELETE FROM conversations WHERE id = ?1", [id])? {
            0 => Err(Error::Corrupt {
                path: None,
                faults: vec![format!("conversation {id} cannot be found by its id")],
            }),
            _ => Ok(true),
        };
    }
    // It is in no list from now on. If this erasure is interrupted, the next purge continues it.
    connection.execute("UPDATE conversations SET deleted_at = 0 WHERE id = ?1", [id])?;
    Ok(false)
}

pub(crate) fn conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_interrupted_erasure_is_finished_by_the_next_purge() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let system = Some(format!("{}wisteria", "word ".repeat(20_000)));
        let new = NewConversation { title: "Barrels".into(), system, ..NewConversation::default() };
        let erased = store.conversation_create(owner, new.clone(), None).await.unwrap().id;
        let kept = store.conversation_create(owner, new, None).await.unwrap().id;
        assert!(
            !store.write(move |connection| erase_some_in_txn(connection, &erased.to_string())).await.unwrap()
        );
        let listed = store.conversation_list(owner, None, 9).await.unwrap();
        assert_eq!(
            listed.iter().map(|found| found.id).collect::<Vec<_>>(),
            [kept],
            "it is in no list any more"
        );

        let long_ago = Timestamp::from_millis(1);
        assert_eq!(store.conversations_purge(long_ago, long_ago).await.unwrap(), 1);
        assert!(matches!(store.conversation_get(owner, erased).await, Err(Error::NotFound(_))));
        // An id that damage changed.
        let damage = move |connection: &Connection| {
            let sql =
                "INSERT INTO conversations (id, user_id, title, version, created_at, updated_at, deleted_at)
                       VALUES (?1, ?2, 'damaged', 1, 1, 1, 0)";
            let id = ConversationId::new().to_string().to_uppercase().replacen("CONV", "conv", 1);
            Ok(connection.execute(sql, (id, owner.to_string()))?)
        };
        store.write(damage).await.unwrap();
        assert_eq!(store.conversations_purge(long_ago, long_ago).await.unwrap(), 1);
        let found = store.conversation_search(owner, "wisteria".into(), 9).await.unwrap();
        assert_eq!(found.iter().map(|hit| hit.conversation.id).collect::<Vec<_>>(), [kept]);

        // Candidates for memories are erased with the conversation that they come from.
        let suggested = |connection: &Connection| {
            let count = "SELECT group_concat(id, ' ') FROM (SELECT id FROM memory_candidates ORDER BY id)";
            Ok(connection.query_row(count, [], |row| row.get::<_, Option<String>>(0))?)
        };
        let suggest = move |connection: &Connection| {
            connection.execute_batch(&format!(
                r#"INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES ('s', '{owner}', 'personal', '', 1);
                   INSERT INTO memory_candidates (id, space_id, key_id, content, kind, source, reason, created_at) VALUES
                     ('1', 's', 'k', 'said in it', 'fact', '{{"key":"k","conversation":"{kept}"}}', '', 1),
                     ('2', 's', 'k', 'said in another', 'fact', '{{"key":"k","conversation":"{erased}"}}', '', 1),
                     ('3', 's', 'k', 'said in none', 'fact', '{{"key":"k"}}', '', 1),
                     ('4', 's', 'k', 'damaged', 'fact', '{{"conversation":"{kept}"', '', 1)"#
            ))?;
            Ok(())
        };
        store.write(suggest).await.unwrap();
        assert_eq!(store.read(suggested).await.unwrap().as_deref(), Some("1 2 3 4"));
        // Two thousand messages, each an answer to the one before.
        let chain = move |connection: &Connection| {
            for number in 0..2000 {
                connection.execute(
                    "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at)
                     VALUES ('msg_' || ?2, ?1, (SELECT id FROM messages WHERE id = 'msg_' || (?2 - 1)), 'user', '', 'complete', 1)",
                    (kept.to_string(), number),
                )?;
            }
            Ok(())
        };
        store.write(chain).await.unwrap();
        let owned = store.conversation_get(owner, kept).await.unwrap();
        store.conversation_erase(&owned).await.unwrap();
        assert!(matches!(store.conversation_erase(&owned).await, Err(Error::NotFound(_))));
        assert_eq!(store.read(suggested).await.unwrap().as_deref(), Some("2 3 4"));
        assert_eq!(store.conversation_search(owner, "wisteria".into(), 9).await.unwrap(), []);
    }
}
