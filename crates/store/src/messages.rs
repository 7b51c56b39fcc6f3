//! Messages: a tree per conversation. An edited message or a regenerated answer is a sibling. Nothing is
//! overwritten but the text of an answer that is still being written.

mod order;

use lar_base::{Code, ConversationId, MessageId, TaskId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use self::order::parents_first;
use crate::answer_memories::TurnMemory;
use crate::conversation_search as search;
use crate::conversations::{OwnedConversation, get_in_txn};
use crate::idempotency::note_in_txn;
use crate::json_columns::ANSWER_MEMORY;
use crate::tasks::{TaskStart, start_in_txn};
use crate::{Error, IdempotentRequest, Store, parse_column, parse_optional_column, time};

/// The length in characters after which a title made from a first message is cut.
const TITLE_CHARS_MAX: usize = 60;

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An answer that is being written.
    Streaming,
    /// The message is complete.
    Complete,
    /// Someone stopped it; the text so far is kept.
    Stopped,
    /// It failed; the text so far is kept.
    Failed,
}

/// A reader's rating of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Rating {
    Good,
    Bad,
}

macro_rules! texts {
    ($type:ident { $($name:ident = $text:literal),+ }) => {
        impl $type {
            /// Returns the name that is stored and used in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($type::$name => $text,)+ }
            }
        }
        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($type::$name),)+
                    _ => Err(format!("`{text}` is not one of: {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}
texts!(Role { System = "system", User = "user", Assistant = "assistant" });
texts!(Status { Streaming = "streaming", Complete = "complete", Stopped = "stopped", Failed = "failed" });

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Message {
    pub id: MessageId,
    pub conversation: ConversationId,
    pub parent: Option<MessageId>,
    pub role: Role,
    pub content: String,
    /// The model's reasoning before the answer, if it produced any.
    pub reasoning: Option<String>,
    pub status: Status,
    pub model: Option<String>,
    pub task: Option<TaskId>,
    pub error: Option<Code>,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub ttft_ms: Option<u64>,
    pub decode_ms: Option<u64>,
    pub finish_reason: Option<String>,
    pub rating: Option<Rating>,
    /// The memory activity in the turn of this answer, as JSON for display ([`crate::answer_memories`]).
    pub memory: Option<String>,
    pub created_at: Timestamp,
}

/// A new message that no model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The message that it follows; `None` starts the conversation, or another root in it.
    pub parent: Option<MessageId>,
    /// The text.
    pub content: String,
}

/// A turn to start.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The user's message; `None` if an answer is regenerated.
    pub user_message: Option<NewMessage>,
    /// The user message to answer if there is no new one.
    pub answer_to: Option<MessageId>,
    /// The task that will write the answer.
    pub task: TaskStart,
    /// The memory activity so far, as JSON; it is stored with the answer.
    pub memory: Option<String>,
    /// Identifies the request in case it is sent again.
    pub once: Option<IdempotentRequest>,
}

/// The end of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AnswerEnd {
    pub content: String,
    /// The model's reasoning before the answer, if it produced any.
    pub reasoning: Option<String>,
    pub status: Status,
    pub error: Option<Code>,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub ttft_ms: Option<u64>,
    pub decode_ms: Option<u64>,
    /// The finish reason of a complete answer: `stop` or `length`.
    pub finish_reason: Option<String>,
    /// The memory activity in the turn, if the answer adds to it.
    pub memory: Option<String>,
}

impl Store {
    /// Starts a turn. Stores, in one commit, the user's message (unless an answer is regenerated), the empty
    /// answer to it, and the task that will write the answer. Returns the answer's message, and the path of
    /// messages that leads to it, oldest first and without the answer itself.
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
        let NewTurn { user_message, answer_to, task, memory, once } = turn;
        self.write(move |connection| {
            let found = get_in_txn(connection, user, conversation)?;
            let now = Timestamp::now();
            let question = match user_message {
                Some(user_message) => {
                    if let Some(parent) = user_message.parent {
                        let parent = message_in_txn(connection, conversation, parent)?;
                        if parent.status == Status::Streaming {
                            return Err(Error::Conflict(format!("message {} is still being written", parent.id)));
                        }
                    }
                    if found.title.is_empty() {
                        let title = title_of(&user_message.content);
                        connection.execute(
                            "UPDATE conversations SET title = ?2 WHERE id = ?1",
                            (conversation.to_string(), &title),
                        )?;
                        search::add_title_in_txn(connection, conversation, &title)?;
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
                note_in_txn(connection, once, &answer.to_string())?;
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
                memory.note_in_txn(connection, answer)?;
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
                    memory.note_in_txn(connection, id)?;
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

fn title_of(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("Untitled");
    if line.chars().count() <= TITLE_CHARS_MAX {
        return line.to_owned();
    }
    let cut: String = line.chars().take(TITLE_CHARS_MAX).collect();
    let whole = cut.rfind(char::is_whitespace).map_or(cut.as_str(), |space| cut[..space].trim_end());
    format!("{whole}…")
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

#[cfg(test)]
mod tests {
    use super::title_of;

    #[test]
    fn titles_end_at_a_word() {
        assert_eq!(title_of("\n  Hello there \nmore"), "Hello there");
        let long = "What is the difference between a mutex and a semaphore in an operating system?";
        assert_eq!(title_of(long), "What is the difference between a mutex and a semaphore in…");
        assert_eq!(title_of("   "), "Untitled");
    }
}
