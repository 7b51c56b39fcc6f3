//! Responses of OpenAI's Responses API, which later requests can continue. `compat` defines their content.
//!
//! Invariant: only the key that created a response sees it, and a response ends once.

use lar_base::{KeyId, TaskId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::columns::{parse_column, parse_optional_column, time};
use crate::json_columns::{RESPONSE_BODY, RESPONSE_INPUT};
use crate::tasks::start_in_txn;
use crate::{Error, Store, TaskStart};

/// The most responses in a chain.
const CHAIN_MAX: u32 = 1000;

/// The state of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseState {
    /// The task waits or generates; the body is the one at the start.
    Running,
    /// It has ended, and its body is final.
    Over,
    /// The server stopped while its task was running; its body is the initial one.
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

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The task that generates the response, by whose id it is found.
    pub task: TaskId,
    /// The key that created it, and the only one that can read it.
    pub key: KeyId,
    /// The response that it continues; `None` if it starts a chain.
    pub previous: Option<TaskId>,
    /// Whether its task runs, has ended, or was abandoned by a stop of the server.
    pub state: ResponseState,
    /// The items of its own request, as a JSON array.
    pub input: String,
    /// The body that its caller gets, as JSON.
    pub body: String,
    /// When its request arrived.
    pub created_at: Timestamp,
}

impl Store {
    /// Stores a response, and the start of its task if that is not stored yet.
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
                RESPONSE_INPUT.stamp(&response.input)?,
                RESPONSE_BODY.stamp(&response.body)?,
                response.created_at.as_millis(),
            ))?;
            start.map_or(Ok(()), |start| start_in_txn(connection, &start))
        })
        .await
    }

    /// Ends a response. A response that has ended already stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn response_end(&self, task: TaskId, body: String) -> Result<(), Error> {
        self.write(move |connection| {
            let mut update = connection.prepare_cached(
                "UPDATE responses SET state = 'over', body = ?2 WHERE task_id = ?1 AND state = 'running'",
            )?;
            update.execute((task.to_string(), RESPONSE_BODY.stamp(&body)?))?;
            Ok(())
        })
        .await
    }

    /// Returns a response of this key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; when the database fails.
    pub async fn response_get(&self, key: KeyId, task: TaskId) -> Result<Response, Error> {
        self.read(move |connection| get(connection, key, task)).await
    }

    /// Returns a response of this key and the responses that it continues, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when one of them no longer exists; [`Error::Conflict`] when there are too many.
    pub async fn response_chain(&self, key: KeyId, last: TaskId) -> Result<Vec<Response>, Error> {
        self.read(move |connection| {
            let mut chain: Vec<Response> = Vec::new();
            let mut next = Some(last);
            while let Some(task) = next {
                if chain.len() == CHAIN_MAX as usize {
                    let detail = format!("it continues more than {CHAIN_MAX} responses");
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

    /// Erases the responses that were created before `before`; returns their number.
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

/// Marks the responses that were running when the server died.
pub(crate) fn abandon_in_txn(connection: &Connection) -> Result<(), Error> {
    connection.execute("UPDATE responses SET state = 'abandoned' WHERE state = 'running'", [])?;
    Ok(())
}

fn get(connection: &Connection, key: KeyId, task: TaskId) -> Result<Response, Error> {
    let mut query =
        connection.prepare_cached("SELECT * FROM responses WHERE task_id = ?1 AND key_id = ?2")?;
    query.query_row((task.to_string(), key.to_string()), record).optional()?.ok_or_else(|| unknown(task))
}

/// Returns the error for a missing response. In the API, its id has another prefix and the same digits.
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
        input: RESPONSE_INPUT.get(row)?,
        body: RESPONSE_BODY.get(row)?,
        created_at: time(row, "created_at")?,
    })
}
