//! Tasks, each of which is one use of a model: how they started and ended, and the usage per day.
//!
//! Invariant: a task has at most one end. Ending it again changes nothing. [`Store::tasks_end_abandoned`]
//! ends tasks that were running when the server died, at the next start.

use lar_base::{Code, ConversationId, KeyId, TaskId, Timestamp, UserId, VisibleKeys};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::idempotency::note_in_txn;
use crate::json_columns::TASK_MEMORY;
use crate::{Error, IdempotentRequest, Store, optional_time, parse_column, parse_optional_column, time};

/// The start of a task, when it is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct TaskStart {
    pub id: TaskId,
    pub key: KeyId,
    pub user: UserId,
    pub conversation: Option<ConversationId>,
    pub api: &'static str,
    pub workload: &'static str,
    pub model: String,
    pub priority: &'static str,
    pub created_at: Timestamp,
    /// The memory activity for it, as JSON with ids only.
    pub memory: Option<String>,
}

/// The outcome of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It finished, for this reason (`stop` or `length`).
    End {
        /// The engine's finish reason.
        finish_reason: String,
    },
    /// It failed.
    Error {
        /// The error code.
        code: Code,
        /// The message for people.
        message: String,
    },
    /// Its caller cancelled it, or Lar did for them.
    Cancelled,
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// The time of the end.
    pub ended_at: Timestamp,
    /// The outcome.
    pub outcome: Outcome,
    /// The number of prompt tokens.
    pub tokens_in: u64,
    /// The number of answer tokens.
    pub tokens_out: u64,
    /// Milliseconds from admission to the start.
    pub queue_ms: Option<u64>,
    /// Milliseconds from admission to the first token.
    pub ttft_ms: Option<u64>,
    /// Milliseconds from the first token to the end.
    pub decode_ms: Option<u64>,
}

/// A stored task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct TaskRecord {
    pub id: TaskId,
    pub user: UserId,
    pub conversation: Option<ConversationId>,
    pub api: String,
    pub workload: String,
    pub model: String,
    pub priority: String,
    pub created_at: Timestamp,
    /// The memory activity for it, as JSON.
    pub memory: Option<String>,
    pub end: Option<TaskEnd>,
}

/// The usage of one model by one key on one UTC day.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct UsageDay {
    pub day: String,
    pub key: KeyId,
    pub model: String,
    pub tasks: u64,
    pub errors: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
}

impl Store {
    /// Stores the start of a task.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a concurrent copy of the same request came first; when the database fails.
    pub async fn task_create(&self, start: TaskStart, once: Option<IdempotentRequest>) -> Result<(), Error> {
        self.write(move |connection| {
            if let Some(once) = &once {
                note_in_txn(connection, once, &start.id.to_string())?;
            }
            start_in_txn(connection, &start)
        })
        .await
    }

    /// Stores starts and ends of tasks in one commit. The end of a task that has ended already is ignored, in
    /// the usage, too.
    ///
    /// # Errors
    /// When the database fails; then nothing of the batch is stored.
    pub async fn tasks_record(
        &self,
        starts: Vec<TaskStart>,
        ends: Vec<(TaskId, TaskEnd)>,
    ) -> Result<(), Error> {
        self.write(move |connection| {
            for start in &starts {
                start_in_txn(connection, start)?;
            }
            for (id, end) in &ends {
                end_in_txn(connection, *id, end)?;
            }
            Ok(())
        })
        .await
    }

    /// Ends every task without an end with [`Code::EngineFailed`]; returns their number. Call it at start,
    /// before new tasks are admitted. Incomplete answers are kept as failed. A task whose complete answer was
    /// stored before the server died gets the end of that answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tasks_end_abandoned(&self) -> Result<usize, Error> {
        self.write_freeing(|connection| {
            let abandoned: Vec<(TaskId, TaskEnd)> = {
                let mut query = connection.prepare(
                    "SELECT tasks.id, status, messages.finish_reason, messages.tokens_in, messages.tokens_out,
                            messages.ttft_ms, messages.decode_ms
                     FROM tasks LEFT JOIN messages ON messages.conversation_id = tasks.conversation_id
                                                  AND messages.task_id = tasks.id
                     WHERE outcome IS NULL",
                )?;
                let rows = query.query_map([], |row| Ok((parse_column(row, "id")?, end_of_answer(row)?)))?;
                rows.collect::<Result<_, _>>()?
            };
            for (id, end) in &abandoned {
                end_in_txn(connection, *id, end)?;
            }
            crate::messages::fail_streaming_in_txn(connection)?;
            crate::responses::abandon_in_txn(connection)?;
            Ok(abandoned.len())
        })
        .await
    }

    /// Returns a task that a caller may see.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn task_get(&self, visible: VisibleKeys, id: TaskId) -> Result<Option<TaskRecord>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT * FROM tasks WHERE id = ?1 AND user_id = ?2 AND (?3 IS NULL OR key_id = ?3)",
            )?;
            let key = visible.key().map(|key| key.to_string());
            Ok(query.query_row((id.to_string(), visible.user().to_string(), key), record).optional()?)
        })
        .await
    }

    /// Returns at most `limit` tasks before `after` that a caller may see, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn task_list(
        &self,
        visible: VisibleKeys,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT * FROM tasks WHERE user_id = ?1 AND id < ?2 AND (?4 IS NULL OR key_id = ?4)
                 ORDER BY id DESC LIMIT ?3",
            )?;
            let key = visible.key().map(|key| key.to_string());
            let before = after.map_or_else(|| "task_g".to_owned(), |id| id.to_string());
            let rows = query.query_map((visible.user().to_string(), before, limit, key), record)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the usage per day, key and model since `from_day` (`YYYY-MM-DD`), of the keys whose tasks are
    /// visible.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage_list(&self, visible: VisibleKeys, from_day: String) -> Result<Vec<UsageDay>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT usage_daily.* FROM usage_daily JOIN keys ON keys.id = key_id
                 WHERE user_id = ?1 AND day >= ?2 AND (?3 IS NULL OR key_id = ?3) ORDER BY day, key_id, model",
            )?;
            let key = visible.key().map(|key| key.to_string());
            let rows = query.query_map((visible.user().to_string(), from_day, key), |row| {
                Ok(UsageDay {
                    day: row.get("day")?,
                    key: parse_column(row, "key_id")?,
                    model: row.get("model")?,
                    tasks: row.get("tasks")?,
                    errors: row.get("errors")?,
                    tokens_in: row.get("tokens_in")?,
                    tokens_out: row.get("tokens_out")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

pub(crate) fn start_in_txn(connection: &Connection, start: &TaskStart) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO tasks (id, key_id, user_id, conversation_id, api, workload, model, priority, created_at, memory)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
    )?;
    insert.execute((
        start.id.to_string(),
        start.key.to_string(),
        start.user.to_string(),
        start.conversation.map(|id| id.to_string()),
        start.api,
        start.workload,
        &start.model,
        start.priority,
        start.created_at.as_millis(),
        start.memory.as_deref().map(|json| TASK_MEMORY.stamp(json)).transpose()?,
    ))?;
    Ok(())
}

fn end_in_txn(connection: &Connection, id: TaskId, end: &TaskEnd) -> Result<(), Error> {
    let (outcome, reason, code, message) = match &end.outcome {
        Outcome::End { finish_reason } => ("end", Some(finish_reason), None, None),
        Outcome::Error { code, message } => ("error", None, Some(code.as_str()), Some(message)),
        Outcome::Cancelled => ("cancelled", None, None, None),
    };
    let mut update = connection.prepare_cached(
        "UPDATE tasks SET ended_at = ?2, outcome = ?3, finish_reason = ?4, error_code = ?5, error_message = ?6,
                          tokens_in = ?7, tokens_out = ?8, queue_ms = ?9, ttft_ms = ?10, decode_ms = ?11
         WHERE id = ?1 AND outcome IS NULL",
    )?;
    let ended = update.execute((
        id.to_string(),
        end.ended_at.as_millis(),
        outcome,
        reason,
        code,
        message,
        end.tokens_in,
        end.tokens_out,
        end.queue_ms,
        end.ttft_ms,
        end.decode_ms,
    ))?;
    if ended == 0 {
        return Ok(());
    }
    let mut add = connection.prepare_cached(
        "INSERT INTO usage_daily (day, key_id, model, tasks, errors, tokens_in, tokens_out)
         SELECT ?2, key_id, model, 1, outcome = 'error', tokens_in, tokens_out FROM tasks WHERE id = ?1
         ON CONFLICT (day, key_id, model) DO UPDATE SET
           tasks = tasks + 1, errors = errors + excluded.errors,
           tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out",
    )?;
    add.execute((id.to_string(), end.ended_at.day()))?;
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    let end = match optional_time(row, "ended_at")? {
        None => None,
        Some(ended_at) => Some(TaskEnd {
            ended_at,
            outcome: outcome(row)?,
            tokens_in: row.get("tokens_in")?,
            tokens_out: row.get("tokens_out")?,
            queue_ms: row.get("queue_ms")?,
            ttft_ms: row.get("ttft_ms")?,
            decode_ms: row.get("decode_ms")?,
        }),
    };
    Ok(TaskRecord {
        id: parse_column(row, "id")?,
        user: parse_column(row, "user_id")?,
        conversation: parse_optional_column(row, "conversation_id")?,
        api: row.get("api")?,
        workload: row.get("workload")?,
        model: row.get("model")?,
        priority: row.get("priority")?,
        created_at: time(row, "created_at")?,
        memory: TASK_MEMORY.get_optional(row)?,
        end,
    })
}

/// Returns the end of a task that was running when the server died. It comes from the stored answer, if there
/// is one.
fn end_of_answer(row: &Row<'_>) -> rusqlite::Result<TaskEnd> {
    let status: Option<String> = row.get("status")?;
    let outcome = match status.as_deref() {
        Some("complete") => {
            Outcome::End { finish_reason: row.get::<_, Option<String>>("finish_reason")?.unwrap_or_default() }
        }
        Some("stopped") => Outcome::Cancelled,
        _ => Outcome::Error {
            code: Code::EngineFailed,
            message: "Lar stopped while the task was running; send the request again".into(),
        },
    };
    Ok(TaskEnd {
        ended_at: Timestamp::now(),
        outcome,
        tokens_in: row.get::<_, Option<u64>>("tokens_in")?.unwrap_or_default(),
        tokens_out: row.get::<_, Option<u64>>("tokens_out")?.unwrap_or_default(),
        queue_ms: None,
        ttft_ms: row.get("ttft_ms")?,
        decode_ms: row.get("decode_ms")?,
    })
}

fn outcome(row: &Row<'_>) -> rusqlite::Result<Outcome> {
    let outcome: String = row.get("outcome")?;
    Ok(match outcome.as_str() {
        "end" => {
            Outcome::End { finish_reason: row.get::<_, Option<String>>("finish_reason")?.unwrap_or_default() }
        }
        "cancelled" => Outcome::Cancelled,
        _ => Outcome::Error {
            code: row
                .get::<_, Option<String>>("error_code")?
                .and_then(|code| Code::parse(&code))
                .unwrap_or(Code::Internal),
            message: row.get::<_, Option<String>>("error_message")?.unwrap_or_default(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_no_column_for_a_prompt_or_an_answer() {
        let connection = Connection::open_in_memory().unwrap();
        crate::migrations::create_schema(&connection, crate::migrations::newest_schema()).unwrap();
        let mut query =
            connection.prepare("SELECT name FROM pragma_table_info('tasks') ORDER BY cid").unwrap();
        let columns: Vec<String> =
            query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let ids_and_names =
            ["id", "key_id", "user_id", "conversation_id", "api", "workload", "model", "priority"];
        // `memory` has ids only, see `TaskStart::memory`.
        let outcome = ["created_at", "ended_at", "outcome", "finish_reason", "error_code", "error_message"];
        let numbers = ["tokens_in", "tokens_out", "queue_ms", "ttft_ms", "decode_ms", "memory"];
        assert_eq!(columns, [ids_and_names.as_slice(), &outcome, &numbers].concat());
    }
}
