//! Tasks, each of which is one use of a model: how they started and ended. Each end is added to the usage per
//! day ([`crate::usage`]).
//!
//! Invariant: a task has at most one end. Ending it again changes nothing. [`Store::tasks_end_abandoned`]
//! ends tasks that were running when the server died, at the next start.

mod abandoned;
mod record;

use lar_base::{Code, TaskId, VisibleKeys};
use rusqlite::{Connection, OptionalExtension as _, Row};

pub use self::record::{Outcome, TaskEnd, TaskRecord, TaskStart};

use crate::columns::{optional_time, parse_column, parse_optional_column, time};
use crate::idempotency::record_request_in_txn;
use crate::json_columns::TASK_MEMORY;
use crate::{Error, IdempotentRequest, Store, usage};

impl Store {
    /// Stores the start of a task.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a concurrent copy of the same request came first; when the database fails.
    pub async fn task_create(&self, start: TaskStart, once: Option<IdempotentRequest>) -> Result<(), Error> {
        self.write(move |connection| {
            if let Some(once) = &once {
                record_request_in_txn(connection, once, &start.id.to_string())?;
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
    usage::add_in_txn(connection, id, end.ended_at)
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
