//! Idempotency of creating requests. The id of what a request created is stored for a day, in case the
//! request is sent again.
//!
//! Invariant: the record is written in the transaction that creates the object, so that neither exists
//! without the other, whenever the server dies.

use std::time::Duration;

use lar_base::{KeyId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{Error, Store};

/// How long a request is recorded, as the API's contract states.
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// A creating request that its caller may send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// The key that sent it: two keys may use the same name.
    pub key: KeyId,
    /// Its `Idempotency-Key`.
    pub name: String,
    /// The SHA-256 of its target and its body.
    pub fingerprint: [u8; 32],
}

impl Store {
    /// Returns the id of what an earlier copy of this request created; `None` if the request is new.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when another request used its name.
    pub async fn idempotency_find(&self, once: IdempotentRequest) -> Result<Option<String>, Error> {
        self.read(move |connection| find_in_txn(connection, &once)).await
    }

    /// Deletes the records that are older than a day; returns their number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn idempotency_purge(&self) -> Result<usize, Error> {
        self.write_freeing(|connection| {
            let forgotten = connection
                .execute("DELETE FROM idempotency_keys WHERE created_at < ?1", [oldest().as_millis()])?;
            Ok(forgotten)
        })
        .await
    }
}

/// Records what this request created.
///
/// # Errors
/// [`Error::Conflict`] when a concurrent copy of the same request came first.
pub(crate) fn record_request_in_txn(
    connection: &Connection,
    once: &IdempotentRequest,
    created_id: &str,
) -> Result<(), Error> {
    if find_in_txn(connection, once)?.is_some() {
        return Err(Error::Conflict(format!(
            "a request with the Idempotency-Key `{}` was just accepted; send it again to get its answer",
            once.name
        )));
    }
    connection.execute(
        "INSERT OR REPLACE INTO idempotency_keys (key_id, name, fingerprint, made, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (once.key.to_string(), &once.name, &once.fingerprint[..], created_id, Timestamp::now().as_millis()),
    )?;
    Ok(())
}

fn find_in_txn(connection: &Connection, once: &IdempotentRequest) -> Result<Option<String>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT fingerprint, made FROM idempotency_keys WHERE key_id = ?1 AND name = ?2 AND created_at >= ?3",
    )?;
    let found: Option<([u8; 32], String)> = query
        .query_row((once.key.to_string(), &once.name, oldest().as_millis()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match found {
        Some((fingerprint, _)) if fingerprint != once.fingerprint => Err(Error::Mismatch(once.name.clone())),
        found => Ok(found.map(|(_, created_id)| created_id)),
    }
}

fn oldest() -> Timestamp {
    Timestamp::now().before(RETENTION)
}
