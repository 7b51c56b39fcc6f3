//! Messages: a tree per conversation. An edited message or a regenerated answer is a sibling. Nothing is
//! overwritten but the text of an answer that is still being written.

mod order;
mod record;

use lar_base::{Code, ConversationId, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

pub use self::record::{AnswerEnd, Message, NewMessage, NewTurn, Rating, Role, Status};

use self::order::parents_first;
use crate::answer_memories::TurnMemory;
use crate::columns::{parse_column, parse_optional_column, time};
use crate::conversation_search as search;
use crate::conversations::OwnedConversation;
use crate::conversations::rows::get_in_txn;
use crate::idempotency::record_request_in_txn;
use crate::json_columns::ANSWER_MEMORY;
use crate::tasks::start_in_txn;
use crate::{Error, Store};

impl Store {
    /// Starts a turn. Stores, in one commit, the title of a conversation without one, the user's message
    /// (unless an answer is regenerated), the empty answer to it, and the task that will write the answer.
    /// Returns the answer's message, and the path of messages that leads to it, oldest first and without the
    /// answer itself.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the conversation or the parent; [`Error::Conflict`] when the message to answer
    /// is not a user's, when the parent is still being written, or when a concurrent copy of the same request
    /// came first.
    pub async fn turn_begin(
        &self,
        owned: &OwnedConversation,
        turn: NewTurn,
    ) -> Result<(Message, Vec<Message>), Error> {
        let (user, conversation) = (owned.user(), owned.id());
        let NewTurn { user_message, answer_to, title, task, memory, once } = turn;
        self.write(move |connection| {
            let found = get_in_txn(connection, user, conversation)?;
            let now = Timestamp::now();
            if let Some(title) = title.filter(|_| found.title.is_empty()) {
                connection.execute(
                    "UPDATE conversations SET title = ?2 WHERE id = ?1",
                    (conversation.to_string(), &title),
                )?;
                search::add_title_in_txn(connection, conversation, &title)?;
            }
            let question = match user_message {
                Some(user_message) => {
                    if let Some(parent) = user_message.parent {
                        let parent = message_in_txn(connection, conversation, parent)?;
                        if parent.status == Status::Streaming {
                            return Err(Error::Conflict(format!("message {} is still being written", parent.id)));
                        }
                    }
                    insert_text_in_txn(connection, conversation, Role::User, &user_message, now)?
                }
                None => answer_to.ok_or_else(|| Error::Conflict("there is no message to answer".into()))?,
            };
            let path = path_in_txn(connection, conversation, question)?;
            if path.last().is_none_or(|message| message.role != Role::User) {
                return Err(Error::Conflict(format!("message {question} is not a user message")));
            }
            let answer = MessageId::new();
            let memory = memory.map(|json| TurnMemory::read(connection, &json)).transpose()?;
            if let Some(once) = &once {
                record_request_in_txn(connection, once, &answer.to_string())?;
            }
            connection.execute(
                "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, model, task_id, created_at, memory)
                 VALUES (?1, ?2, ?3, 'assistant', '', 'streaming', ?4, ?5, ?6, ?7)",
                (
                    answer.to_string(),
                    conversation.to_string(),
                    question.to_string(),
                    &task.model,
                    task.id.to_string(),
                    now.as_millis(),
                    memory.as_ref().map(|memory| &memory.json),
                ),
            )?;
            if let Some(memory) = &memory {
                memory.record_activity_in_txn(connection, answer)?;
            }
            connection.execute(
                "UPDATE conversations SET head_id = ?2, updated_at = ?3, version = version + 1, model = ?4 WHERE id = ?1",
                (conversation.to_string(), answer.to_string(), now.as_millis(), &task.model),
            )?;
            start_in_txn(connection, &task)?;
            Ok((message_in_txn(connection, conversation, answer)?, path))
        })
        .await
    }

    /// Stores the text of an answer so far, so that a crash loses a second's worth at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn answer_checkpoint(&self, id: MessageId, content: String) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "UPDATE messages SET content = ?2 WHERE id = ?1 AND status = 'streaming'",
                (id.to_string(), content),
            )?;
            Ok(())
        })
        .await
    }

    /// Ends an answer. An answer that has ended already stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn answer_end(&self, id: MessageId, end: AnswerEnd) -> Result<(), Error> {
        self.write(move |connection| {
            let memory = end.memory.as_deref().map(|json| TurnMemory::read(connection, json)).transpose()?;
            let changed = connection.query_row(
                "UPDATE messages SET content = ?2, status = ?3, error_code = ?4, tokens_in = ?5, tokens_out = ?6,
                        ttft_ms = ?7, decode_ms = ?8, finish_reason = ?9, memory = coalesce(?10, memory),
                        reasoning = ?11
                 WHERE id = ?1 AND status = 'streaming'
                 RETURNING conversation_id",
                (
                    id.to_string(),
                    &end.content,
                    end.status.as_str(),
                    end.error.map(Code::as_str),
                    end.tokens_in,
                    end.tokens_out,
                    end.ttft_ms,
                    end.decode_ms,
                    &end.finish_reason,
                    memory.as_ref().map(|memory| &memory.json),
                    &end.reasoning,
                ),
                |row| parse_column(row, "conversation_id"),
            );
            if let Some(conversation) = changed.optional()? {
                if let Some(memory) = &memory {
                    memory.record_activity_in_txn(connection, id)?;
                }
                search::add_message_in_txn(connection, conversation, id, &end.content)?;
            }
            Ok(())
        })
        .await
    }

    /// Stores a reader's rating of an answer; `None` removes it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the conversation has no such message.
    pub async fn message_rate(
        &self,
        owned: &OwnedConversation,
        id: MessageId,
        rating: Option<Rating>,
    ) -> Result<Message, Error> {
        let (user, conversation) = (owned.user(), owned.id());
        self.write(move |connection| {
            get_in_txn(connection, user, conversation)?;
            let value = rating.map(stored_rating);
            connection.execute(
                "UPDATE messages SET rating = ?3 WHERE id = ?1 AND conversation_id = ?2",
                (id.to_string(), conversation.to_string(), value),
            )?;
            message_in_txn(connection, conversation, id)
        })
        .await
    }

    /// Returns a message of a conversation.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the conversation has no such message.
    pub async fn message_get(&self, owned: &OwnedConversation, id: MessageId) -> Result<Message, Error> {
        let (user, conversation) = (owned.user(), owned.id());
        self.read(move |connection| {
            get_in_txn(connection, user, conversation)?;
            message_in_txn(connection, conversation, id)
        })
        .await
    }

    /// Returns all messages of a conversation, from all branches: each after its parent, otherwise oldest
    /// first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the conversation was erased meanwhile.
    pub async fn message_list(&self, owned: &OwnedConversation) -> Result<Vec<Message>, Error> {
        let (user, conversation) = (owned.user(), owned.id());
        self.read(move |connection| {
            get_in_txn(connection, user, conversation)?;
            let mut query =
                connection.prepare_cached("SELECT * FROM messages WHERE conversation_id = ?1 ORDER BY id")?;
            let rows = query.query_map([conversation.to_string()], message)?;
            Ok(parents_first(rows.collect::<Result<_, _>>()?))
        })
        .await
    }
}

/// Marks every answer that was being written as failed, and keeps its text.
pub(crate) fn fail_streaming_in_txn(connection: &Connection) -> Result<(), Error> {
    connection.execute(
        "UPDATE messages SET status = 'failed', error_code = ?1 WHERE status = 'streaming'",
        [Code::EngineFailed.as_str()],
    )?;
    Ok(())
}

/// Stores a message as it is, and adds it to the search index.
pub(crate) fn insert_in_txn(connection: &Connection, message: &Message) -> Result<(), Error> {
    let id = message.id.to_string();
    let taken: bool =
        connection
            .query_row("SELECT EXISTS (SELECT 1 FROM messages WHERE id = ?1)", [&id], |row| row.get(0))?;
    if taken {
        return Err(Error::Conflict(format!("the id {id} is taken")));
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, model, task_id, error_code,
                               tokens_in, tokens_out, ttft_ms, decode_ms, finish_reason, rating, created_at,
                               reasoning)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?;
    insert.execute(rusqlite::params![
        &id,
        message.conversation.to_string(),
        message.parent.map(|parent| parent.to_string()),
        message.role.as_str(),
        &message.content,
        message.status.as_str(),
        &message.model,
        message.task.map(|task| task.to_string()),
        message.error.map(Code::as_str),
        message.tokens_in,
        message.tokens_out,
        message.ttft_ms,
        message.decode_ms,
        &message.finish_reason,
        message.rating.map(stored_rating),
        message.created_at.as_millis(),
        &message.reasoning,
    ])?;
    search::add_message_in_txn(connection, message.conversation, message.id, &message.content)
}

const fn stored_rating(rating: Rating) -> i64 {
    match rating {
        Rating::Good => 1,
        Rating::Bad => -1,
    }
}

/// Stores a message that no model wrote.
pub(crate) fn insert_text_in_txn(
    connection: &Connection,
    conversation: ConversationId,
    role: Role,
    user_message: &NewMessage,
    now: Timestamp,
) -> Result<MessageId, Error> {
    let id = MessageId::new();
    connection.execute(
        "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 'complete', ?6)",
        (
            id.to_string(),
            conversation.to_string(),
            user_message.parent.map(|parent| parent.to_string()),
            role.as_str(),
            &user_message.content,
            now.as_millis(),
        ),
    )?;
    search::add_message_in_txn(connection, conversation, id, &user_message.content)?;
    Ok(id)
}

fn path_in_txn(
    connection: &Connection,
    conversation: ConversationId,
    leaf: MessageId,
) -> Result<Vec<Message>, Error> {
    let mut query = connection.prepare_cached(
        "WITH RECURSIVE path (id, parent_id, depth) AS (
           SELECT id, parent_id, 0 FROM messages WHERE id = ?1 AND conversation_id = ?2
           UNION ALL
           SELECT m.id, m.parent_id, path.depth + 1 FROM messages m JOIN path ON m.id = path.parent_id
         )
         SELECT messages.* FROM path JOIN messages ON messages.id = path.id ORDER BY path.depth DESC",
    )?;
    let rows = query.query_map((leaf.to_string(), conversation.to_string()), message)?;
    let path: Vec<Message> = rows.collect::<Result<_, _>>()?;
    if path.is_empty() {
        return Err(Error::NotFound(format!("message {leaf} in this conversation")));
    }
    Ok(path)
}

fn message_in_txn(
    connection: &Connection,
    conversation: ConversationId,
    id: MessageId,
) -> Result<Message, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM messages WHERE id = ?1 AND conversation_id = ?2")?;
    query
        .query_row((id.to_string(), conversation.to_string()), message)
        .optional()?
        .ok_or_else(|| Error::NotFound(format!("message {id} in this conversation")))
}

pub(crate) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: parse_column(row, "id")?,
        conversation: parse_column(row, "conversation_id")?,
        parent: parse_optional_column(row, "parent_id")?,
        role: parse_column(row, "role")?,
        content: row.get("content")?,
        reasoning: row.get("reasoning")?,
        status: parse_column(row, "status")?,
        model: row.get("model")?,
        task: parse_optional_column(row, "task_id")?,
        error: row.get::<_, Option<String>>("error_code")?.and_then(|code| Code::parse(&code)),
        tokens_in: row.get("tokens_in")?,
        tokens_out: row.get("tokens_out")?,
        ttft_ms: row.get("ttft_ms")?,
        decode_ms: row.get("decode_ms")?,
        finish_reason: row.get("finish_reason")?,
        rating: match row.get::<_, Option<i64>>("rating")? {
            None => None,
            Some(1) => Some(Rating::Good),
            Some(_) => Some(Rating::Bad),
        },
        memory: ANSWER_MEMORY.get_optional(row)?,
        created_at: time(row, "created_at")?,
    })
}
