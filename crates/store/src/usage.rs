//! The usage of tasks and tokens per day, key and model.
//!
//! The end of a task is added once, in the transaction that stores it ([`tasks`](crate::tasks)).

use lar_base::{KeyId, TaskId, Timestamp, VisibleKeys};
use rusqlite::Connection;

use crate::columns::parse_column;
use crate::{Error, Store};

/// The usage of one model by one key on one UTC day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDay {
    /// The UTC day on which the tasks ended, as `YYYY-MM-DD`.
    pub day: String,
    /// The key that sent the requests.
    pub key: KeyId,
    /// The name of the model, by its own name and not by an alias.
    pub model: String,
    /// The number of tasks that ended, with any outcome.
    pub tasks: u64,
    /// The number of those tasks that failed.
    pub errors: u64,
    /// The number of prompt tokens of all these tasks.
    pub tokens_in: u64,
    /// The number of answer tokens of all these tasks.
    pub tokens_out: u64,
}

impl Store {
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

/// Adds a task, whose end is stored, to the usage of its key on the day of the end.
pub(crate) fn add_in_txn(connection: &Connection, id: TaskId, ended_at: Timestamp) -> Result<(), Error> {
    let mut add = connection.prepare_cached(
        "INSERT INTO usage_daily (day, key_id, model, tasks, errors, tokens_in, tokens_out)
         SELECT ?2, key_id, model, 1, outcome = 'error', tokens_in, tokens_out FROM tasks WHERE id = ?1
         ON CONFLICT (day, key_id, model) DO UPDATE SET
           tasks = tasks + 1, errors = errors + excluded.errors,
           tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out",
    )?;
    add.execute((id.to_string(), ended_at.day()))?;
    Ok(())
}
