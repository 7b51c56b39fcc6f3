//! Responses of OpenAI's Responses API, which later requests go on from. What is in them is `server`'s matter.
//!
//! Invariant: a response is seen by the key that made it alone, and ends once.

use lar_base::{KeyId, TaskId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::tasks::start_in_txn;
use crate::{Error, Store, TaskStart, parse_column, parse_optional_column, time};

/// A response goes on from so many before it at most.
const CHAIN_MAX: u32 = 1000;

/// How far a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseState {
    /// Its task is under way.
    Running,
    /// Its body is what it ended with.
    Over,
    /// The server stopped while its task was under way; the body is what it began with.
    Abandoned,
}

impl ResponseState {
    const fn as_str(self) -> &'static str {
        match self {
            ResponseState::Running => "running",
            ResponseState::Over => "over",
            ResponseState::Abandoned => "abandoned",
        }
    }
}

/// A response as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The task that writes it.
    pub task: TaskId,
    /// Whose it is.
    pub key: KeyId,
    /// The one it goes on from.
    pub previous: Option<TaskId>,
    /// How far it has come.
    pub state: ResponseState,
    /// The items of its own request: a JSON array.
    pub input: String,
    /// What its caller is answered: JSON.
    pub body: String,
    /// When its request came.
    pub created_at: Timestamp,
}

impl Store {
    /// Stores a response, and that its task began where it has not been said yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn response_create(&self, response: Response, start: Option<TaskStart>) -> Result<(), Error> {
        self.write(move |connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO responses (task_id, key_id, previous, state, input, body, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            insert.execute((
                response.task.to_string(),
                response.key.to_string(),
                response.previous.map(|id| id.to_string()),
                response.state.as_str(),
                &response.input,
                &response.body,
                response.created_at.as_millis(),
            ))?;
            start.map_or(Ok(()), |start| start_in_txn(connection, &start))
        })
        .await
    }

    /// Ends a response, once: what has an end already stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn response_end(&self, task: TaskId, body: String) -> Result<(), Error> {
        self.write(move |connection| {
            let mut update = connection.prepare_cached(
                "UPDATE responses SET state = 'over', body = ?2 WHERE task_id = ?1 AND state = 'running'",
            )?;
            update.execute((task.to_string(), body))?;
            Ok(())
        })
        .await
    }

    /// A response of this key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; when the database fails.
    pub async fn response_get(&self, key: KeyId, task: TaskId) -> Result<Response, Error> {
        self.read(move |connection| get(connection, key, task)).await
    }

    /// A response of this key and those it goes on from, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when one of them is not there any more; [`Error::Conflict`] when they are too many.
    pub async fn response_chain(&self, key: KeyId, last: TaskId) -> Result<Vec<Response>, Error> {
        self.read(move |connection| {
            let mut chain: Vec<Response> = Vec::new();
            let mut next = Some(last);
            while let Some(task) = next {
                if chain.len() == CHAIN_MAX as usize {
                    let detail = format!("it goes on from more than {CHAIN_MAX} responses");
                    return Err(Error::Conflict(detail));
                }
                let response = get(connection, key, task)?;
                next = response.previous;
                chain.push(response);
            }
            chain.reverse();
            Ok(chain)
        })
        .await
    }

    /// Erases a response of this key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; when the database fails.
    pub async fn response_delete(&self, key: KeyId, task: TaskId) -> Result<(), Error> {
        let erase = move |connection: &Connection| {
            let ids = (task.to_string(), key.to_string());
            match connection.execute("DELETE FROM responses WHERE task_id = ?1 AND key_id = ?2", ids)? {
                0 => Err(unknown(task)),
                _ => Ok(()),
            }
        };
        self.erase(erase, |()| true).await
    }

    /// Erases the responses that were made before `before` and returns how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn responses_purge(&self, before: Timestamp) -> Result<usize, Error> {
        self.purge(move |connection| {
            let sql = "DELETE FROM responses WHERE created_at < ?1 AND state != 'running'";
            Ok(connection.execute(sql, [before.as_millis()])?)
        })
        .await
    }
}

/// Marks the responses that were under way when the server died.
pub(crate) fn abandon_in_txn(connection: &Connection) -> Result<(), Error> {
    connection.execute("UPDATE responses SET state = 'abandoned' WHERE state = 'running'", [])?;
    Ok(())
}

fn get(connection: &Connection, key: KeyId, task: TaskId) -> Result<Response, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM responses WHERE task_id = ?1 AND key_id = ?2")?;
    query.query_row((task.to_string(), key.to_string()), record).optional()?.ok_or_else(|| unknown(task))
}

/// Responses are called by other names outside; the digits are the same.
fn unknown(task: TaskId) -> Error {
    Error::NotFound(format!("response resp_{:032x}", task.as_u128()))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Response> {
    let state: String = row.get("state")?;
    Ok(Response {
        task: parse_column(row, "task_id")?,
        key: parse_column(row, "key_id")?,
        previous: parse_optional_column(row, "previous")?,
        state: match state.as_str() {
            "running" => ResponseState::Running,
            "over" => ResponseState::Over,
            _ => ResponseState::Abandoned,
        },
        input: row.get("input")?,
        body: row.get("body")?,
        created_at: time(row, "created_at")?,
    })
}
