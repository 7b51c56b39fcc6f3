//! Ends tasks that were running when the server died, and what they were writing.

use lar_base::{Code, TaskId, Timestamp};
use rusqlite::Row;

use super::end_in_txn;
use super::record::{Outcome, TaskEnd};
use crate::columns::parse_column;
use crate::{Error, Store, messages, responses};

impl Store {
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
            messages::fail_streaming_in_txn(connection)?;
            responses::abandon_in_txn(connection)?;
            Ok(abandoned.len())
        })
        .await
    }
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
