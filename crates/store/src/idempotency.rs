//! Creating requests that may be sent again: what the first of them made, kept for a day.
//!
//! Invariant: the note is written in the transaction that makes the thing, so that there is never one
//! without the other, whenever the server dies.

use std::time::Duration;

use lar_base::{KeyId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{Error, Store};

/// How long a request is remembered (the contract's).
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// A creating request that its caller may send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Whose request it is: two keys may use the same name.
    pub key: KeyId,
    /// The caller's name for it, the `Idempotency-Key`.
    pub name: String,
    /// SHA-256 of where it was sent and of its body.
    pub fingerprint: [u8; 32],
}

impl Store {
    /// The id of what this request made when it was sent before; `None` when it is new.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when another request used its name.
    pub async fn idempotency_find(&self, once: IdempotentRequest) -> Result<Option<String>, Error> {
        self.read(move |connection| find_in_txn(connection, &once)).await
    }

    /// Forgets the requests of more than a day ago and returns how many there were.
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

/// Notes that this request made `made`.
///
/// # Errors
/// [`Error::Conflict`] when the same request, sent at the same time, was quicker.
pub(crate) fn note_in_txn(
    connection: &Connection,
    once: &IdempotentRequest,
    created_id: &str,
) -> Result<(), Error> {
    if find_in_txn(connection, once)?.is_some() {
        return Err(Error::Conflict(format!(
            "the request with the Idempotency-Key `{}` was just taken; send it again to have its answer",
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
